"""Claims about flipped decisions: each verdict from a frame that must give it."""

import pytest

from stylex.report.claims import Verdict
from stylex.report.claims.sufficiency import (
    adds_up,
    flips_many_classes,
    flips_most,
    flips_published_domains,
    published_fractions,
    small_models_fail,
)

YES, NO, OPEN = Verdict.SUPPORTS, Verdict.CONTRADICTS, Verdict.UNDECIDED
MEASURES = (flips_most, adds_up, flips_many_classes, flips_published_domains, small_models_fail)


def rows(flipped, n=200, k=10, target="*", method="stylex", experiment="mnist"):
    common = {"experiment": experiment, "domain": "MNIST 3 / 5", "method": method, "shift": 1.0, "seed": 0}
    return {**common, "target_class": target, "k": k, "n": n, "flipped": flipped}


@pytest.mark.parametrize(("flipped", "verdict"), [(120, YES), (100, OPEN), (80, NO)])
def test_most_is_more_than_half_with_the_whole_interval(run_of, flipped, verdict):
    (finding,) = flips_most(run_of(sufficiency=[rows(flipped)]))
    assert (finding.where, finding.verdict) == ("mnist", verdict)
    assert finding.anchor == "provenance-mnist-sufficiency"


def test_the_sentence_has_n_interval_shift_seed_and_the_worst_direction(run_of):
    table = [rows(140), rows(90, 100, target="3"), rows(50, 100, target="5"), rows(200, k=40)]
    (finding,) = flips_most(run_of(sufficiency=table))
    assert finding.sentence == (
        "70.0 % of 200 decisions flip within the top 10 (95 % interval 63.3–75.9 %), shift 1, seed 0; least towards 5:"
        " 50.0 % of 100 flip (95 % interval 40.4–59.6 %)."
    )


def test_rows_of_baselines_say_nothing_about_stylex(run_of):
    table = [rows(200, method="wu_2021"), rows(200, method="without_cst")]
    assert all(measure(run_of(sufficiency=table)) == [] for measure in MEASURES)


@pytest.mark.parametrize("measure", MEASURES)
def test_without_the_table_or_its_columns_or_images_nothing_is_found(run_of, measure):
    assert measure(run_of()) == []
    assert measure(run_of(sufficiency=[{"experiment": "mnist", "k": 10}])) == []
    assert measure(run_of(sufficiency=[rows(0, n=0)])) == []


@pytest.mark.parametrize(("first", "top", "verdict"), [(60, 140, YES), (100, 100, NO), (140, 143, OPEN)])
def test_attributes_after_the_first_are_measured_on_the_images_it_leaves(run_of, first, top, verdict):
    (finding,) = adds_up(run_of(sufficiency=[rows(first, k=1), rows(top)]))
    assert finding.verdict == verdict
    assert f"of {200 - first} left (95 % interval" in finding.sentence


def test_when_the_first_attribute_flips_all_nothing_is_decided(run_of):
    (finding,) = adds_up(run_of(sufficiency=[rows(200, k=1), rows(200)]))
    assert finding.verdict == OPEN and "none is left" in finding.sentence
    assert adds_up(run_of(sufficiency=[rows(200, k=5), rows(200)])) == []


def test_many_classes_are_more_than_two(run_of):
    two = [rows(180), rows(90, 100, target="3"), rows(90, 100, target="5")]
    assert flips_many_classes(run_of(sufficiency=two)) == []
    (finding,) = flips_many_classes(run_of(sufficiency=[*two, rows(90, 100, target="8")]))
    assert finding.verdict == YES


def test_only_declared_domains_count_as_the_papers(run_of, mnist):
    table = [rows(40)]
    assert flips_published_domains(run_of(sufficiency=table)) == []
    declared = mnist.model_copy(update={"published_domain": "AFHQ cats/dogs"})
    (finding,) = flips_published_domains(run_of(declared, sufficiency=table))
    assert finding.verdict == NO


@pytest.mark.parametrize(("flipped", "verdict"), [(140, NO), (100, OPEN), (60, YES)])
def test_small_models_are_held_against_the_best_of_the_replication(run_of, flipped, verdict):
    (finding,) = small_models_fail(run_of(sufficiency=[rows(flipped)]))
    assert finding.verdict == verdict


def test_large_images_are_not_small_models(run_of, mnist):
    large = mnist.model_copy(update={"dataset": mnist.dataset.model_copy(update={"resolution": 256})})
    assert small_models_fail(run_of(large, sufficiency=[rows(140)])) == []


def test_published_fractions_name_source_range_and_domains(run_of):
    lines = published_fractions(run_of())
    assert lines[0].startswith("Lang et al. 2021, Table 3, StylEx: 25.0 to 100.0 % (FFHQ perceived gender,")
    assert not any("Wu et al." in line or "CST" in line for line in lines)
