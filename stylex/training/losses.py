"""The losses ([L]: Lang et al. 2021, section 3.2): pure tensor functions, and the tables of the terms of G's loss.

A new term is a function, its line in `ENCODER_TERMS` or `NOISE_TERMS`, and its weight of the same name in LossesConfig.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stylex.classifiers import perceptual_distance
from stylex.config.training import LossesConfig
from stylex.networks.model import StylexNetworks
from stylex.training.sampler import FrozenNetworks, RandomNumbers, RealBatch


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


@dataclass(frozen=True)
class Fakes:
    """The output of one forward pass of the generator."""

    images: Tensor
    w: Tensor
    logits: Tensor  # [N, classes]: the condition of the generator
    unmixed: Tensor | None  # [N] bool: all coordinates have that condition; None: those of every sample have
    discriminator_logits: Tensor  # [N, classes], without gradient: the condition of D, that of the generator or C(fake)


@dataclass(frozen=True)
class GeneratorPass:
    """What a term of G's loss is computed from."""

    config: LossesConfig
    networks: StylexNetworks
    frozen: FrozenNetworks
    reals: RealBatch
    random: RandomNumbers
    fakes: Fakes

    def divergence(self, rows: Tensor | slice = slice(None), logits: Tensor | None = None) -> Tensor:
        """Return the divergence of C(fakes) of these rows from `logits`; default: from those of the real images."""
        fake_logits = self.frozen.training_classifier(self.fakes.images[rows])
        expected = self.reals.logits if logits is None else logits
        return classifier_divergence(fake_logits, expected, self.config.classifier_divergence == "reverse")


Term = Callable[[GeneratorPass], Tensor]


def pixel_term(given: GeneratorPass) -> Tensor:
    """Return the mean absolute difference of reconstructions and images."""
    return l1(given.fakes.images, given.reals.images)


def perceptual_term(given: GeneratorPass) -> Tensor:
    """Return the mean perceptual distance of reconstructions and images."""
    return perceptual_distance(given.frozen.perceptual.features(given.fakes.images), given.reals.features).mean()


def w_term(given: GeneratorPass) -> Tensor:
    """Return the mean absolute difference of E(reconstruction) and E(image)."""
    return l1(given.networks.encoder(given.fakes.images), given.fakes.w)


def classifier_term(given: GeneratorPass) -> Tensor:
    """Return L_cls: the divergence of the classifier's answers to reconstructions from those to the images."""
    return given.divergence()


def mapping_term(given: GeneratorPass) -> Tensor:
    """Return the energy distance of M(z) from E(x), of which only M learns."""
    return energy_distance(given.networks.mapping(given.random.z.flatten(0, 1)), given.fakes.w.detach())


def classifier_noise_term(given: GeneratorPass) -> Tensor:
    """Return the divergence from the condition of samples, over those whose coordinates all have it."""
    logits, unmixed = given.fakes.logits, given.fakes.unmixed
    if unmixed is None:
        return given.divergence(logits=logits)
    rows = torch.nonzero(unmixed).flatten()  # waits for the device: their number is random
    if not len(rows):
        return given.fakes.images.new_zeros(())
    return given.divergence(rows, logits[rows]) * unmixed.float().mean()


# By the name of their weight, in the order in which they are added; of encoder steps, and of noise steps.
ENCODER_TERMS: dict[str, Term] = {
    "reconstruction_x": pixel_term,
    "reconstruction_perceptual": perceptual_term,
    "reconstruction_w": w_term,
    "classifier": classifier_term,
    "mapping": mapping_term,
}
NOISE_TERMS: dict[str, Term] = {"classifier_noise": classifier_noise_term}
AUTOENCODER_TERMS = ("reconstruction_x", "mapping")  # of the encoder's, before the discriminator takes part
ALWAYS = "reconstruction_x"  # whatever its weight: the history shows it


def generator_terms(given: GeneratorPass, terms: dict[str, Term]) -> dict[str, Tensor]:
    """Return the unweighted terms, scalars; those of weight 0 are not computed."""
    return {name: term(given) for name, term in terms.items() if name == ALWAYS or getattr(given.config, name)}
