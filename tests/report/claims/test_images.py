"""Claims about classifiers, reconstructions, single images and distances."""

from pathlib import Path

import pytest

from stylex.config import load_experiment
from stylex.config.analysis import KID_FOLDS
from stylex.report.claims import Verdict
from stylex.report.claims.images import (
    classifiers_are_accurate,
    distance_rises,
    explanations_differ,
    reconstruction_stagnates,
    reconstructions_keep_the_class,
    subsets_flip,
)

ROOT = Path(__file__).parents[3]
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


def test_a_classifier_that_two_experiments_explain_counts_once(run_of_leaves):
    row = {"n_test": 1000, "accuracy": 0.99, "n_reconstructed": 1000, "class_kept": 0.99}
    names = ("leaves-without-cst", "leaves", "leaves-seed1", "leaves-without-cst-seed1")
    found = classifiers_are_accurate(run_of_leaves(classifiers=[row | {"experiment": name} for name in names]))
    assert [finding.where for finding in found] == ["leaves-without-cst", "leaves-seed1"]


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


def curve(distances, folds, protocol="held_out"):
    """Rows of frechet.csv: the distances of a curve, and those of each fold."""
    common = {"experiment": "mnist", "protocol": protocol, "extractor": "net_32", "n": 250}
    columns = [dict(zip(KID_FOLDS, values, strict=True)) for values in zip(*folds, strict=True)]
    return [
        common | {"n_attributes": k, "frechet_distance": value} | columns[k] for k, value in enumerate(distances)
    ]  # fmt: skip


RISING, FALLING = [0.1, 0.2, 0.3, 0.5], [0.5, 0.3, 0.2, 0.1]


@pytest.mark.parametrize(
    ("folds", "verdict"),
    [
        ([RISING] * 5, YES),
        ([FALLING] * 5, NO),
        ([RISING, RISING, RISING, FALLING, FALLING], OPEN),
        ([[0.1, 0.2, 0.3, 0.2], [0.1, 0.3, 0.2, 0.4], RISING, RISING, [0.2, 0.1, 0.3, 0.4]], YES),
    ],
)
def test_the_distance_rises_in_disjoint_groups_of_images(run_of, folds, verdict):
    (finding,) = distance_rises(run_of(frechet=list(reversed(curve(RISING, folds)))))
    assert finding.verdict == verdict and "the mean of 5 groups of images (95 % Student interval" in finding.sentence
    assert "0.10 with 0 and 0.50 with 3 attributes moved" in finding.sentence and "n = 250 images, held out" in (
        finding.sentence
    )


def test_a_curve_that_rises_by_its_points_alone_decides_nothing(run_of):
    """Eleven points of a monotone curve gave p < 0.0001, whatever the images that they share."""
    rising = [float(k) for k in range(11)]
    (finding,) = distance_rises(run_of(frechet=curve(rising, [rising, rising[::-1]] * 2 + [rising])))
    assert finding.verdict == OPEN
    (finding,) = distance_rises(run_of(frechet=curve(rising, [[float("nan")] * 11] * 5)))
    assert finding.verdict == OPEN and "too few images to divide into groups" in finding.sentence


def test_a_curve_of_two_points_or_of_another_protocol_is_none(run_of):
    assert distance_rises(run_of(frechet=curve(RISING, [RISING] * 5)[:2])) == []
    assert distance_rises(run_of(frechet=curve(RISING, [RISING] * 5, "same_images"))) == []


@pytest.mark.parametrize(("last", "verdict"), [(0.1, NO), (0.25, OPEN), (0.35, YES)])
def test_stagnation_is_the_share_of_the_first_error_that_is_left(run_of, last, verdict):
    history = [{"experiment": "mnist", "images": 1000.0 * step, "val_l1": value} for step, value in
               ((1, float("nan")), (2, 0.4), (3, last))]  # fmt: skip
    (finding,) = reconstruction_stagnates(run_of(csv_history=history))
    assert finding.verdict == verdict and f"from 0.400 after 2,000 images shown to {last:.3f}" in finding.sentence


@pytest.mark.parametrize(("name", "found"), [("mnist-full", 1), ("fashion-mnist", 0)])
def test_stagnation_is_said_of_mnist_alone_in_part_and_in_full(run_of, mnist, name, found):
    other = mnist.model_copy(update={"dataset": mnist.dataset.model_copy(update={"name": name})})
    history = [{"experiment": "mnist", "images": 1000.0, "val_l1": value} for value in (0.4, 0.1)]
    assert len(reconstruction_stagnates(run_of(other, csv_history=history))) == found


def test_the_experiment_of_the_slides_is_tested_for_stagnation(run_of):
    config = load_experiment(ROOT, "mnist-rest")
    history = [{"experiment": "mnist", "images": 1000.0, "val_l1": value} for value in (0.4, 0.35)]
    (finding,) = reconstruction_stagnates(run_of(config, csv_history=history))
    assert finding.verdict == YES
