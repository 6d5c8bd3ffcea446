"""Everything that training changes: networks, EMA, optimisers, random state, counters."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import torch

from stylex.config import StylexConfig, TrainingConfig
from stylex.networks.model import StylexNetworks, build_networks


@dataclass
class TrainingState:
    """The mutable state of one run; `dump` and `restore` are exact inverses."""

    networks: StylexNetworks
    ema: StylexNetworks
    generator_optimizer: torch.optim.Adam
    discriminator_optimizer: torch.optim.Adam
    random: torch.Generator
    path_length_mean: torch.Tensor
    step: int = 0
    images: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)

    def dump(self) -> dict[str, Any]:
        """Return a structure of tensors and plain values, for `torch.save`."""
        return {
            "networks": self.networks.state_dict(),
            "ema": self.ema.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "random": self.random.get_state(),
            "path_length_mean": self.path_length_mean,
            "counters": {"step": self.step, "images": self.images, "seconds": self.seconds},
            "history": self.history,
        }

    def restore(self, content: dict[str, Any]) -> None:
        """Continue from a dumped state."""
        self.networks.load_state_dict(content["networks"])
        self.ema.load_state_dict(content["ema"])
        self.generator_optimizer.load_state_dict(content["generator_optimizer"])
        self.discriminator_optimizer.load_state_dict(content["discriminator_optimizer"])
        self.random.set_state(content["random"])
        self.path_length_mean.copy_(content["path_length_mean"])
        self.step, self.images = content["counters"]["step"], content["counters"]["images"]
        self.seconds, self.history = content["counters"]["seconds"], content["history"]

    def update_ema(self, batch_size: int, half_life: int) -> None:
        """Move the averaged weights towards the current ones: half-life in images; fixed noise maps are shared."""
        weight = 1 - 0.5 ** (batch_size / half_life)
        with torch.no_grad():
            lerp = torch._foreach_lerp_  # pyright: ignore[reportPrivateImportUsage]
            lerp(list(self.ema.parameters()), list(self.networks.parameters()), weight)


def initial_state(config: StylexConfig, image_channels: int, classes: int, seed: int, device: str) -> TrainingState:
    """Return the state at step 0; the same seed gives the same state."""
    networks = build_networks(config, image_channels, classes, seed).to(device)
    networks = networks.to(memory_format=torch.channels_last)
    training, losses = config.training, config.losses
    generator_parameters = [
        {"params": [*networks.synthesis.parameters(), *networks.mapping.parameters()], "lr": training.learning_rate},
        {"params": list(networks.encoder.parameters()), "lr": training.encoder_learning_rate},
    ]
    discriminator_parameters = [{"params": list(networks.discriminator.parameters()), "lr": training.learning_rate}]
    return TrainingState(
        networks,
        copy.deepcopy(networks).requires_grad_(False).eval(),
        _adam(generator_parameters, training, losses.path_length_interval if losses.path_length else None),
        _adam(discriminator_parameters, training, losses.r1_interval if losses.r1_gamma else None),
        torch.Generator(device).manual_seed(seed),
        torch.zeros((), device=device),
    )


def _adam(groups: list[dict[str, Any]], config: TrainingConfig, interval: int | None) -> torch.optim.Adam:
    # Lazy regularisation adds a step every `interval`: scale lr and betas as StyleGAN2 does (appendix B).
    ratio = 1.0 if interval is None else interval / (interval + 1)
    for group in groups:
        group["lr"] *= ratio
    return torch.optim.Adam(groups, betas=(config.beta1**ratio, config.beta2**ratio), eps=1e-8, fused=True)
