"""StyleSpace: the concatenated styles of all 3x3 modulated convolutions, ToRGB excluded (Wu et al. 2021; [L] 3.3)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class StyleVector(NamedTuple):
    """All styles of a batch, as data: analyses perturb `space` and carry `to_rgb` along."""

    space: Tensor  # [N, K], the StyleSpace coordinates
    to_rgb: Tensor  # [N, R], the styles of the ToRGB layers, which StyleSpace leaves out

    def select(self, index: Tensor | slice) -> StyleVector:
        """Return the rows named by `index` (int64, bool or a slice)."""
        return StyleVector(self.space[index], self.to_rgb[index])

    def to(self, device: torch.device | str) -> StyleVector:
        """Return the same styles on `device`."""
        return StyleVector(self.space.to(device), self.to_rgb.to(device))


class StyleSpaceLayout:
    """Owns K and the map from a flat style index to (layer, channel)."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        """`widths`: input channels of every styled convolution, from 4x4 upward."""
        self.widths = widths
        self.offsets = tuple(sum(widths[:layer]) for layer in range(len(widths)))

    @property
    def size(self) -> int:
        """K, the dimension of StyleSpace."""
        return sum(self.widths)

    def locate(self, style_index: int) -> tuple[int, int]:
        """Return (layer, channel) of a flat index; raise IndexError outside 0..K-1."""
        if not 0 <= style_index < self.size:
            raise IndexError(f"style index {style_index} is outside 0..{self.size - 1}")
        layer = max(i for i, offset in enumerate(self.offsets) if offset <= style_index)
        return layer, style_index - self.offsets[layer]

    def rows(self) -> list[slice]:
        """Return the flat indices of each layer."""
        return [slice(offset, offset + width) for offset, width in zip(self.offsets, self.widths, strict=True)]

    def split(self, space: Tensor) -> list[Tensor]:
        """Split [N, K] into one [N, width] a layer (views)."""
        return list(space.split(self.widths, dim=1))


def move(space: Tensor, index: Tensor, extreme: Tensor, shift: float | Tensor) -> Tensor:
    """Move coordinates towards their extremes: s + shift * (extreme - s), method.md's AttFind step.

    space [N, K], which is not changed; index [k] int64, where of one that comes twice the last counts; extreme [k],
    or [N, k] of each row its own, as `shift` may be [N, 1].
    """
    moved = space.clone()
    last = list({coordinate: place for place, coordinate in enumerate(index.tolist())}.values())
    index, extreme = index[last], extreme[..., last]
    current = space[:, index]
    moved[:, index] = current + shift * (extreme.to(space) - current)
    return moved
