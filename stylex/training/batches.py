"""Real images in random order, with the classifier's logits for them, from a position that a checkpoint can restore."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stylex.classifiers import Classifier
from stylex.datasets import ImageSplit
from stylex.training.augment import shifted

LOGITS_BATCH = 256


class RealBatches:
    """Endless shuffled batches. C(x) is computed once an image, unless images are shifted at random."""

    def __init__(
        self, split: ImageSplit, classifier: Classifier, batch_size: int, max_translation: int, device: str
    ) -> None:
        self.split, self.classifier, self.device = split, classifier, device
        self.batch_size, self.max_translation = min(batch_size, len(split)), max_translation
        self.order, self.position = torch.empty(0, dtype=torch.int64), 0
        self.logits = None if max_translation else self._all_logits()

    def next(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return images [B, C, H, W] in [-1, 1] and C(x) [B, classes]; every image comes once an epoch."""
        if self.position + self.batch_size > len(self.order):
            self.order = torch.randperm(len(self.split), generator=generator, device=generator.device).cpu()
            self.position = 0
        index = self.order[self.position : self.position + self.batch_size]
        self.position += self.batch_size
        images = self.split.images(index).to(self.device)
        if self.logits is not None:
            return images, self.logits[index].to(self.device)
        images = shifted(images, self.max_translation, generator)
        with torch.no_grad():
            return images, self.classifier(images)

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs."""
        return {"order": self.order, "position": self.position}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved position."""
        self.order, self.position = state["order"], state["position"]

    def _all_logits(self) -> Tensor:
        with torch.no_grad():
            index = torch.arange(len(self.split)).split(LOGITS_BATCH)
            return torch.cat([self.classifier(self.split.images(part).to(self.device)).cpu() for part in index])
