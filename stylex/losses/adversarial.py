"""Non-saturating logistic GAN losses (Goodfellow et al. 2014; StyleGAN2)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """Return mean softplus(-D(x)) + mean softplus(D(x')), a scalar; scores [N] and [M]."""
    return F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()


def generator_loss(fake_scores: Tensor) -> Tensor:
    """Return mean softplus(-D(x')), a scalar; scores [N]."""
    return F.softplus(-fake_scores).mean()
