"""Statistics of answers against closed forms and published examples."""

from math import isnan

import pandas
import pytest

from stylex.study.statistics import accuracy_by_question, clopper_pearson, fleiss_kappa, mean_and_sds, summarise


def answers(table: dict[str, str]) -> pandas.DataFrame:
    """Questions whose right answer is A, with one letter a participant."""
    rows = [
        {"participant": person, "question": question, "answer": letter, "correct_answer": "A"}
        for question, letters in table.items()
        for person, letter in enumerate(letters)
    ]
    return pandas.DataFrame(rows)


@pytest.mark.parametrize("n", [1, 10, 54])
def test_exact_interval_at_the_ends_has_a_closed_form(n):
    assert clopper_pearson(n, n) == pytest.approx((0.025 ** (1 / n), 1.0))
    assert clopper_pearson(0, n) == pytest.approx((0.0, 1 - 0.025 ** (1 / n)))


def test_exact_interval_of_nothing_is_everything():
    assert clopper_pearson(0, 0) == (0.0, 1.0)


def test_both_standard_deviations():
    assert mean_and_sds([0.0, 1.0]) == pytest.approx((0.5, 0.5, 0.5**0.5))
    assert isnan(mean_and_sds([0.7])[2])


def test_agreement_of_the_example_of_fleiss():
    counts = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=5e-4)


def test_agreement_is_one_when_all_agree_and_undefined_without_variety():
    assert fleiss_kappa([[3, 0], [0, 3]]) == 1
    assert isnan(fleiss_kappa([[3, 0], [3, 0]]))
    assert isnan(fleiss_kappa([[1, 0], [0, 1]]))  # nobody to agree with


def test_agreement_counts_only_the_answers_that_were_given():
    assert fleiss_kappa([[4, 0], [0, 2], [1, 0]]) == 1


def test_accuracy_by_question_keeps_their_order():
    frame = accuracy_by_question(answers({"2": "AB", "1": "AAA"}))
    assert frame["question"].tolist() == ["2", "1"]
    assert frame["n"].tolist() == [2, 3] and frame["accuracy"].tolist() == [0.5, 1.0]
    assert tuple(frame.loc[1, ["low", "high"]]) == pytest.approx(clopper_pearson(3, 3))


def test_summary_and_its_interval_are_over_questions():
    summary = summarise(answers({"1": "AAAA", "2": "AABB"}), seed=0)
    assert (summary.questions, summary.participants) == (2, 4)
    assert (summary.mean, summary.population_sd) == (0.75, 0.25)
    assert summary.sample_sd == pytest.approx(0.125**0.5)
    assert (summary.low, summary.high) == (0.5, 1.0)  # of two questions each comes twice with a probability of 1/4
    # observed: (1 + 1/3) / 2; by chance: (6/8)^2 + (2/8)^2
    assert summary.kappa == pytest.approx((2 / 3 - 0.625) / 0.375)


def test_more_answers_about_the_same_attributes_do_not_narrow_the_interval():
    """Six attributes, four told apart always and two never: hundreds of answers are still six attributes."""
    few = answers({str(question): "A" * 5 if question < 4 else "B" * 5 for question in range(6)})
    many = answers({str(question): "A" * 100 if question < 4 else "B" * 100 for question in range(6)})
    summary = summarise(many, seed=0)
    assert (summary.low, summary.high) == (summarise(few, seed=0).low, summarise(few, seed=0).high)
    assert summary.low < 0.5 < clopper_pearson(400, 600)[0]  # pooled answers would say: more than guessing


def test_one_question_has_no_interval_over_questions():
    summary = summarise(answers({"1": "AAAB"}), seed=0)
    assert summary.mean == 0.75 and isnan(summary.low) and isnan(summary.high)
