"""Calibration by hand, and temperatures that are known."""

import math

import pytest
import torch

from stylex.classifiers.calibration import HIGHEST, calibration, expected_calibration_error, fit_temperature


def graded(*groups: tuple[float, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of two classes and labels: for each (p, n, k), n images of probability p for class 1, k of them of it."""
    logits, labels = [], []
    for p, n, k in groups:
        logits += [[0.0, math.log(p / (1 - p))]] * n
        labels += [1] * k + [0] * (n - k)
    return torch.tensor(logits, dtype=torch.float64), torch.tensor(labels)


def test_error_by_hand():
    probabilities = torch.tensor([[0.95, 0.05], [0.05, 0.95], [0.62, 0.38], [0.38, 0.62]])
    labels = torch.tensor([0, 0, 0, 1])  # of the two at 0.95 one is right, of the two at 0.62 both
    assert expected_calibration_error(probabilities, labels) == pytest.approx(0.5 * 0.45 + 0.5 * 0.38)
    one_bin = expected_calibration_error(probabilities, labels, bins=1)  # accuracy 0.75, mean confidence 0.785
    assert one_bin == pytest.approx(0.035)


def test_frequencies_that_are_the_probabilities_have_no_error():
    logits, labels = graded((0.9, 10, 9), (0.75, 8, 6))
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
