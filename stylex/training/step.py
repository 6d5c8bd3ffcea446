"""One training step: D, then G with E (encoder steps) or M (noise steps) ([L] 3.2, [V] 4.1).

The fakes of a step are rendered once: D learns from them detached, then G through the updated D. With accumulation the
memory of a part is freed between the two, so they are rendered again from the same random numbers. Losses are float32;
convolutions run in the configured precision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stylex.config import StylexConfig
from stylex.networks.model import StylexNetworks
from stylex.precision import autocast_to
from stylex.training.distributed import Processes
from stylex.training.losses import (
    AUTOENCODER_TERMS,
    ENCODER_TERMS,
    NOISE_TERMS,
    Fakes,
    GeneratorPass,
    discriminator_loss,
    generator_loss,
    generator_terms,
    path_length_penalty,
    path_lengths,
    r1_penalty,
)
from stylex.training.sampler import BatchSampler, FrozenNetworks, RandomNumbers, RealBatch, augment, draw
from stylex.training.state import TrainingState, rate_factor

Terms = dict[str, Tensor]
DISCRIMINATOR = ("discriminator",)
GENERATOR = ("encoder", "mapping", "synthesis")


@dataclass(frozen=True)
class Part:
    """The input of one forward pass: rows of this process's share of the batch, and their random numbers."""

    reals: RealBatch
    random: RandomNumbers
    path_random: RandomNumbers


