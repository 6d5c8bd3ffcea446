"""How well a network does on a split: logits, accuracies, calibration, R²; and the classes of an oracle.

Calibration (Guo et al. 2017) is measured and recorded only: the classifier that is explained stays as it was trained. A
temperature changes no decision, but every logit, and so the effects of AttFind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from stylex.config.base import REST
from stylex.datasets import ImageSplit
from stylex.errors import ArtifactError

BATCH = 256  # images at a time; the result does not depend on it
BINS = 15  # of equal width, as in the experiments of Guo et al.
LOWEST, HIGHEST = 0.01, 100.0  # temperatures looked at: on images without an error the best one would be 0
NEITHER = -1  # an answer of an oracle that is no class of the experiment


@torch.no_grad()
def predict(network: nn.Module, split: ImageSplit, device: str) -> Tensor:
    """Return the float32 outputs [N, outputs] of all images of `split`, on the CPU."""
    batches = torch.arange(len(split)).split(BATCH)
    return torch.cat([network(split.images(indices).to(device)).float().cpu() for indices in batches])


def confusion_matrix(logits: Tensor, labels: Tensor) -> Tensor:
    """Count images by true class (row) and predicted class (column): int64 [classes, classes]."""
    classes = logits.shape[1]
    return torch.bincount(labels * classes + logits.argmax(1), minlength=classes**2).reshape(classes, classes)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the fraction of images [N, classes] whose largest logit is that of their label [N]."""
    return (logits.argmax(1) == labels).float().mean().item()


def recalls(labels: Tensor, decided: Tensor) -> Tensor:
    """Return for each class among labels [n], in order, the fraction of its rows decided [n] as it."""
    return torch.stack([(decided[labels == label] == label).double().mean() for label in labels.unique()])


def balanced_accuracy(logits: Tensor, labels: Tensor) -> float:
    """Return the mean recall of the classes among labels [N]; one answer for all has 1 / classes."""
    return recalls(labels, logits.argmax(1)).mean().item()


def r_squared(predicted: Tensor, true: Tensor) -> Tensor:
    """Return 1 - (squared error) / (squared deviation from the mean) of each column of [N, F], as [F] float64."""
    predicted, true = predicted.double(), true.double()
    return 1 - (predicted - true).square().sum(0) / (true - true.mean(0)).square().sum(0)


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """Return the sum over bins of (images in it / n) x |accuracy - mean confidence|, in [0, 1] (equation 3).

    probabilities: [n, classes]; the confidence is the largest; bin m holds those in ((m - 1) / bins, m / bins].
    labels: int64 [n].
    """
    confidence, decided = probabilities.double().max(1)
    bin_of = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gaps = torch.zeros(bins, dtype=torch.float64)
    gaps.index_add_(0, bin_of, (decided == labels).double() - confidence)
    return gaps.abs().sum().item() / len(labels)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the T in [0.01, 100] with the lowest cross-entropy of softmax(logits / T) (section 4.2).

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


def measured(network: nn.Module, val: ImageSplit, test: ImageSplit, device: str) -> dict[str, Any]:
    """Return what metrics.json says of a classifier: on the test split, and as `val_…` on the validation split."""
    logits, val_logits = predict(network, test, device), predict(network, val, device)
    return {
        **_accuracies(logits, test.labels),
        "n": len(test),
        "class_names": list(test.class_names),
        "confusion_matrix": confusion_matrix(logits, test.labels).tolist(),
        **{f"val_{name}": value for name, value in _accuracies(val_logits, val.labels).items()},
        "val_n": len(val),
        "calibration": calibration((val_logits, val.labels), (logits, test.labels)),
    }


def _accuracies(logits: Tensor, labels: Tensor) -> dict[str, float]:
    return {
        "accuracy": accuracy(logits, labels),
        "balanced_accuracy": balanced_accuracy(logits, labels),
        "majority": labels.bincount().max().item() / len(labels),  # of one answer for all
    }


def matched(known: Sequence[str], class_names: Sequence[str], one_vs_rest: str | None) -> Tensor:
    """Return the experiment's class of each class that an oracle knows, by name, [known] int64; `NEITHER`: none.

    one_vs_rest: of such an experiment the one class; all others are its `REST`. Raises `ArtifactError` when the oracle
    does not know a class.
    """
    asked = class_names if one_vs_rest is None else [one_vs_rest]
    for name in asked:
        if name not in known:
            raise ArtifactError(
                f"the oracle does not know '{name}', but {', '.join(known)}; name another in evaluation.oracle"
            )
    others = NEITHER if one_vs_rest is None else list(class_names).index(REST)
    return torch.tensor([list(class_names).index(name) if name in asked else others for name in known])
