"""Between [-1, 1] and the bytes of an image file: the one place where an image is cut at black and white and rounded.

Everything that judges, measures or draws an image of the generator sees `quantized` images: what a person can be shown
and what another program reads from the file. Only training sees the generator's output as it comes: L_rec pulls values
beyond the ends back, which a cut would hide from it.
"""

from __future__ import annotations

import torch
from torch import Tensor

HALF = 127.5  # levels of a byte on either side of 0


def to_uint8(images: Tensor) -> Tensor:
    """Return images, float about [-1, 1], as the bytes that a file of them holds; nothing is rescaled."""
    return ((images.detach().clamp(-1, 1) + 1) * HALF).round().to(torch.uint8)


def from_uint8(pixels: Tensor) -> Tensor:
    """Return bytes as float32 in [-1, 1]; the inverse of `to_uint8`."""
    return pixels.float().div_(HALF).sub_(1.0)


def quantized(images: Tensor) -> Tensor:
    """Return images, float32 about [-1, 1], as a file of them would be read again.

    The gradient passes straight through the rounding, whose own is zero nearly everywhere, and not beyond the cut: a
    pixel that is black already does not become blacker.
    """
    stored = from_uint8(to_uint8(images))
    if not images.requires_grad:
        return stored
    cut = images.clamp(-1, 1)
    return cut + (stored - cut).detach()