class Step:
    """One update of all networks; the methods in the order in which they run."""

    def __init__(
        self,
        state: TrainingState,
        config: StylexConfig,
        frozen: FrozenNetworks,
        reals: RealBatch,
        processes: Processes = Processes(),  # noqa: B008, frozen
    ) -> None:
        """`reals`: this process's share of the batch."""
        self.state, self.networks, self.config, self.frozen = state, state.networks, config, frozen
        self.processes, self.losses = processes, config.losses
        self.adversarial = state.images >= config.training.autoencoder_images
        self.from_encoder = not (self.adversarial and config.training.alternating) or state.step % 2 == 0
        self.measures_paths = (
            self.adversarial and bool(self.losses.path_length) and state.step % self.losses.path_length_interval == 0
        )
        self.hinge = self.losses.adversarial == "hinge"
        self.terms = ENCODER_TERMS if self.from_encoder else NOISE_TERMS
        if not self.adversarial:
            self.terms = {name: ENCODER_TERMS[name] for name in AUTOENCODER_TERMS}
        self.parts = list(self._divide(reals))
        self.fakes: Fakes | None = None

    def _divide(self, reals: RealBatch) -> Iterator[Part]:
        count, random = self.config.training.batch_size, self.state.random
        share = self.processes.share(count)
        numbers = draw(self.networks, count, random).rows(share)
        paths = draw(self.networks, count, random, True).rows(share) if self.measures_paths else numbers
        size = len(reals.images) // self.config.training.accumulation
        for start in range(0, len(reals.images), size):
            rows = slice(start, start + size)
            yield Part(reals.rows(rows), numbers.rows(rows), paths.rows(rows))

    def run(self) -> Terms:
        """Update the networks, their averages and the counters; return the loss terms of this share, detached."""
        state, losses, training = self.state, self.losses, self.config.training
        terms: Terms = {}
        state.set_rates(rate_factor(training, state.images))
        with autocast_to(self.frozen.dtype, self.parts[0].reals.images.device.type):
            if self.adversarial:
                terms |= self._update(DISCRIMINATOR, self.discriminator_terms)
            if self.adversarial and losses.r1_gamma and state.step % losses.r1_interval == 0:
                terms |= self._update(DISCRIMINATOR, self.r1_terms, {"r1": losses.r1_gamma * losses.r1_interval})
            self.networks.discriminator.requires_grad_(False)
            weights = {name: getattr(losses, name) for name in self.terms}
            terms |= self._update(GENERATOR, self.generator_terms, weights)
            self.networks.discriminator.requires_grad_(True)
            if self.measures_paths:
                weights = {"path_length": losses.path_length * losses.path_length_interval, "path_length_mean": 0.0}
                terms |= self._update(GENERATOR, self.path_length_terms, weights)
                mean = terms.pop("path_length_mean")
                self.processes.average([mean])
                state.path_length_mean.lerp_(mean, losses.path_length_decay)
        state.update_ema(training.batch_size, training.ema_half_life)
        state.step += 1
        state.images += training.batch_size
        return terms

    def generate(self, part: Part) -> Fakes:
        """Render fakes from E(x) on even steps and from M(z) on odd ones, both conditioned on c(x) of the real ones.

        With training.counterfactuals some of the latter are of E(x) too, and conditioned on another class.
        """
        reals, random = part.reals, part.random
        networks, synthesis, logits = self.networks, self.networks.synthesis, reals.logits
        unmixed = None
        if self.from_encoder:
            w = networks.encoder(reals.images)
            styles = synthesis.styles(networks.w_plus(w, logits))
        else:
            w = networks.mapping(random.z.flatten(0, 1))  # two latents a sample, one after the other
            if random.counterfactual.any():
                w, logits = self._counterfactual(part, w)
            both = synthesis.styles(networks.w_plus(w, logits.repeat_interleave(2, dim=0)))
            styles = synthesis.mix(both.select(slice(0, None, 2)), both.select(slice(1, None, 2)), random.from_second())
            if random.exchanged.shape[1]:
                other = networks.conditioning(with_classes_exchanged(logits, random.other))
                styles = synthesis.with_condition(styles, other, random.exchanged)
                unmixed = ~random.exchanged.any(dim=1)
        images = self.state.render(styles, random.noise)
        discriminator_logits = logits
        if self.config.training.told != "image" and self.adversarial:
            with torch.no_grad():
                discriminator_logits = self.frozen.training_classifier(images).float()
        return Fakes(images, w, logits, unmixed, discriminator_logits)

    def _counterfactual(self, part: Part, w: Tensor) -> tuple[Tensor, Tensor]:
        """Return w [2N, D], of which counterfactual samples have E(x) twice, and the condition [N, classes]."""
        reals, random = part.reals, part.random
        rows = torch.nonzero(random.counterfactual).flatten().to(w.device, non_blocking=True)
        own = self.networks.encoder(reals.images[rows])
        logits = reals.logits.index_copy(0, rows, with_classes_exchanged(reals.logits[rows], random.other[rows]))
        both = torch.stack([2 * rows, 2 * rows + 1], dim=1).flatten()
        return w.index_copy(0, both, own.repeat_interleave(2, dim=0)), logits

    def _scores(self, images: Tensor, uniform: Tensor, logits: Tensor) -> Tensor:
        """Return D's scores [N] of images as it sees them, augmented."""
        seen = augment(images, self.config.training.augment, uniform)
        return self.networks.discriminator(seen, logits.softmax(dim=1))

    def discriminator_terms(self, part: Part) -> Terms:
        """Return D's adversarial loss on reals and detached fakes."""
        if len(self.parts) == 1:
            self.fakes = fakes = self.generate(part)
        else:
            with torch.no_grad():
                fakes = self.generate(part)
        # One pass for both: groups of the minibatch statistics are consecutive and do not mix reals with fakes.
        scores = self._scores(
            torch.cat([part.reals.images, fakes.images.detach()]),
            torch.cat([part.random.view("real"), part.random.view("fake")]),
            torch.cat([part.reals.logits, fakes.discriminator_logits]),
        )
        return {"d_adversarial": discriminator_loss(*scores.chunk(2), hinge=self.hinge)}

    def r1_terms(self, part: Part) -> Terms:
        """Return R1 on the real images."""
        images = part.reals.images.detach().clone().requires_grad_()
        return {"r1": r1_penalty(self._scores(images, part.random.view("real_r1"), part.reals.logits), images)}

    def generator_terms(self, part: Part) -> Terms:
        """Return G's adversarial loss, but of an autoencoder, and the terms of this kind of step, unweighted."""
        fakes, terms = self.fakes or self.generate(part), {}
        if self.adversarial:
            scores = self._scores(fakes.images, part.random.view("fake_generator"), fakes.discriminator_logits)
            terms["g_adversarial"] = generator_loss(scores, self.hinge)
        given = GeneratorPass(self.losses, self.networks, self.frozen, part.reals, part.random, fakes)
        return terms | generator_terms(given, self.terms)

    def path_length_terms(self, part: Part) -> Terms:
        """Return the path-length penalty on half the batch, as StyleGAN2 does, and the mean length."""
        random, logits = part.path_random.rows(slice(None, None, 2)), part.reals.logits[::2]
        w, synthesis = mixed_w(self.networks, random), self.networks.synthesis
        images = synthesis.render(synthesis.styles(self.networks.w_plus(w, logits)), random.noise)
        lengths = path_lengths(images, w, random.direction)
        penalty = path_length_penalty(lengths, self.state.path_length_mean)
        return {"path_length": penalty, "path_length_mean": lengths.mean()}

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
    state: TrainingState, config: StylexConfig, frozen: FrozenNetworks, sampler: BatchSampler, processes: Processes
) -> Terms:
    """Do one step with the next batch: all that a training does to its weights; return the loss terms."""
    reals = sampler.next(state.random, features=state.images >= config.training.autoencoder_images)
    return Step(state, config, frozen, reals, processes).run()


def with_classes_exchanged(logits: Tensor, uniform: Tensor) -> Tensor:
    """Return logits [N, classes] with those of the decided class and of another exchanged; `uniform` [N] draws it."""
    count, classes = logits.shape
    decided = logits.argmax(dim=1)
    other = (decided + 1 + (uniform * (classes - 1)).long().clamp(max=classes - 2)) % classes
    index = torch.arange(classes, device=logits.device).repeat(count, 1)
    index = index.scatter(1, decided[:, None], other[:, None]).scatter(1, other[:, None], decided[:, None])
    return logits.gather(1, index)


def mixed_w(networks: StylexNetworks, random: RandomNumbers) -> Tensor:
    """Return w [N, L, D]: each layer's own, of one latent or the other."""
    first, second = networks.mapping(random.z.flatten(0, 1)).unflatten(0, (-1, 2)).unbind(1)
    return torch.where(random.from_second()[:, :, None], second[:, None], first[:, None])
