"""One training step: D, then G with E (encoder steps) or M (noise steps) ([L] 3.2, [V] 4.1).

The fakes of a step are rendered once: D learns from them detached, then G through the updated D. With accumulation the
memory of a part is freed between the two, so they are rendered again from the same draws. Losses are float32;
convolutions run in the configured precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylex.classifiers import perceptual_distance
from stylex.config import StylexConfig
from stylex.losses.adversarial import discriminator_loss, generator_loss
from stylex.losses.classifier import classifier_divergence
from stylex.losses.reconstruction import l1
from stylex.losses.regularization import path_length_penalty, path_lengths, r1_penalty
from stylex.networks.model import StylexNetworks
from stylex.training.augment import augment
from stylex.training.batches import RealBatches, Reals
from stylex.training.draws import Draws, draw
from stylex.training.judges import Judges, autocast
from stylex.training.processes import Processes
from stylex.training.state import TrainingState

Terms = dict[str, Tensor]
DISCRIMINATOR = ("discriminator",)
GENERATOR = ("encoder", "mapping", "synthesis")


@dataclass(frozen=True)
class Fakes:
    """What one forward pass of the generator made."""

    images: Tensor
    w: Tensor


@dataclass(frozen=True)
class Part:
    """What one forward pass takes: rows of this process's share of the batch, and their random numbers."""

    reals: Reals
    draws: Draws
    path_draws: Draws


class Step:
    """One update of all networks; the methods in the order in which they run."""

    def __init__(
        self,
        state: TrainingState,
        config: StylexConfig,
        judges: Judges,
        reals: Reals,
        processes: Processes = Processes(),  # noqa: B008, frozen
    ) -> None:
        """`reals`: this process's share of the batch."""
        self.state, self.networks, self.config, self.judges = state, state.networks, config, judges
        self.processes = processes
        self.from_encoder = not config.training.alternating or state.step % 2 == 0
        self.hinge = config.losses.adversarial == "hinge"
        self.parts = list(self._divide(reals))
        self.kept: Fakes | None = None

    def run(self) -> Terms:
        """Update the networks, their averages and the counters; return the loss terms of this share, detached."""
        losses, step, size = self.config.losses, self.state.step, self.config.training.batch_size
        terms: Terms = {}
        with autocast(self.config.training, self.parts[0].reals.images.device.type):
            terms |= self._update(DISCRIMINATOR, self.discriminator_terms)
            if losses.r1_gamma and step % losses.r1_interval == 0:
                weights = {"r1": losses.r1_gamma * losses.r1_interval}
                terms |= self._update(DISCRIMINATOR, self.r1_terms, weights)
            self.networks.discriminator.requires_grad_(False)
            terms |= self._update(GENERATOR, self.generator_terms, self.generator_weights())
            self.networks.discriminator.requires_grad_(True)
            if self._measures_paths():
                weights = {"path_length": losses.path_length * losses.path_length_interval, "path_length_mean": 0.0}
                terms |= self._update(GENERATOR, self.path_length_terms, weights)
                mean = terms.pop("path_length_mean")
                self.processes.average([mean])
                self.state.path_length_mean.lerp_(mean, losses.path_length_decay)
        self.state.update_ema(size, self.config.training.ema_half_life)
        self.state.step += 1
        self.state.images += size
        return terms

    def generate(self, part: Part) -> Fakes:
        """Render fakes from E(x) on even steps and from M(z) on odd ones, both conditioned on c(x) of the real ones."""
        reals, draws = part.reals, part.draws
        networks, synthesis = self.networks, self.networks.synthesis
        if self.from_encoder:
            w = networks.encoder(reals.images)
            styles = synthesis.styles(networks.w_plus(w, reals.logits))
        else:
            w = networks.mapping(draws.z.flatten(0, 1))  # two latents a sample, one after the other
            both = synthesis.styles(networks.w_plus(w, reals.logits.repeat_interleave(2, dim=0)))
            styles = synthesis.mix(both.select(slice(0, None, 2)), both.select(slice(1, None, 2)), draws.from_second())
        return Fakes(self.state.render(styles, draws.noise), w)

    def discriminator_terms(self, part: Part) -> Terms:
        """Return D's adversarial loss on reals and detached fakes."""
        if len(self.parts) == 1:
            self.kept = self.generate(part)
            fake = self.kept.images.detach()
        else:
            with torch.no_grad():
                fake = self.generate(part).images
        policies = self.config.training.augment
        views = torch.cat([part.draws.view("real"), part.draws.view("fake")])
        seen = augment(torch.cat([part.reals.images, fake]), policies, views)
        # One pass for both: groups of the minibatch statistics are consecutive and do not mix reals with fakes.
        scores = self.networks.discriminator(seen, part.reals.logits.softmax(dim=1).repeat(2, 1))
        return {"d_adversarial": discriminator_loss(*scores.chunk(2), hinge=self.hinge)}

    def r1_terms(self, part: Part) -> Terms:
        """Return R1 on the real images."""
        images = part.reals.images.detach().clone().requires_grad_()
        seen = augment(images, self.config.training.augment, part.draws.view("real_r1"))
        return {"r1": r1_penalty(self.networks.discriminator(seen, part.reals.logits.softmax(dim=1)), images)}

    def generator_terms(self, part: Part) -> Terms:
        """Return G's adversarial loss and, on encoder steps, L_rec and L_cls."""
        fakes = self.kept or self.generate(part)
        seen = augment(fakes.images, self.config.training.augment, part.draws.view("fake_generator"))
        scores = self.networks.discriminator(seen, part.reals.logits.softmax(dim=1))
        terms = {"g_adversarial": generator_loss(scores, self.hinge)}
        if self.from_encoder:
            terms |= reconstruction_terms(self.networks, self.config, self.judges, part.reals, fakes)
        return terms

    def generator_weights(self) -> dict[str, float]:
        """Return the weight of each term of L_rec and L_cls."""
        names = ("reconstruction_x", "reconstruction_perceptual", "reconstruction_w", "classifier")
        return {name: getattr(self.config.losses, name) for name in names}

    def path_length_terms(self, part: Part) -> Terms:
        """Return the path-length penalty on half the batch, as StyleGAN2 does, and the mean length."""
        draws, logits = part.path_draws.rows(slice(None, None, 2)), part.reals.logits[::2]
        w = mixed_w(self.networks, draws)
        images = self.networks.synthesis.render(
            self.networks.synthesis.styles(self.networks.w_plus(w, logits)), draws.noise
        )
        lengths = path_lengths(images, w, draws.direction)
        penalty = path_length_penalty(lengths, self.state.path_length_mean)
        return {"path_length": penalty, "path_length_mean": lengths.mean()}

    def _divide(self, reals: Reals) -> Iterator[Part]:
        training, random = self.config.training, self.state.random
        share = self.processes.share(training.batch_size)
        draws = draw(self.networks, training.batch_size, random).rows(share)
        paths = draw(self.networks, training.batch_size, random, True).rows(share) if self._measures_paths() else draws
        size = len(reals.images) // training.accumulation
        for start in range(0, len(reals.images), size):
            rows = slice(start, start + size)
            yield Part(reals.rows(rows), draws.rows(rows), paths.rows(rows))

    def _measures_paths(self) -> bool:
        return bool(self.config.losses.path_length) and self.state.step % self.config.losses.path_length_interval == 0

    def _update(
        self, names: Sequence[str], compute: Callable[[Part], Terms], weights: dict[str, float] | None = None
    ) -> Terms:
        """Move the weights of the networks named against the gradient of the weighted sum of the terms.

        A term has weight 1 unless another is given; gradients are averaged over parts and processes.
        """
        state, weights = self.state, weights or {}
        optimizer = state.discriminator_optimizer if names == DISCRIMINATOR else state.generator_optimizer
        flats = [state.weights[name] for name in names]
        totals: Terms = {}
        for part in self.parts:
            terms = compute(part)
            loss = sum((weights.get(name, 1.0) * term for name, term in terms.items()), torch.zeros(()))
            (loss / len(self.parts)).backward()
            for flat in flats:
                flat.collect()
            for name, term in terms.items():
                totals[name] = totals.get(name, 0.0) + term.detach() / len(self.parts)
        touched = [flat for flat in flats if flat.vector.grad is not None]  # E only by encoder steps, M by the others
        self.processes.average([flat.gradient() for flat in touched])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        for flat in touched:
            flat.publish()
        return totals


