"""Claims about StylEx against its baselines, from the table `paired`."""

import pytest

from stylex.report.claims import Verdict
from stylex.report.claims.baselines import published_against, selects_better, trains_better

FIND = selects_better("without_cst", "wu_2021")


def row(only_a, only_b, p, a="without_cst", b="wu_2021", target="*", k=10, n=100):
    sides = {"experiment_a": "mnist", "method_a": a, "experiment_b": "mnist", "method_b": b}
    counts = {"k": k, "n": n, "only_a": only_a, "only_b": only_b, "difference": (only_a - only_b) / n}
    interval = {"low": (only_a - only_b) / n - 0.1, "high": (only_a - only_b) / n + 0.2, "p": p}
    return {"domain": "MNIST 3 / 5", "protocol": "held_out", "target_class": target} | sides | counts | interval


@pytest.mark.parametrize(
    ("only_a", "only_b", "p", "verdict"),
    [
        (30, 5, 0.0001, Verdict.SUPPORTS),
        (5, 30, 0.0001, Verdict.CONTRADICTS),
        (6, 5, 1.0, Verdict.UNDECIDED),
        (0, 0, float("nan"), Verdict.UNDECIDED),
    ],
)
def test_in_one_model_the_exact_test_decides_and_the_sign_says_for_whom(run_of, only_a, only_b, p, verdict):
    (finding,) = FIND(run_of(paired=[row(only_a, only_b, p)]))
    assert (finding.where, finding.verdict, finding.anchor) == ("MNIST 3 / 5", verdict, "table-paired")


def test_the_sentence_has_counts_protocol_difference_interval_and_p(run_of):
    (finding,) = FIND(run_of(paired=[row(30, 5, 0.0001)]))
    assert finding.sentence == (
        "Of 100 decisions, StylEx without CST (mnist) alone flips 30 and Wu et al. (StyleSpace) (mnist) alone 5 within"
        " the top 10, held out: a difference of +25.0 points (95 % interval +15.0 to +45.0, images resampled; exact"
        " McNemar test, p = 0.0001). One training."
    )


def test_the_order_of_the_methods_in_the_table_does_not_matter(run_of):
    (finding,) = FIND(run_of(paired=[row(5, 30, 0.0001, a="wu_2021", b="without_cst")]))
    assert finding.verdict == Verdict.SUPPORTS and "alone flips 30" in finding.sentence
    assert "+25.0 points (95 % interval +5.0 to +35.0" in finding.sentence


def test_the_row_of_all_directions_stands_for_its_directions(run_of):
    parts = [row(3, 1, 0.6, target="3"), row(27, 4, 0.0001, target="5")]
    assert FIND(run_of(paired=parts)) == []
    assert len(FIND(run_of(paired=[*parts, row(30, 5, 0.0001)]))) == 1


def test_without_table_or_pair_nothing_is_found(run_of):
    assert FIND(run_of()) == []
    assert FIND(run_of(paired=[row(30, 5, 0.0001, a="stylex")])) == []
    assert trains_better("stylex", "wu_2021")(run_of(paired=[row(30, 5, 0.0001)])) == []


def test_published_pairs_stand_by_domain(run_of):
    lines = published_against("stylex", "wu_2021")(run_of())
    assert len(lines) == 6
    assert "Lang et al. 2021, Table 3, Retina DME: StylEx 100.0 %, Wu et al. (StyleSpace) 0.0 %." in lines
