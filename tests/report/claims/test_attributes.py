"""Claims about single attributes: told apart by people and machine, true causes, a planted bias."""

import itertools

import pytest

from stylex.report.claims import Verdict
from stylex.report.claims.attributes import (
    attributes_are_purer,
    attributes_move_causes,
    bias_is_found,
    causes_are_covered,
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


@pytest.mark.parametrize(("kind", "measure"), [("people", people_tell_apart), ("observer", observer_tells_apart)])
def test_one_attribute_decides_nothing_however_many_answers(run_of, kind, measure):
    row = answers(0.9, 1.0, kind) | {"questions": 1, f"{kind}_low": NAN, f"{kind}_high": NAN}
    (finding,) = measure(run_of(user_study=[row]))
    assert finding.verdict == OPEN and "1 questions are right (one attribute, so no interval;" in finding.sentence


CAUSES = ("spots", "curl", "yellowing")
COORDINATES = itertools.count()


def move(factor, change=1.0, method="stylex", rank=1, index=None, target="sick", purity=0.5):
    common = {"experiment": "mnist", "model": "stylex", "method": method, "target_class": target, "rank": rank}
    common |= {"style_index": next(COORDINATES) if index is None else index}
    return common | {"factor": factor, "cause": factor in CAUSES, "purity": purity, "change": change, "threshold": 0.5}


def random_moves(*factors):
    return [move(factor, method="random", rank=rank) for rank, factor in enumerate(factors, start=1)]


FIT = [{"experiment": "mnist", "factor": name, "cause": name in CAUSES} for name in (*CAUSES, "size", "background")]


@pytest.mark.parametrize(("hits", "verdict"), [(10, YES), (5, OPEN), (0, NO)])
def test_attributes_are_held_against_random_moves(run_of, hits, verdict):
    own = [move("spots" if i < hits else "size") for i in range(10)]
    chance = [move("curl" if i % 2 else "angle", method="random") for i in range(64)]
    nothing = [move(each, NAN) for each in (None, "")]  # moves that changed no pixel; of a file, the factor is ""
    (finding,) = attributes_move_causes(run_of(factors=[*own, *chance, *nothing]))
    assert finding.verdict == verdict and "% of 10 coordinates" in finding.sentence
    assert "of 64 that random moves take 50.0 %" in finding.sentence
    assert finding.anchor == "provenance-mnist-factors"


def test_a_coordinate_in_both_lists_is_counted_once(run_of):
    """Six coordinates stand in both lists: 12 hits of 12 were p < 0.05 against chance, 6 of 6 are not."""
    lists = [
        move("spots", rank=rank, index=rank, target=target) for target in ("sick", "healthy") for rank in range(1, 7)
    ]
    chance = random_moves(*["spots"] * 44, *["size"] * 20)
    (finding,) = attributes_move_causes(run_of(factors=[*lists, *chance]))
    assert finding.verdict == OPEN and "100.0 % of 6 coordinates" in finding.sentence
    twelve = [row | {"style_index": place} for place, row in enumerate(lists)]
    (finding,) = attributes_move_causes(run_of(factors=[*twelve, *chance]))
    assert finding.verdict == YES
    both = [row | {"target_class": target} for target in ("sick", "healthy") for row in chance]
    (finding,) = attributes_move_causes(run_of(factors=[*twelve, *both]))
    assert "of 64 that random moves take" in finding.sentence  # random ones too


@pytest.mark.parametrize(
    ("purities", "verdict"), [((0.6, 0.61, 0.59), YES), ((0.4, 0.39, 0.41), NO), ((0.6, 0.5, 0.4), OPEN)]
)
def test_purity_is_held_against_random_moves_of_equal_size_over_seeds(run_of_leaves, purities, verdict):
    # Random moves as small as that of the attribute are pure to a half; larger ones, which do not count, to 0.9.
    chance = random_moves(*["spots"] * 8) + [row | {"change": 9.0, "purity": 0.9} for row in random_moves("size")]
    moves = [
        row | {"experiment": name}
        for name, purity in zip(("leaves", "leaves-seed1", "leaves-seed2"), purities, strict=True)
        for row in (move("spots", change=2 * purity, purity=purity), *chance)
    ]
    (finding,) = attributes_are_purer(run_of_leaves(factors=moves))
    assert finding.verdict == verdict and f"seed 0 (leaves) {100 * (purities[0] - 0.5):+.1f};" in finding.sentence


def test_purity_of_one_training_decides_nothing(run_of):
    (finding,) = attributes_are_purer(run_of(factors=[move("spots", purity=0.9), *random_moves("size")]))
    assert finding.verdict == Verdict.ONE_SEED and "+40.0 points" in finding.sentence
    assert attributes_are_purer(run_of(factors=[move("spots")])) == []
    assert attributes_are_purer(run_of(factors=[move(None, NAN, purity=NAN), *random_moves("size")])) == []


@pytest.mark.parametrize(
    ("factors", "verdict"), [(CAUSES, YES), (("spots", "curl", "size"), OPEN), (("spots", "size"), NO)]
)
def test_all_causes_must_be_covered(run_of, factors, verdict):
    weak = move("yellowing", change=0.2)
    moves = [*map(move, factors), weak, *random_moves(*["size"] * 60, *CAUSES)]
    (finding,) = causes_are_covered(run_of(factors=moves, csv_factor_fit=FIT))
    covered = [name for name in CAUSES if name in factors]
    assert finding.verdict == verdict
    assert f"cover {len(covered)} of 3 causes ({', '.join(covered)})" in finding.sentence


def test_covering_what_random_moves_cover_as_well_decides_nothing(run_of):
    """Ten attributes cover all three causes; so do ten random moves when each third of them reaches one."""
    own = [move(cause, rank=rank) for rank, cause in enumerate([*CAUSES] * 3, start=1)]
    chance = random_moves(*[*CAUSES] * 20)
    (finding,) = causes_are_covered(run_of(factors=[*own, *chance], csv_factor_fit=FIT))
    assert finding.verdict == OPEN and "As many random moves cover 2.9" in finding.sentence


def test_causes_need_both_tables_and_random_moves(run_of):
    assert causes_are_covered(run_of(factors=[move("spots"), *random_moves("spots")])) == []
    assert causes_are_covered(run_of(factors=[move("spots")], csv_factor_fit=FIT)) == []
    assert causes_are_covered(run_of(csv_factor_fit=FIT)) == attributes_move_causes(run_of()) == []


@pytest.mark.parametrize(("rank", "change", "verdict"), [(2, -1.0, YES), (7, 1.0, OPEN), (1, 0.1, NO)])
def test_a_planted_bias_must_be_among_the_first_attributes(run_of, mnist, rank, change, verdict):
    biased = mnist.model_copy(update={"dataset": mnist.dataset.model_copy(update={"name": "leaves-biased"})})
    table = [move("spots"), move("background", change, rank=rank), *random_moves("background", *["spots"] * 99)]
    (finding,) = bias_is_found(run_of(biased, factors=table))
    assert finding.verdict == verdict and "planted factor is background" in finding.sentence
    assert bias_is_found(run_of(factors=table)) == []


def test_a_bias_that_random_moves_find_as_often_decides_nothing(run_of, mnist):
    biased = mnist.model_copy(update={"dataset": mnist.dataset.model_copy(update={"name": "leaves-biased"})})
    table = [move("background"), *random_moves(*["background", "spots"] * 20)]
    (finding,) = bias_is_found(run_of(biased, factors=table))
    assert finding.verdict == OPEN and "One of 3 random moves a class does so with p = 0.88" in finding.sentence


def test_published_answers_are_listed_with_their_spread(run_of):
    assert "Lang et al. 2021, Table 2, AFHQ cats/dogs, StylEx: 0.933 (± 0.05)." in published_accuracy(run_of())
