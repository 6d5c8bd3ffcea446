"""Claims about ways to train: one seed decides nothing, several are paired by seed."""

import pytest

from stylex.report.claims import Verdict
from stylex.report.claims.attributes import clearer_for_observer, clearer_for_people
from stylex.report.claims.baselines import selects_better, trains_better

YES, NO, OPEN, ONE = Verdict.SUPPORTS, Verdict.CONTRADICTS, Verdict.UNDECIDED, Verdict.ONE_SEED
TRAINED = trains_better("stylex", "without_cst")
DEMO = ((99.6, 93.6), (98.0, 74.8), (91.2, 97.2))  # three demo runs of MNIST on three machines


def pair(ours, theirs, methods=("stylex", "without_cst"), seed=0, protocol="held_out"):
    """A row of the table paired: fractions in percent of 250 images, all of the difference on one side."""
    difference = (ours - theirs) / 100
    gained = round(250 * difference)
    own = "leaves" if seed == 0 else f"leaves-seed{seed}"
    twin = "leaves-without-cst" if seed == 0 else f"leaves-without-cst-seed{seed}"
    first = own if methods[0] == "stylex" else twin
    return {
        "domain": "Leaves", "protocol": protocol, "target_class": "*", "experiment_a": first, "method_a": methods[0],
        "experiment_b": twin, "method_b": methods[1], "k": 10, "n": 250, "only_a": max(gained, 0),
        "only_b": max(-gained, 0), "difference": difference, "low": difference - 0.01, "high": difference + 0.01,
        "p": 1e-6,
    }  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs"), DEMO)
def test_one_seed_decides_nothing_about_a_training_method(run_of_leaves, ours, theirs):
    """The rule before took any one of these for a verdict, two of them one way and one the other."""
    (finding,) = TRAINED(run_of_leaves(paired=[pair(ours, theirs)]))
    assert finding.verdict == ONE and finding.anchor == "table-paired"
    assert "One training of each." in finding.sentence and "exact McNemar test, p < 0.0001" in finding.sentence


def test_several_seeds_are_one_finding_that_names_each(run_of_leaves):
    table = [pair(*fractions, seed=seed) for seed, fractions in enumerate(DEMO)]
    (finding,) = TRAINED(run_of_leaves(paired=table))
    assert finding.verdict == OPEN
    assert "seed 0 (leaves against leaves-without-cst) +6.0; seed 1 (leaves-seed1 against" in finding.sentence
    assert "+23.2; seed 2" in finding.sentence and "-6.0. Mean of 3 seeds: +7.7 (95 % Student interval " in (
        finding.sentence
    )


@pytest.mark.parametrize(
    ("fractions", "verdict"),
    [(((90, 70), (91, 70), (92, 70)), YES), (((70, 90), (70, 91), (70, 92)), NO), (((90, 70), (95, 70)), OPEN)],
)
def test_the_interval_over_seeds_decides(run_of_leaves, fractions, verdict):
    """Two seeds of +20 and +25 points leave an interval of t = 12.7 half widths."""
    (finding,) = TRAINED(run_of_leaves(paired=[pair(*each, seed=seed) for seed, each in enumerate(fractions)]))
    assert finding.verdict == verdict


def test_other_protocols_and_other_targets_do_not_count(run_of_leaves):
    other = [pair(99, 1, protocol="same_images"), pair(99, 1) | {"target_class": "sick"}]
    assert TRAINED(run_of_leaves(paired=other)) == []
    assert len(TRAINED(run_of_leaves(paired=[*other, pair(90, 80)]))) == 1


def test_twins_of_another_seed_are_no_repetition(run_of_leaves):
    """Both compare the same StylEx model: one training of it, whatever the twin's seed."""
    crossed = pair(90, 70) | {"experiment_b": "leaves-without-cst-seed1"}
    assert [finding.verdict for finding in TRAINED(run_of_leaves(paired=[pair(90, 70), crossed]))] == [ONE, ONE]


def test_wu_in_a_model_of_its_own_is_a_matter_of_images_while_there_is_one(run_of_leaves):
    find, methods = selects_better("without_cst", "wu_2021"), ("without_cst", "wu_2021")
    (finding,) = find(run_of_leaves(paired=[pair(90, 70, methods)]))
    assert finding.verdict == YES and finding.sentence.endswith("One training.")
    several = [pair(*fractions, methods, seed) for seed, fractions in enumerate(DEMO)]
    (finding,) = find(run_of_leaves(paired=several))
    assert finding.verdict == OPEN and "Mean of 3 seeds" in finding.sentence


def answers(kind, experiment, method, accuracy):
    names = [f"{one}_{name}" for one in ("people", "observer") for name in ("accuracy", "low", "high")]
    row = {"experiment": experiment, "domain": "Leaves", "method": method, "questions": 6}
    row |= dict.fromkeys([*names, "people_participants", "observer_n"], float("nan"))
    count = "people_participants" if kind == "people" else "observer_n"
    measured = {f"{kind}_accuracy": accuracy, f"{kind}_low": accuracy - 0.01, f"{kind}_high": accuracy + 0.01}
    return row | measured | {count: 600}


@pytest.mark.parametrize(("kind", "measure"), [("people", clearer_for_people), ("observer", clearer_for_observer)])
def test_clearer_needs_two_seeds_and_uses_all_of_them(run_of_leaves, kind, measure):
    """The first seed alone has StylEx far ahead, its interval beyond the other: that was the verdict."""
    first = [answers(kind, "leaves", "stylex", 0.9), answers(kind, "leaves-without-cst", "wu_2021", 0.6)]
    (finding,) = measure(run_of_leaves(user_study=first))
    assert finding.verdict == ONE and "Wu et al.: 60.0 % of the answers" in finding.sentence
    second = [answers(kind, "leaves-seed1", "stylex", 0.6), answers(kind, "leaves-without-cst-seed1", "wu_2021", 0.9)]
    (finding,) = measure(run_of_leaves(user_study=[*first, *second]))
    assert finding.verdict == OPEN
    assert "seed 0 (leaves against leaves-without-cst) +30.0; seed 1" in finding.sentence and "-30.0." in (
        finding.sentence
    )
    assert measure(run_of_leaves(user_study=first[:1])) == []
