"""Claims about classifiers, reconstructions, single images and distances."""

import pytest

from stylex.report.claims import Verdict
from stylex.report.claims.images import (
    classifiers_are_accurate,
    distance_rises,
    explanations_differ,
    reconstruction_stagnates,
    reconstructions_keep_the_class,
    subsets_flip,
)

YES, NO, OPEN = Verdict.SUPPORTS, Verdict.CONTRADICTS, Verdict.UNDECIDED
MEASURES = (
    classifiers_are_accurate, distance_rises, explanations_differ, reconstruction_stagnates,
    reconstructions_keep_the_class, subsets_flip,
)  # fmt: skip


@pytest.mark.parametrize("measure", MEASURES)
def test_without_its_frame_nothing_is_found(run_of, measure):
    assert measure(run_of()) == []


@pytest.mark.parametrize(("fraction", "verdict"), [(0.99, YES), (0.95, OPEN), (0.90, NO)])
def test_accuracy_and_kept_classes_are_held_against_95_percent(run_of, fraction, verdict):
    row = {"experiment": "mnist", "n_test": 1000, "accuracy": fraction, "n_reconstructed": 1000, "class_kept": fraction}
    run = run_of(classifiers=[row])
    (accurate,), (kept,) = classifiers_are_accurate(run), reconstructions_keep_the_class(run)
    assert accurate.verdict == kept.verdict == verdict
    assert f"{100 * fraction:.1f} % of 1000 test images" in accurate.sentence
    assert (accurate.anchor, kept.anchor) == ("provenance-mnist-classifier", "provenance-mnist-latents")


def test_a_training_without_the_classifier_need_not_keep_its_classes(run_of, mnist):
    plain = mnist.model_copy(update={"stylex": mnist.stylex.model_copy(update={"conditioning": "none"})})
    row = {"experiment": "mnist", "n_test": 1000, "accuracy": 0.99, "n_reconstructed": 1000, "class_kept": 0.5}
    assert reconstructions_keep_the_class(run_of(plain, classifiers=[row])) == []


@pytest.mark.parametrize(("flipped", "verdict"), [(90, YES), (50, OPEN), (10, NO)])
def test_subsets_are_judged_at_the_largest_k_up_to_ten(run_of, flipped, verdict):
    common = {"experiment": "mnist", "method": "stylex", "target_class": "*", "n": 100, "shift": 1.0}
    table = [common | {"selection": "subset", "k": k, "flipped": count} for k, count in ((1, 0), (10, flipped))]
    table.append(common | {"selection": "independent", "k": 10, "flipped": 100})
    (finding,) = subsets_flip(run_of(subset=table))
    assert finding.verdict == verdict and "within 10 coordinates" in finding.sentence


@pytest.mark.parametrize(("own", "verdict"), [(20, YES), (10, OPEN), (0, NO)])
def test_own_coordinates_are_others_than_the_first_attribute_of_the_target(run_of, own, verdict):
    attributes = [{"experiment": "mnist", "target_class": "3", "rank": 1, "style_index": 7}]
    attributes.append({"experiment": "mnist", "target_class": "3", "rank": 2, "style_index": 8})
    steps = [
        {"experiment": "mnist", "id": str(i), "target_class": "3", "step": 1, "style_index": 8 if i < own else 7}
        for i in range(20)
    ]
    steps.append({"experiment": "mnist", "id": "other", "target_class": "5", "step": 1, "style_index": 1})
    (finding,) = explanations_differ(run_of(csv_attributes=attributes, csv_independent=steps))
    assert finding.verdict == verdict and " of 20 explained images" in finding.sentence


@pytest.mark.parametrize(
    ("distances", "verdict"),
    [([1.0, 2, 3, 4, 5, 6], YES), ([6.0, 5, 4, 3, 2, 1], NO), ([1.0, 5, 2, 4, 3, 2.5], OPEN)],
)
def test_the_distance_rises_by_rank_correlation(run_of, distances, verdict):
    table = [
        {"experiment": "mnist", "extractor": "net_32", "n": 250, "n_attributes": k, "frechet_distance": value}
        for k, value in enumerate(distances)
    ]
    (finding,) = distance_rises(run_of(frechet=list(reversed(table))))
    assert finding.verdict == verdict
    assert f"{distances[0]:.2f} with 0 and {distances[-1]:.2f} with 5 attributes" in finding.sentence
    assert distance_rises(run_of(frechet=table[:2])) == []


@pytest.mark.parametrize(("last", "verdict"), [(0.1, NO), (0.25, OPEN), (0.35, YES)])
def test_stagnation_is_the_share_of_the_first_error_that_is_left(run_of, last, verdict):
    history = [{"experiment": "mnist", "images": 1000.0 * step, "val_l1": value} for step, value in
               ((1, float("nan")), (2, 0.4), (3, last))]  # fmt: skip
    (finding,) = reconstruction_stagnates(run_of(csv_history=history))
    assert finding.verdict == verdict and f"from 0.400 after 2,000 images shown to {last:.3f}" in finding.sentence


def test_stagnation_is_said_of_mnist_alone(run_of, mnist):
    other = mnist.model_copy(update={"dataset": mnist.dataset.model_copy(update={"name": "fashion_mnist"})})
    history = [{"experiment": "mnist", "images": 1000.0, "val_l1": value} for value in (0.4, 0.1)]
    assert reconstruction_stagnates(run_of(other, csv_history=history)) == []
