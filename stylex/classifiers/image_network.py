"""What every network of this package is: stages that give maps, an embedding and a head that gives logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

Statistics: TypeAlias = tuple[Sequence[float], Sequence[float]]  # mean and sd of each channel of images in [0, 1]
IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # of torchvision's published weights
UNIT: Statistics = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # [-1, 1], of TensorFlow's MobileNet


class ImageNetwork(nn.Module):
    """A classification network cut into stages, so that one definition gives maps, embedding and logits.

    statistics: the network takes images normalised by these, in three channels, which is then its first step.
    """

    centre: Tensor | None
    spread: Tensor | None

    def __init__(
        self, stages: Sequence[nn.Module], features: int, classes: int, statistics: Statistics | None = None
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.head = nn.Linear(features, classes)
        centre = spread = None
        if statistics is not None:  # of images in [-1, 1], not in [0, 1]
            mean, sd = (torch.tensor(values).reshape(3, 1, 1) for values in statistics)
            centre, spread = 2 * mean - 1, 2 * sd
        self.register_buffer("centre", centre, persistent=False)  # known by the description, not by the weights
        self.register_buffer("spread", spread, persistent=False)

    def preprocess(self, images: Tensor) -> Tensor:
        """Return images [N, C, H, W] in [-1, 1] as the first stage takes them; grey ones in three equal channels."""
        if self.centre is None or self.spread is None:
            return in_fast_layout(images)
        return in_fast_layout((images.expand(-1, 3, -1, -1) - self.centre) / self.spread)

    def maps(self, images: Tensor, count: int) -> list[Tensor]:
        """Map images [N, C, H, W] in [-1, 1] to the first `count` stages' outputs [N, Ci, Hi, Wi], finest first."""
        hidden, maps = self.preprocess(images), []
        for stage in self.stages[:count]:
            hidden = stage(hidden)
            maps.append(hidden)
        return maps

    def embedding(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to penultimate features [N, D]: the spatial mean of the last stage."""
        return self.maps(images, len(self.stages))[-1].mean((2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to logits [N, classes]."""
        return self.head(self.embedding(images))


def in_fast_layout(images: Tensor) -> Tensor:
    """Return [N, C, H, W] in the layout that convolutions want."""
    if images.shape[1] == 1:  # fits both layouts: the strides name the one wanted, or convolutions choose the slower
        return images.reshape(len(images), *images.shape[2:], 1).permute(0, 3, 1, 2)
    return images.contiguous(memory_format=torch.channels_last)
