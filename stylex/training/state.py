"""Everything that training changes: weights, averages, optimisers, random state, counters."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from stylex.config import StylexConfig
from stylex.networks.model import StylexNetworks, build_networks
from stylex.networks.stylespace import StyleVector
from stylex.networks.synthesis import Noise
from stylex.training.judges import precision
from stylex.training.schedule import rates
from stylex.training.weights import FlatWeights

NETWORKS = ("encoder", "mapping", "synthesis", "discriminator")
AVERAGED = NETWORKS[:3]
COUNTERS = ("step", "images", "rollbacks", "diverged_at")


@dataclass
class TrainingState:
    """The mutable state of one run; `dump` and `restore` are exact inverses.

    `networks` computes with the working copies of `weights`; `averages` are those of `ema`, which `averaged` publishes.
    `render` is the synthesis network's, compiled if the config says so; path lengths differentiate twice and use the
    plain one.
    """

    networks: StylexNetworks
    ema: StylexNetworks
    weights: dict[str, FlatWeights]
    averages: dict[str, FlatWeights]
    render: Callable[[StyleVector, Noise], Tensor]
    generator_optimizer: torch.optim.Adam
    discriminator_optimizer: torch.optim.Adam
    random: torch.Generator
    path_length_mean: Tensor
    step: int = 0
    images: int = 0
    rollbacks: int = 0
    diverged_at: int = 0  # images, where the last rollback found values that are not finite
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def dump(self) -> dict[str, Any]:
        """Return a structure of tensors and plain values, for `torch.save`."""
        return {
            "weights": {name: flat.vector.detach() for name, flat in self.weights.items()},
            "averages": {name: flat.vector.detach() for name, flat in self.averages.items()},
            "fixed_noise": [noise for noise in self.networks.synthesis.buffers() if noise.dim() == 4],
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "random": self.random.get_state(),
            "path_length_mean": self.path_length_mean,
            "counters": {name: getattr(self, name) for name in COUNTERS},
            "seconds": self.seconds,
            "history": self.history,
        }

    def restore(self, content: dict[str, Any]) -> None:
        """Continue from a dumped state."""
        with torch.no_grad():
            for kind, flats in (("weights", self.weights), ("averages", self.averages)):
                for name, flat in flats.items():
                    flat.vector.copy_(content[kind][name])
                    flat.vector.grad = None  # of a step that was given up
                    flat.publish()
            for networks in (self.networks, self.ema):
                own = (noise for noise in networks.synthesis.buffers() if noise.dim() == 4)
                for noise, saved in zip(own, content["fixed_noise"], strict=True):
                    noise.copy_(saved)
        for name in ("generator_optimizer", "discriminator_optimizer"):
            optimizer: torch.optim.Adam = getattr(self, name)
            # The rates are those of the configuration, whatever configuration the moments are of.
            own = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": content[name]["state"], "param_groups": own})
        if len(content["random"]) == len(self.random.get_state()):  # else it is of another kind of device
            self.random.set_state(content["random"])
        self.path_length_mean.copy_(content["path_length_mean"])
        for name in COUNTERS:
            setattr(self, name, content["counters"][name])
        self.seconds, self.history = content["seconds"], content["history"]

    def shapes(self) -> dict[str, list[int]]:
        """Return the shape of every parameter and buffer of the networks, by name."""
        return {name: list(value.shape) for name, value in self.networks.state_dict().items()}

    def forget_measurements(self) -> None:
        """Empty the columns val_* of the history."""
        self.history = [{name: row[name] for name in row if not name.startswith("val_")} for row in self.history]

    def set_rates(self, factor: float) -> None:
        """Multiply the configured learning rates by `factor` for the steps to come."""
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor

    def update_ema(self, batch_size: int, half_life: int) -> None:
        """Move the averaged weights towards the current ones: half-life in images; D is not averaged."""
        weight = 1 - 0.5 ** (batch_size / half_life)
        with torch.no_grad():
            for name in AVERAGED:
                self.averages[name].vector.lerp_(self.weights[name].vector, weight)

    def averaged(self) -> StylexNetworks:
        """Return the averaged networks, in float32; D as it is now."""
        with torch.no_grad():
            self.averages["discriminator"].vector.copy_(self.weights["discriminator"].vector)
        for flat in self.averages.values():
            flat.publish()
        return self.ema


def initial_state(
    config: StylexConfig, resolution: int, image_channels: int, classes: int, seed: int, device: str
) -> TrainingState:
    """Return the state at step 0; the same seed gives the same state."""
    networks = build_networks(config, resolution, image_channels, classes, seed).to(device)
    ema = copy.deepcopy(networks).requires_grad_(False).eval()
    ema.synthesis.quantized = True  # what is measured and shown of a training is what its analysis will see
    dtype = precision(config.training, device)
    weights = {name: FlatWeights(getattr(networks, name), dtype) for name in NETWORKS}
    averages = {name: FlatWeights(getattr(ema, name), torch.float32) for name in NETWORKS}
    training, losses, rate = config.training, config.losses, rates(config.training)
    generator_parameters = [
        {"params": [weights["synthesis"].vector, weights["mapping"].vector], "lr": rate["learning_rate"]},
        {"params": [weights["encoder"].vector], "lr": rate["encoder_learning_rate"]},
    ]
    of_discriminator = [{"params": [weights["discriminator"].vector], "lr": rate["discriminator_learning_rate"]}]
    of_generator = training.beta1 if training.generator_beta1 is None else training.generator_beta1
    return TrainingState(
        networks,
        ema,
        weights,
        averages,
        torch.compile(networks.synthesis.render) if training.compile else networks.synthesis.render,
        _adam(
            generator_parameters,
            (of_generator, training.beta2),
            losses.path_length_interval if losses.path_length else None,
        ),
        _adam(of_discriminator, (training.beta1, training.beta2), losses.r1_interval if losses.r1_gamma else None),
        torch.Generator(device).manual_seed(seed),
        torch.zeros((), device=device),
    )


def _adam(groups: list[dict[str, Any]], betas: tuple[float, float], interval: int | None) -> torch.optim.Adam:
    # Lazy regularisation adds a step every `interval`: scale lr and betas as StyleGAN2 does (appendix B).
    ratio = 1.0 if interval is None else interval / (interval + 1)
    for group in groups:
        group["lr"] *= ratio
        group["initial_lr"] = group["lr"]
    return torch.optim.Adam(groups, betas=(betas[0] ** ratio, betas[1] ** ratio), eps=1e-8, fused=True)