def advance(
    state: TrainingState, config: StylexConfig, judges: Judges, batches: RealBatches, processes: Processes
) -> Terms:
    """Do one step with the next batch: all that a training does to its weights; return the loss terms."""
    return Step(state, config, judges, batches.next(state.random), processes).run()


def mixed_w(networks: StylexNetworks, draws: Draws) -> Tensor:
    """Return w [N, L, D]: each layer's own, of one latent or the other."""
    first, second = networks.mapping(draws.z.flatten(0, 1)).unflatten(0, (-1, 2)).unbind(1)
    return torch.where(draws.from_second()[:, :, None], second[:, None], first[:, None])


def reconstruction_terms(
    networks: StylexNetworks, config: StylexConfig, judges: Judges, reals: Reals, fakes: Fakes
) -> Terms:
    """Return the unweighted terms of L_rec and L_cls; terms of weight 0 are not computed."""
    losses, images = config.losses, fakes.images
    terms = {"reconstruction_x": l1(images, reals.images)}
    if losses.reconstruction_perceptual:
        features = judges.training_perceptual.features(images)
        terms["reconstruction_perceptual"] = perceptual_distance(features, reals.features).mean()
    if losses.reconstruction_w:
        terms["reconstruction_w"] = l1(networks.encoder(images), fakes.w)
    if losses.classifier:
        reverse = losses.classifier_divergence == "reverse"
        terms["classifier"] = classifier_divergence(judges.training_classifier(images), reals.logits, reverse)
    return terms
