"""DiffAugment (Zhao et al. 2020): the same random transforms for all that D sees, differentiable, for small sets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stylex.classifiers.training import translate

TRANSLATION_FRACTION = 8  # images move by at most a side / 8
CUTOUT_FRACTION = 2  # a square of side / 2 is blanked


def augment(images: Tensor, policies: Sequence[str], generator: torch.Generator) -> Tensor:
    """Apply each policy of {'translation', 'cutout'} to images [N, C, H, W]; returns the same shape."""
    for policy in policies:
        if policy == "translation":
            images = shifted(images, images.shape[-1] // TRANSLATION_FRACTION, generator)
        else:
            images = cutout(images, images.shape[-1] // CUTOUT_FRACTION, generator)
    return images


def shifted(images: Tensor, maximum: int, generator: torch.Generator) -> Tensor:
    """Shift every image of [N, C, H, W] by its own whole pixels in [-maximum, maximum]; edges are repeated."""
    shifts = torch.randint(-maximum, maximum + 1, (len(images), 2), generator=generator, device=images.device)
    return translate(images, shifts)


def cutout(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Set a square of `side` pixels, anywhere on each image (also half outside), to zero, the middle grey."""
    count, _, height, width = images.shape
    centre = torch.rand((2, count, 1), generator=generator, device=images.device)
    rows = (torch.arange(height, device=images.device) - centre[0] * height).abs() < side / 2
    columns = (torch.arange(width, device=images.device) - centre[1] * width).abs() < side / 2
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])
