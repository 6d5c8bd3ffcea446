"""One training step: D, then G with E (encoder steps) or M (noise steps) ([L] 3.2, [V] 4.1).

The fakes of a step are rendered once: D learns from them detached, then G through the updated D. Losses are float32;
convolutions run in the configured precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stylex.classifiers import Classifier, FeatureBackbone, perceptual_distance
from stylex.config import StylexConfig
from stylex.losses.adversarial import discriminator_loss, generator_loss
from stylex.losses.classifier import classifier_divergence
from stylex.losses.reconstruction import l1
from stylex.losses.regularization import path_length_penalty, path_lengths, r1_penalty
from stylex.networks.model import StylexNetworks
from stylex.training.augment import augment
from stylex.training.state import TrainingState

PATH_LENGTH_BATCH_SHRINK = 2  # StyleGAN2 measures path lengths on half a batch


@dataclass(frozen=True)
class Judges:
    """The frozen networks that training consults."""

    classifier: Classifier
    backbone: FeatureBackbone


@dataclass(frozen=True)
class Fakes:
    """What one forward pass of the generator made."""

    images: Tensor
    w: Tensor
    from_encoder: bool


def train_step(
    state: TrainingState, config: StylexConfig, judges: Judges, real: Tensor, logits: Tensor
) -> dict[str, Tensor]:
    """Update all networks with real images [B, C, H, W] and C(x) [B, classes]; return the loss terms, detached."""
    device = real.device.type
    dtype = getattr(torch, config.training.precision)
    terms: dict[str, Tensor] = {}
    with torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32):
        probabilities = logits.softmax(dim=1)
        fakes = generate(state, config, real, logits)
        terms |= _discriminator_step(state, config, real, fakes, probabilities)
        if config.losses.r1_gamma and state.step % config.losses.r1_interval == 0:
            terms["r1"] = _r1_step(state, config, real, probabilities)
        terms |= _generator_step(state, config, judges, real, logits, fakes)
        if config.losses.path_length and state.step % config.losses.path_length_interval == 0:
            terms["path_length"] = _path_length_step(state, config, logits)
    state.update_ema(len(real), config.training.ema_half_life)
    state.step += 1
    state.images += len(real)
    return terms


def generate(state: TrainingState, config: StylexConfig, real: Tensor, logits: Tensor) -> Fakes:
    """Render a batch from E(x) on even steps and from M(z) on odd ones, both conditioned on c(x) of the real batch."""
    networks = state.networks
    from_encoder = not config.training.alternating or state.step % 2 == 0
    if from_encoder:
        w = networks.encoder(real)
    else:
        w = mixed_w(networks, len(real), config.training.style_mixing, state.random)
    styles = networks.synthesis.styles(networks.w_plus(w, logits))
    return Fakes(networks.synthesis.render(styles, state.random), w, from_encoder)


def mixed_w(networks: StylexNetworks, count: int, probability: float, random: torch.Generator) -> Tensor:
    """Return w [count, L, D]; with `probability`, the layers from a random one upward take another sample's w."""
    layers, latent_dim = len(networks.synthesis.layers), networks.config.networks.latent_dim
    z = torch.randn(2 * count, latent_dim, generator=random, device=random.device)
    first, second = networks.mapping(z).split(count)
    crossover = torch.randint(1, layers, (count, 1), generator=random, device=random.device)
    mixes = torch.rand(count, 1, generator=random, device=random.device) < probability
    from_second = mixes & (torch.arange(layers, device=random.device) >= crossover)
    return torch.where(from_second[:, :, None], second[:, None], first[:, None])


def _discriminator_step(
    state: TrainingState, config: StylexConfig, real: Tensor, fakes: Fakes, probabilities: Tensor
) -> dict[str, Tensor]:
    both = torch.cat([real, fakes.images.detach()])
    seen = augment(both, config.training.augment, state.random)
    # One pass for both: groups of the minibatch statistics are consecutive and do not mix reals with fakes.
    scores = state.networks.discriminator(seen, probabilities.repeat(2, 1))
    loss = discriminator_loss(*scores.chunk(2))
    _update(state.discriminator_optimizer, loss)
    return {"d_adversarial": loss.detach()}


def _r1_step(state: TrainingState, config: StylexConfig, real: Tensor, probabilities: Tensor) -> Tensor:
    images = real.detach().clone().requires_grad_()
    seen = augment(images, config.training.augment, state.random)
    penalty = r1_penalty(state.networks.discriminator(seen, probabilities), images)
    _update(state.discriminator_optimizer, config.losses.r1_gamma * config.losses.r1_interval * penalty)
    return penalty.detach()


def _generator_step(
    state: TrainingState, config: StylexConfig, judges: Judges, real: Tensor, logits: Tensor, fakes: Fakes
) -> dict[str, Tensor]:
    discriminator = state.networks.discriminator.requires_grad_(False)
    seen = augment(fakes.images, config.training.augment, state.random)
    terms = {"g_adversarial": generator_loss(discriminator(seen, logits.softmax(dim=1)))}
    weights = {"g_adversarial": 1.0}
    if fakes.from_encoder:
        losses = config.losses
        terms |= reconstruction_terms(state.networks, config, judges, real, logits, fakes)
        weights |= {
            "reconstruction_x": losses.reconstruction_x,
            "reconstruction_perceptual": losses.reconstruction_perceptual,
            "reconstruction_w": losses.reconstruction_w,
            "classifier": losses.classifier,
        }
    _update(state.generator_optimizer, sum((weights[name] * term for name, term in terms.items()), torch.zeros(())))
    discriminator.requires_grad_(True)
    return {name: term.detach() for name, term in terms.items()}


def reconstruction_terms(
    networks: StylexNetworks, config: StylexConfig, judges: Judges, real: Tensor, logits: Tensor, fakes: Fakes
) -> dict[str, Tensor]:
    """Return the unweighted terms of L_rec and L_cls; terms of weight 0 are not computed."""
    losses, images = config.losses, fakes.images
    terms = {"reconstruction_x": l1(images, real)}
    if losses.reconstruction_perceptual:
        with torch.no_grad():
            real_features = judges.backbone.features(real)
        terms["reconstruction_perceptual"] = perceptual_distance(judges.backbone.features(images), real_features).mean()
    if losses.reconstruction_w:
        terms["reconstruction_w"] = l1(networks.encoder(images), fakes.w)
    if losses.classifier:
        reverse = losses.classifier_divergence == "reverse"
        terms["classifier"] = classifier_divergence(judges.classifier(images).float(), logits, reverse)
    return terms


def _path_length_step(state: TrainingState, config: StylexConfig, logits: Tensor) -> Tensor:
    networks, losses = state.networks, config.losses
    logits = logits[: max(1, len(logits) // PATH_LENGTH_BATCH_SHRINK)]
    w = mixed_w(networks, len(logits), config.training.style_mixing, state.random)
    images = networks.synthesis.render(networks.synthesis.styles(networks.w_plus(w, logits)), state.random)
    lengths = path_lengths(images, w, state.random)
    state.path_length_mean.lerp_(lengths.detach().mean(), losses.path_length_decay)
    penalty = path_length_penalty(lengths, state.path_length_mean)
    _update(state.generator_optimizer, losses.path_length * losses.path_length_interval * penalty)
    return penalty.detach()


def _update(optimizer: torch.optim.Adam, loss: Tensor) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
