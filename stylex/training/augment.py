"""DiffAugment (Zhao et al. 2020): the same random transforms for all that D sees, differentiable, for small sets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stylex.classifiers.translation import translate

TRANSLATION_FRACTION = 8  # images move by at most a side / 8
CUTOUT_FRACTION = 2  # a square of side / 2 is blanked


def augment(images: Tensor, policies: Sequence[str], uniform: Tensor) -> Tensor:
    """Apply each policy of {'translation', 'cutout'} to images [N, C, H, W]; returns the same shape.

    uniform [N, 4] in [0, 1): two numbers for the shift, two for the centre of the square.
    """
    for policy in policies:
        if policy == "translation":
            images = shifted(images, images.shape[-1] // TRANSLATION_FRACTION, uniform[:, :2])
        else:
            images = cutout(images, images.shape[-1] // CUTOUT_FRACTION, uniform[:, 2:])
    return images


def shifted(images: Tensor, maximum: int, uniform: Tensor) -> Tensor:
    """Shift every image of [N, C, H, W] by its own whole pixels in [-maximum, maximum]; edges are repeated.

    uniform [N, 2] in [0, 1): down, right.
    """
    return translate(images, (uniform * (2 * maximum + 1)).long().clamp(max=2 * maximum) - maximum)


def cutout(images: Tensor, side: int, centre: Tensor) -> Tensor:
    """Set a square of `side` pixels, anywhere on each image (also half outside), to zero, the middle grey.

    centre [N, 2] in [0, 1): its row and column as fractions of the image.
    """
    height, width = images.shape[-2:]
    rows = (torch.arange(height, device=images.device) - centre[:, :1] * height).abs() < side / 2
    columns = (torch.arange(width, device=images.device) - centre[:, 1:] * width).abs() < side / 2
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])
