"""Claims about single attributes: told apart by people and machine, true causes, a planted bias."""

import pytest

from stylex.report.claims import Verdict
from stylex.report.claims.attributes import (
    attributes_move_causes,
    bias_is_found,
    causes_are_covered,
    clearer_for_observer,
    clearer_for_people,
    observer_tells_apart,
    people_tell_apart,
    published_accuracy,
)

YES, NO, OPEN = Verdict.SUPPORTS, Verdict.CONTRADICTS, Verdict.UNDECIDED
NAN = float("nan")


def answers(low, high, kind="observer", method="stylex"):
    both = dict.fromkeys(("people_accuracy", "people_low", "people_high", "people_participants"), NAN)
    both |= dict.fromkeys(("observer_accuracy", "observer_low", "observer_high", "observer_n"), NAN)
    measured = {"accuracy": (low + high) / 2, "low": low, "high": high, "participants": 12, "n": 60}
    mine = {f"{kind}_{key}": value for key, value in measured.items() if f"{kind}_{key}" in both}
    return {"experiment": "mnist", "domain": "MNIST 3 / 5", "method": method, "questions": 6} | both | mine


@pytest.mark.parametrize(("low", "high", "verdict"), [(0.6, 0.8, YES), (0.4, 0.6, OPEN), (0.2, 0.4, NO)])
@pytest.mark.parametrize(("kind", "measure"), [("people", people_tell_apart), ("observer", observer_tells_apart)])
def test_right_answers_are_held_against_guessing(run_of, kind, measure, low, high, verdict):
    (finding,) = measure(run_of(user_study=[answers(low, high, kind), answers(0, 1, kind, "wu_2021")]))
    assert finding.verdict == verdict and finding.anchor == "table-user_study"
    assert f"interval {100 * low:.1f}–{100 * high:.1f} %" in finding.sentence


def test_a_machine_is_never_counted_as_people_and_published_rows_are_not_this_run(run_of):
    published = answers(0.9, 1.0, "people") | {"experiment": NAN}
    run = run_of(user_study=[answers(0.6, 0.8, "observer"), published])
    assert people_tell_apart(run) == [] and len(observer_tells_apart(run)) == 1
    assert people_tell_apart(run_of()) == observer_tells_apart(run_of()) == []


@pytest.mark.parametrize(("theirs", "verdict"), [((0.4, 0.6), YES), ((0.6, 0.8), OPEN), ((0.9, 1.0), NO)])
@pytest.mark.parametrize(("kind", "measure"), [("people", clearer_for_people), ("observer", clearer_for_observer)])
def test_clearer_means_that_the_intervals_do_not_overlap(run_of, kind, measure, theirs, verdict):
    run = run_of(user_study=[answers(0.7, 0.85, kind), answers(*theirs, kind, "wu_2021")])
    (finding,) = measure(run)
    assert finding.verdict == verdict and "Wu et al.: " in finding.sentence
    assert measure(run_of(user_study=[answers(0.7, 0.85, kind)])) == []


CAUSES = ("spots", "curl", "yellowing")


def move(factor, change=1.0, method="stylex", rank=1):
    common = {"experiment": "mnist", "model": "stylex", "method": method, "target_class": "sick", "rank": rank}
    return common | {"factor": factor, "cause": factor in CAUSES, "change": change, "threshold": 0.5}


FIT = [{"experiment": "mnist", "factor": name, "cause": name in CAUSES} for name in (*CAUSES, "size", "background")]


@pytest.mark.parametrize(("hits", "verdict"), [(10, YES), (5, OPEN), (0, NO)])
def test_attributes_are_held_against_random_moves(run_of, hits, verdict):
    own = [move("spots" if i < hits else "size") for i in range(10)]
    chance = [move("curl" if i % 2 else "angle", method="random") for i in range(64)]
    nothing = move(None, NAN)  # a move that changed no pixel
    (finding,) = attributes_move_causes(run_of(factors=[*own, *chance, nothing]))
    assert finding.verdict == verdict and "of 64 random moves 50.0 %" in finding.sentence
    assert finding.anchor == "provenance-mnist-factors"


@pytest.mark.parametrize(
    ("factors", "verdict"), [(CAUSES, YES), (("spots", "curl", "size"), OPEN), (("spots", "size"), NO)]
)
def test_all_causes_must_be_covered(run_of, factors, verdict):
    weak = move("yellowing", change=0.2)
    (finding,) = causes_are_covered(run_of(factors=[*map(move, factors), weak], csv_factor_fit=FIT))
    covered = [name for name in CAUSES if name in factors]
    assert finding.verdict == verdict
    assert f"cover {len(covered)} of 3 causes ({', '.join(covered)})" in finding.sentence


def test_causes_need_both_tables(run_of):
    assert causes_are_covered(run_of(factors=[move("spots")])) == []
    assert causes_are_covered(run_of(csv_factor_fit=FIT)) == attributes_move_causes(run_of()) == []


@pytest.mark.parametrize(("rank", "change", "verdict"), [(2, -1.0, YES), (7, 1.0, OPEN), (1, 0.1, NO)])
def test_a_planted_bias_must_be_among_the_first_attributes(run_of, mnist, rank, change, verdict):
    biased = mnist.model_copy(update={"dataset": mnist.dataset.model_copy(update={"name": "leaves-biased"})})
    table = [move("spots"), move("background", change, rank=rank)]
    (finding,) = bias_is_found(run_of(biased, factors=table))
    assert finding.verdict == verdict and "planted factor is background" in finding.sentence
    assert bias_is_found(run_of(factors=table)) == []


def test_published_answers_are_listed_with_their_spread(run_of):
    assert "Lang et al. 2021, Table 2, AFHQ cats/dogs, StylEx: 0.933 (± 0.05)." in published_accuracy(run_of())
