"""Real images in random order, with what frozen networks say of them, from a position that a checkpoint can restore."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylex.config import StylexConfig
from stylex.datasets import ImageSplit
from stylex.errors import ConfigError
from stylex.training.augment import shifted
from stylex.training.judges import Judges, autocast
from stylex.training.processes import Processes

JUDGING_BATCH = 64


@dataclass(frozen=True)
class Reals:
    """Real images and what the judges say of them."""

    images: Tensor
    """[B, C, H, W] in [-1, 1]"""
    logits: Tensor
    """C(x) [B, classes]"""
    features: list[Tensor]
    """Maps of the perceptual distance, [B, ...] each; empty without a perceptual loss."""

    def rows(self, rows: slice) -> Reals:
        """Return the images of `rows`."""
        return Reals(self.images[rows], self.logits[rows], [maps[rows] for maps in self.features])


class RealBatches:
    """Endless shuffled batches, of which each process gets its share.

    C(x) and, where memory allows, the perceptual features are computed once an image, unless images are shifted at
    random.
    """

    def __init__(
        self, split: ImageSplit, judges: Judges, config: StylexConfig, processes: Processes, device: str
    ) -> None:
        self.split, self.judges, self.device = split, judges, device
        self.config, self.perceptual = config.training, config.losses.reconstruction_perceptual > 0
        if len(split) < self.config.batch_size:
            raise ConfigError(
                f"stylex.training.batch_size {self.config.batch_size} is more than the {len(split)} training images:"
                " lower it"
            )
        self.share = processes.share(self.config.batch_size)
        self.order, self.position = torch.empty(0, dtype=torch.int64), 0
        moving = self.config.max_translation > 0
        self.logits = [] if moving else self._of_all(self._logits)
        self.features = [] if moving or not self._fits() else self._of_all(self._features)

    def next(self, generator: torch.Generator, features: bool = True) -> Reals:
        """Return this process's share of the next batch; every image comes once an epoch.

        features: of the perceptual distance, too.
        """
        size = self.config.batch_size
        if self.position + size > len(self.order):
            self.order = torch.randperm(len(self.split), generator=generator, device=generator.device).cpu()
            self.position = 0
        index = self.order[self.position : self.position + size][self.share]
        self.position += size
        images = self.split.images(index).to(self.device)
        if self.config.max_translation:
            uniform = torch.rand((size, 2), generator=generator, device=generator.device)[self.share]
            images = shifted(images, self.config.max_translation, uniform)
        (logits,) = self._look_up(self.logits, index) or self._logits(images)
        maps = (self._look_up(self.features, index) or self._features(images)) if features else []
        return Reals(images, logits, maps)

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs."""
        return {"order": self.order, "position": self.position}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved position."""
        self.order, self.position = state["order"], state["position"]

    def restart(self) -> None:
        """Begin a new epoch, in a new order, with the next batch."""
        self.order, self.position = torch.empty(0, dtype=torch.int64), 0

    def _look_up(self, known: list[Tensor], index: Tensor) -> list[Tensor]:
        return [each[index].to(self.device) for each in known]

    @torch.no_grad()
    def _logits(self, images: Tensor) -> list[Tensor]:
        # In float32 whatever the precision of training: the condition is what the user's classifier says.
        return [self.judges.classifier(images)]

    @torch.no_grad()
    def _features(self, images: Tensor) -> list[Tensor]:
        if not self.perceptual:
            return []
        with autocast(self.config, self.device):
            return self.judges.training_perceptual.features(images)

    def _fits(self) -> bool:
        one = self._features(self.split.images(torch.zeros(1, dtype=torch.int64)).to(self.device))
        needed = len(self.split) * sum(maps.numel() * maps.element_size() for maps in one)
        return needed <= self.config.cache_mib << 20

    def _of_all(self, judge: Callable[[Tensor], list[Tensor]]) -> list[Tensor]:
        index = torch.arange(len(self.split)).split(JUDGING_BATCH)
        parts = [[each.cpu() for each in judge(self.split.images(part).to(self.device))] for part in index]
        return [torch.cat(each) for each in zip(*parts, strict=True)]
