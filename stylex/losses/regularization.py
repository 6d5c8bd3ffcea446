"""R1 (Mescheder et al. 2018) and path-length regularisation (Karras et al. 2020, section 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor


def r1_penalty(real_scores: Tensor, images: Tensor) -> Tensor:
    """Return half the mean squared gradient norm of D at real images: zero-centred, a scalar.

    real_scores [N] computed from images [N, C, H, W], which require gradients.
    """
    (gradient,) = torch.autograd.grad(real_scores.sum(), images, create_graph=True)
    return 0.5 * gradient.square().sum(dim=(1, 2, 3)).mean()


def path_lengths(images: Tensor, w: Tensor, direction: Tensor) -> Tensor:
    """Return |J^T y| per sample [N], y = direction / side: a random image of unit pixel variance, scaled.

    images [N, C, H, W] computed from w [N, L, D], direction like images; the norm is taken over D and averaged in
    square over the L layers.
    """
    (gradient,) = torch.autograd.grad((images * direction).sum() / images.shape[-1], w, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def path_length_penalty(lengths: Tensor, mean: Tensor) -> Tensor:
    """Return the mean squared distance of the lengths [N] from their running mean (a scalar tensor)."""
    return (lengths - mean).square().mean()
