"""Accuracies, R², calibration by hand, temperatures that are known, and classes matched by name."""

import math

import pytest
import torch

from stylex.classifiers.metrics import (
    HIGHEST,
    NEITHER,
    accuracy,
    balanced_accuracy,
    calibration,
    confusion_matrix,
    expected_calibration_error,
    fit_temperature,
    matched,
    r_squared,
)
from stylex.errors import ArtifactError

LOGITS = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [0.0, 1.0, 5.0], [9.0, 1.0, 2.0]])
LABELS = torch.tensor([0, 2, 2, 1])
DIGITS = tuple("0123456789")


def test_accuracies_by_hand():
    assert confusion_matrix(LOGITS, LABELS).tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]  # rows are true classes
    assert accuracy(LOGITS, LABELS) == 0.5
    assert balanced_accuracy(LOGITS, LABELS) == pytest.approx((1 + 0 + 1 / 2) / 3)
    labels, always = torch.tensor([0] * 580 + [1] * 20), torch.tensor([[1.0, 0.0]]).repeat(600, 1)
    assert accuracy(always, labels) == pytest.approx(580 / 600) and balanced_accuracy(always, labels) == 0.5


def test_two_hundred_classes_of_which_some_have_no_image():
    labels = torch.tensor([0, 199, 199])
    matrix = confusion_matrix(torch.nn.functional.one_hot(torch.tensor([0, 199, 7]), 200), labels)
    assert matrix.shape == (200, 200) and matrix.sum() == 3
    assert matrix[0, 0] == matrix[199, 199] == matrix[199, 7] == 1


def test_r_squared_by_hand():
    true = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 4.0]])  # squared deviations from the mean: 2, 6
    predicted = torch.tensor([[0.0, 2.0], [1.0, 2.0], [1.0, 2.0]])  # squared errors: 1, 6
    assert r_squared(predicted, true).tolist() == pytest.approx([0.5, 0.0])


def graded(*groups: tuple[float, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of two classes and labels: for each (p, n, k), n images of probability p for class 1, k of them of it."""
    logits, labels = [], []
    for p, n, k in groups:
        logits += [[0.0, math.log(p / (1 - p))]] * n
        labels += [1] * k + [0] * (n - k)
    return torch.tensor(logits, dtype=torch.float64), torch.tensor(labels)


def test_calibration_error_by_hand():
    probabilities = torch.tensor([[0.95, 0.05], [0.05, 0.95], [0.62, 0.38], [0.38, 0.62]])
    labels = torch.tensor([0, 0, 0, 1])  # of the two at 0.95 one is right, of the two at 0.62 both
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.5 * 0.45 + 0.5 * 0.38)
    one_bin = expected_calibration_error(probabilities, labels, bins=1)  # accuracy 0.75, mean confidence 0.785
    assert one_bin == pytest.approx(0.035)
    logits, labels = graded((0.9, 10, 9), (0.75, 8, 6))  # frequencies that are the probabilities
    assert expected_calibration_error(logits.softmax(1), labels) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_logits_scaled_by_a_temperature_give_it_back(temperature):
    logits, labels = graded((0.9, 10, 9), (0.75, 8, 6), (0.3, 10, 3))  # its cross-entropy is lowest at 1
    found = fit_temperature(logits * temperature, labels)
    assert found == pytest.approx(temperature, rel=1e-3)
    record = calibration((logits * temperature, labels), (logits * temperature, labels))
    assert record["ece_scaled"] < 1e-3 and (record["ece"] > 0.05 or temperature == 1)
    assert record["bins"] == 15 and record["temperature"] == found


def test_answers_that_are_chance_get_the_highest_temperature():
    logits, labels = graded((0.9, 10, 5), (0.1, 10, 5))
    assert fit_temperature(logits, labels) == pytest.approx(HIGHEST, rel=0.01)


@pytest.mark.parametrize(
    ("known", "class_names", "one_vs_rest", "expected"),
    [
        (DIGITS, ("5", "3"), None, [NEITHER] * 3 + [1, NEITHER, 0] + [NEITHER] * 4),
        (("b", "a"), ("a", "b"), None, [1, 0]),
        (DIGITS, ("rest", "3"), "3", [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
        (("rest", "x", "y"), ("rest", "x"), None, [0, 1, NEITHER]),  # a class that is called so
    ],
)
def test_classes_of_an_oracle_are_matched_by_name(known, class_names, one_vs_rest, expected):
    assert matched(known, class_names, one_vs_rest).tolist() == expected


@pytest.mark.parametrize(("class_names", "one_vs_rest"), [(("3", "seven"), None), (("rest", "seven"), "seven")])
def test_an_oracle_that_does_not_know_a_class_is_one_line(class_names, one_vs_rest):
    with pytest.raises(ArtifactError, match="the oracle does not know 'seven'"):
        matched(DIGITS, class_names, one_vs_rest)
