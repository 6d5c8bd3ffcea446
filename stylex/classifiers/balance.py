"""Classes of unequal size: weights inverse to their frequency in the training split."""

from __future__ import annotations

import torch
from torch import Tensor

from stylex.errors import DatasetError


def class_weights(labels: Tensor, class_names: tuple[str, ...]) -> Tensor:
    """Return n / (classes x images of the class) for each class, float32 [classes]: their mean over the images is 1.

    labels: int64 [n]. Raises `DatasetError` when a class has no image.
    """
    counts = torch.bincount(labels, minlength=len(class_names))
    if not counts.all():
        empty = class_names[int(counts.argmin())]
        raise DatasetError(
            f"class '{empty}' has no image in the training split: leave it out of dataset.classes, or set balance: none"
        )
    return len(labels) / (len(class_names) * counts.float())


def drawing_weights(labels: Tensor, class_names: tuple[str, ...]) -> Tensor:
    """Return the relative probability of drawing each image, float32 [n], with which all classes are equally likely."""
    return class_weights(labels, class_names)[labels]
