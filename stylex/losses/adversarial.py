"""Adversarial losses: non-saturating logistic (Goodfellow et al. 2014; StyleGAN2), and hinge (Lim and Ye 2017)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor, hinge: bool = False) -> Tensor:
    """Return mean softplus(-D(x)) + mean softplus(D(x')), a scalar; scores [N] and [M].

    hinge: mean max(0, 1 - D(x)) + mean max(0, 1 + D(x')).
    """
    if hinge:
        return F.relu(1 - real_scores).mean() + F.relu(1 + fake_scores).mean()
    return F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()


def generator_loss(fake_scores: Tensor, hinge: bool = False) -> Tensor:
    """Return mean softplus(-D(x')), a scalar; hinge: -mean D(x'); scores [N]."""
    return -fake_scores.mean() if hinge else F.softplus(-fake_scores).mean()
