"""What M(z) has in common with E(x): both must be the same distribution of w, or G draws nothing from noise."""

from __future__ import annotations

import torch
from torch import Tensor


def energy_distance(drawn: Tensor, own: Tensor) -> Tensor:
    """Return 2 E|d - o| - E|d - d'| - E|o - o'| of samples [N, D] and [M, D], in float32.

    Székely and Rizzo 2013, unbiased, so it may be negative: zero on average if and only if both are of one
    distribution. As a loss of generated samples: the Cramér GAN (Bellemare et al. 2017), here without a critic, for w
    has few dimensions.
    """
    drawn, own = drawn.float(), own.float()
    return 2 * torch.cdist(drawn, own).mean() - _within(drawn) - _within(own)


def _within(samples: Tensor) -> Tensor:
    return torch.cdist(samples, samples).sum() / (len(samples) * max(len(samples) - 1, 1))
