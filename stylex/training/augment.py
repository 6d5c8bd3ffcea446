"""DiffAugment (Zhao et al. 2020): the same random transforms for all that D sees, differentiable, for small sets."""

from __future__ import annotations

import torch
from torch import Tensor

TRANSLATION_FRACTION = 8  # images move by at most a side / 8
CUTOUT_FRACTION = 2  # a square of side / 2 is blanked


def augment(images: Tensor, policies: list[str], generator: torch.Generator) -> Tensor:
    """Apply each policy of {'translation', 'cutout'} to images [N, C, H, W]; returns the same shape."""
    for policy in policies:
        if policy == "translation":
            images = translate(images, images.shape[-1] // TRANSLATION_FRACTION, generator)
        else:
            images = cutout(images, images.shape[-1] // CUTOUT_FRACTION, generator)
    return images


def translate(images: Tensor, maximum: int, generator: torch.Generator) -> Tensor:
    """Shift every image of [N, C, H, W] by its own whole pixels in [-maximum, maximum]; edges are repeated."""
    count, _, height, width = images.shape
    shift = torch.randint(-maximum, maximum + 1, (2, count, 1), generator=generator, device=images.device)
    rows = (torch.arange(height, device=images.device) + shift[0]).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) + shift[1]).clamp(0, width - 1)
    sample = torch.arange(count, device=images.device)[:, None, None]
    moved = images.permute(0, 2, 3, 1)[sample, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def cutout(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Set a square of `side` pixels, anywhere on each image (also half outside), to zero, the middle grey."""
    count, _, height, width = images.shape
    centre = torch.rand((2, count, 1), generator=generator, device=images.device)
    rows = (torch.arange(height, device=images.device) - centre[0] * height).abs() < side / 2
    columns = (torch.arange(width, device=images.device) - centre[1] * width).abs() < side / 2
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])


