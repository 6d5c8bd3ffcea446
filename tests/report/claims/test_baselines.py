"""Claims about StylEx against its baselines, from the table `paired`."""

import pytest

from stylex.report.claims import Verdict
from stylex.report.claims.baselines import flips_more, published_against

FIND = flips_more("stylex", "without_cst")


def row(only_a, only_b, p, a="stylex", b="without_cst", target="*", k=10, n=100):
    sides = {"experiment_a": "mnist", "method_a": a, "experiment_b": "mnist-without-cst", "method_b": b}
    counts = {"k": k, "n": n, "only_a": only_a, "only_b": only_b, "difference": (only_a - only_b) / n, "p": p}
    return {"domain": "MNIST 3 / 5", "target_class": target} | sides | counts


@pytest.mark.parametrize(
    ("only_a", "only_b", "p", "verdict"),
    [
        (30, 5, 0.0001, Verdict.SUPPORTS),
        (5, 30, 0.0001, Verdict.CONTRADICTS),
        (6, 5, 1.0, Verdict.UNDECIDED),
        (0, 0, float("nan"), Verdict.UNDECIDED),
    ],
)
def test_the_exact_test_decides_and_the_sign_says_for_whom(run_of, only_a, only_b, p, verdict):
    (finding,) = FIND(run_of(paired=[row(only_a, only_b, p)]))
    assert (finding.where, finding.verdict, finding.anchor) == ("MNIST 3 / 5", verdict, "table-paired")


def test_the_sentence_has_counts_difference_interval_and_p(run_of):
    (finding,) = FIND(run_of(paired=[row(30, 5, 0.0001)]))
    # Wald: 0.25 ± 1.96 sqrt(35 - 100 · 0.0625) / 100
    assert "Of 100 images, StylEx (mnist) alone flips 30 and StylEx without CST (mnist-without-cst) alone 5" in (
        finding.sentence
    )
    assert "+25.0 points (95 % Wald interval +14.5 to +35.5; exact McNemar test, p = 0.0001)" in finding.sentence


def test_the_order_of_the_methods_in_the_table_does_not_matter(run_of):
    (finding,) = FIND(run_of(paired=[row(5, 30, 0.0001, a="without_cst", b="stylex")]))
    assert finding.verdict == Verdict.SUPPORTS and "alone flips 30" in finding.sentence


def test_the_pooled_row_stands_for_its_directions_and_these_for_a_missing_one(run_of):
    parts = [row(3, 1, 0.6, target="3"), row(27, 4, 0.0001, target="5")]
    assert len(FIND(run_of(paired=parts))) == 2
    (finding,) = FIND(run_of(paired=[*parts, row(30, 5, 0.0001)]))
    assert "towards" not in finding.sentence


def test_the_largest_k_up_to_ten_is_taken(run_of):
    table = [row(1, 0, 1.0, k=1), row(30, 5, 0.0001, k=10), row(0, 0, 1.0, k=40)]
    (finding,) = FIND(run_of(paired=table))
    assert "top 10" in finding.sentence


def test_without_table_or_pair_nothing_is_found(run_of):
    assert FIND(run_of()) == []
    assert FIND(run_of(paired=[row(30, 5, 0.0001, b="wu_2021")])) == []


def test_published_pairs_stand_by_domain(run_of):
    lines = published_against("stylex", "wu_2021")(run_of())
    assert len(lines) == 6
    assert "Lang et al. 2021, Table 3, Retina DME: StylEx 100.0 %, Wu et al. (StyleSpace) 0.0 %." in lines
