"""How far a classifier's probabilities can be believed: Guo et al. 2017, 'On calibration of modern neural networks'.

Measured and recorded only: the classifier that is explained stays as it was trained. A temperature changes no decision,
but every logit, and so the effects of AttFind.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

BINS = 15  # of equal width, as in their experiments
LOWEST, HIGHEST = 0.01, 100.0  # temperatures looked at: on images without an error the best one would be 0


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Return the sum over bins of (images in it / n) x |accuracy - mean confidence|, in [0, 1] (their equation 3).

    probabilities: [n, classes]; the confidence is the largest; bin m holds those in ((m - 1) / bins, m / bins].
    labels: int64 [n].
    """
    confidence, decided = probabilities.double().max(1)
    bin_of = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gaps = torch.zeros(bins, dtype=torch.float64)
    gaps.index_add_(0, bin_of, (decided == labels).double() - confidence)
    return gaps.abs().sum().item() / len(labels)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the T in [0.01, 100] with the lowest cross-entropy of softmax(logits / T) (their section 4.2).

    logits: [n, classes] of images that were not trained on; labels: int64 [n]. The cross-entropy has one minimum in T.
    """
    from scipy.optimize import minimize_scalar  # takes long to import

    exact = logits.double()

    def cross_entropy(logarithm: float) -> float:
        return functional.cross_entropy(exact / math.exp(logarithm), labels).item()

    found: Any = minimize_scalar(cross_entropy, bounds=(math.log(LOWEST), math.log(HIGHEST)), method="bounded")
    return math.exp(found.x)


def calibration(val: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Return the record of metrics.json, given logits [n, classes] and labels [n] of both splits.

    `ece` is measured on the test split, `temperature` fitted on the validation split, `ece_scaled` measured with it.
    """
    temperature = fit_temperature(*val)
    logits, labels = test
    return {
        "bins": BINS,
        "ece": expected_calibration_error(logits.softmax(1), labels),
        "temperature": temperature,
        "ece_scaled": expected_calibration_error((logits / temperature).softmax(1), labels),
    }
