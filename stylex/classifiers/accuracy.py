"""How well a network does on a split: logits, confusion matrix, accuracies."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylex.datasets import ImageSplit

BATCH = 256  # images at a time; the result does not depend on it


@torch.no_grad()
def predict(network: nn.Module, split: ImageSplit, device: str) -> Tensor:
    """Return the float32 logits [N, classes] of all images of `split`, on the CPU."""
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
