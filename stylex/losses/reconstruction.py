"""The pixel and latent terms of L_rec ([L] 3.2); the perceptual term needs a network: see stylex.classifiers."""

from __future__ import annotations

from torch import Tensor


def l1(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean absolute difference of two tensors of one shape, a scalar."""
    return (a - b).abs().mean()
