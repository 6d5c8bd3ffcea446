"""The losses as pure tensor functions ([L]: Lang et al. 2021, section 3.2).

The perceptual distance needs a network: it is in stylex.classifiers.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def discriminator_loss(real_scores: Tensor, fake_scores: Tensor, hinge: bool = False) -> Tensor:
    """Return mean softplus(-D(x)) + mean softplus(D(x')), a scalar (Goodfellow et al. 2014); scores [N] and [M].

    hinge: mean max(0, 1 - D(x)) + mean max(0, 1 + D(x')) (Lim and Ye 2017).
    """
    if hinge:
        return F.relu(1 - real_scores).mean() + F.relu(1 + fake_scores).mean()
    return F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()


def generator_loss(fake_scores: Tensor, hinge: bool = False) -> Tensor:
    """Return mean softplus(-D(x')), a scalar; hinge: -mean D(x'); scores [N]."""
    return -fake_scores.mean() if hinge else F.softplus(-fake_scores).mean()


def r1_penalty(real_scores: Tensor, images: Tensor) -> Tensor:
    """Return half the mean squared gradient norm of D at real images, a scalar (Mescheder et al. 2018).

    real_scores [N] computed from images [N, C, H, W], which require gradients.
    """
    (gradient,) = torch.autograd.grad(real_scores.sum(), images, create_graph=True)
    return 0.5 * gradient.square().sum(dim=(1, 2, 3)).mean()


def path_lengths(images: Tensor, w: Tensor, direction: Tensor) -> Tensor:
    """Return |J^T y| per sample [N], y = direction / side (Karras et al. 2020, section 3.2).

    images [N, C, H, W] computed from w [N, L, D], direction like images, standard normal; the norm is taken over D and
    averaged in square over the L layers.
    """
    (gradient,) = torch.autograd.grad((images * direction).sum() / images.shape[-1], w, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


def path_length_penalty(lengths: Tensor, mean: Tensor) -> Tensor:
    """Return the mean squared distance of the lengths [N] from their running mean (a scalar tensor)."""
    return (lengths - mean).square().mean()


def l1(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean absolute difference of two tensors of one shape, a scalar."""
    return (a - b).abs().mean()


def classifier_divergence(fake_logits: Tensor, real_logits: Tensor, reverse: bool = False) -> Tensor:
    """Return the mean KL(C(x') || C(x)) in nats, or KL(C(x) || C(x')) if `reverse`; logits [N, classes]."""
    fake, real = F.log_softmax(fake_logits, dim=1), F.log_softmax(real_logits, dim=1)
    if reverse:
        return F.kl_div(fake, real, reduction="batchmean", log_target=True)
    return F.kl_div(real, fake, reduction="batchmean", log_target=True)


def energy_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return 2 E|a - b| - E|a - a'| - E|b - b'| of samples [N, D] and [M, D], in float32 (Székely and Rizzo 2013).

    Unbiased, so it may be negative: zero on average if and only if both have one distribution. As a loss of generated
    samples: the Cramér GAN (Bellemare et al. 2017), here without a critic, for w has few dimensions.
    """
    a, b = a.float(), b.float()
    return 2 * torch.cdist(a, b).mean() - _mean_pairwise_distance(a) - _mean_pairwise_distance(b)


def _mean_pairwise_distance(samples: Tensor) -> Tensor:
    return torch.cdist(samples, samples).sum() / (len(samples) * max(len(samples) - 1, 1))
