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
from stylex.losses.mapping import energy_distance
from stylex.losses.reconstruction import l1
from stylex.losses.regularization import path_length_penalty, path_lengths, r1_penalty
from stylex.networks.model import StylexNetworks
from stylex.training.augment import augment
from stylex.training.batches import RealBatches, Reals
from stylex.training.draws import Draws, draw
from stylex.training.judges import Judges, autocast
from stylex.training.processes import Processes
from stylex.training.schedule import adversarial, rate_factor
from stylex.training.state import TrainingState

Terms = dict[str, Tensor]
DISCRIMINATOR = ("discriminator",)
GENERATOR = ("encoder", "mapping", "synthesis")


@dataclass(frozen=True)
class Fakes:
    """What one forward pass of the generator made."""

    images: Tensor
    w: Tensor
    told: Tensor
    """[N, classes]: the logits that the generator was told."""
    whole: Tensor
    """[N] bool: all coordinates were told the same."""
    said: Tensor
    """[N, classes], without gradient: the logits that D is told, those of the generator or the fake's own."""


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
        self.adversarial = adversarial(config.training, state.images)
        self.from_encoder = not (self.adversarial and config.training.alternating) or state.step % 2 == 0
        self.hinge = config.losses.adversarial == "hinge"
        self.parts = list(self._divide(reals))
        self.kept: Fakes | None = None

    def run(self) -> Terms:
        """Update the networks, their averages and the counters; return the loss terms of this share, detached."""
        losses, step, size = self.config.losses, self.state.step, self.config.training.batch_size
        terms: Terms = {}
        self.state.set_rates(rate_factor(self.config.training, self.state.images))
        with autocast(self.config.training, self.parts[0].reals.images.device.type):
            if self.adversarial:
                terms |= self._update(DISCRIMINATOR, self.discriminator_terms)
            if self.adversarial and losses.r1_gamma and step % losses.r1_interval == 0:
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
        """Render fakes from E(x) on even steps and from M(z) on odd ones, both conditioned on c(x) of the real ones.

        With training.counterfactuals some of the latter are of E(x) too, and conditioned on another answer.
        """
        reals, draws = part.reals, part.draws
        networks, synthesis, told = self.networks, self.networks.synthesis, reals.logits
        whole = torch.ones_like(draws.counterfactual)
        if self.from_encoder:
            w = networks.encoder(reals.images)
            styles = synthesis.styles(networks.w_plus(w, told))
        else:
            w = networks.mapping(draws.z.flatten(0, 1))  # two latents a sample, one after the other
            if draws.counterfactual.any():
                w, told = self._counterfactual(part, w)
            both = synthesis.styles(networks.w_plus(w, told.repeat_interleave(2, dim=0)))
            styles = synthesis.mix(both.select(slice(0, None, 2)), both.select(slice(1, None, 2)), draws.from_second())
            if draws.exchanged.shape[1]:
                other = networks.conditioning(with_classes_exchanged(told, draws.other))
                styles, whole = synthesis.with_condition(styles, other, draws.exchanged), ~draws.exchanged.any(dim=1)
        images = self.state.render(styles, draws.noise)
        return Fakes(images, w, told, whole, self._said(images, told))

    def _counterfactual(self, part: Part, w: Tensor) -> tuple[Tensor, Tensor]:
        """Return w [2N, D], of which counterfactual samples have E(x) twice, and the logits told [N, classes]."""
        chosen, logits = part.draws.counterfactual, part.reals.logits
        rows = torch.nonzero(chosen.repeat_interleave(2)).flatten()
        own = self.networks.encoder(part.reals.images[chosen])
        told = torch.where(chosen[:, None], with_classes_exchanged(logits, part.draws.other), logits)
        return w.index_copy(0, rows, own.repeat_interleave(2, dim=0)), told

    def _said(self, images: Tensor, told: Tensor) -> Tensor:
        if self.config.training.told == "image" or not self.adversarial:
            return told
        with torch.no_grad():
            return self.judges.training_classifier(images).float()

    def discriminator_terms(self, part: Part) -> Terms:
        """Return D's adversarial loss on reals and detached fakes."""
        if len(self.parts) == 1:
            self.kept = fakes = self.generate(part)
        else:
            with torch.no_grad():
                fakes = self.generate(part)
        fake = fakes.images.detach()
        policies = self.config.training.augment
        views = torch.cat([part.draws.view("real"), part.draws.view("fake")])
        seen = augment(torch.cat([part.reals.images, fake]), policies, views)
        # One pass for both: groups of the minibatch statistics are consecutive and do not mix reals with fakes.
        told = torch.cat([part.reals.logits, fakes.said])
        scores = self.networks.discriminator(seen, told.softmax(dim=1))
        return {"d_adversarial": discriminator_loss(*scores.chunk(2), hinge=self.hinge)}

    def r1_terms(self, part: Part) -> Terms:
        """Return R1 on the real images."""
        images = part.reals.images.detach().clone().requires_grad_()
        seen = augment(images, self.config.training.augment, part.draws.view("real_r1"))
        return {"r1": r1_penalty(self.networks.discriminator(seen, part.reals.logits.softmax(dim=1)), images)}

    def generator_terms(self, part: Part) -> Terms:
        """Return G's adversarial loss and, on encoder steps, L_rec and L_cls; of an autoencoder, that of pixels."""
        fakes = self.kept or self.generate(part)
        if not self.adversarial:
            return self._encoder_terms(part, fakes)
        seen = augment(fakes.images, self.config.training.augment, part.draws.view("fake_generator"))
        scores = self.networks.discriminator(seen, fakes.said.softmax(dim=1))
        terms = {"g_adversarial": generator_loss(scores, self.hinge)}
        if self.from_encoder:
            terms |= self._encoder_terms(part, fakes)
        elif self.config.losses.classifier_noise:
            reverse, whole = self.config.losses.classifier_divergence == "reverse", fakes.whole
            terms["classifier_noise"] = fakes.images.new_zeros(())
            if whole.any():
                answers = self.judges.training_classifier(fakes.images[whole])
                divergence = classifier_divergence(answers, fakes.told[whole], reverse)
                terms["classifier_noise"] = divergence * whole.float().mean()
        return terms

    def _encoder_terms(self, part: Part, fakes: Fakes) -> Terms:
        if self.adversarial:
            terms = reconstruction_terms(self.networks, self.config, self.judges, part.reals, fakes)
        else:
            terms = {"reconstruction_x": l1(fakes.images, part.reals.images)}
        if self.config.losses.mapping:
            terms["mapping"] = energy_distance(self.networks.mapping(part.draws.z.flatten(0, 1)), fakes.w.detach())
        return terms

    def generator_weights(self) -> dict[str, float]:
        """Return the weight of each term of L_rec and L_cls."""
        names = (
            "reconstruction_x",
            "reconstruction_perceptual",
            "reconstruction_w",
            "classifier",
            "classifier_noise",
            "mapping",
        )
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
        losses = self.config.losses
        return self.adversarial and bool(losses.path_length) and self.state.step % losses.path_length_interval == 0

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
        touched = [flat for flat in flats if flat.vector.grad is not None]  # not E or M, where no term was of them
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
    reals = batches.next(state.random, features=adversarial(config.training, state.images))
    return Step(state, config, judges, reals, processes).run()


def with_classes_exchanged(logits: Tensor, uniform: Tensor) -> Tensor:
    """Return logits [N, classes] with those of the decided class and of another exchanged; `uniform` [N] draws it."""
    count, classes = logits.shape
    decided = logits.argmax(dim=1)
    other = (decided + 1 + (uniform * (classes - 1)).long().clamp(max=classes - 2)) % classes
    index = torch.arange(classes, device=logits.device).repeat(count, 1)
    index = index.scatter(1, decided[:, None], other[:, None]).scatter(1, other[:, None], decided[:, None])
    return logits.gather(1, index)


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
