"""Everything that training changes: weights, averages, optimisers, random state, counters; and the learning rates."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from stylex.config import StylexConfig, TrainingConfig
from stylex.config.training import AccelerationConfig
from stylex.networks.layers import EqualizedLinear, learning_gains
from stylex.networks.model import StylexNetworks, build_networks
from stylex.networks.stylespace import StyleVector
from stylex.networks.synthesis import Noise
from stylex.precision import number_format

NETWORKS = ("encoder", "mapping", "synthesis", "discriminator")
AVERAGED = NETWORKS[:3]
COUNTERS = ("step", "images", "rollbacks", "diverged_at")


class FlatWeights:
    """The weights of a network as one float32 vector, which optimiser, average and processes handle whole.

    A parameter of the network is gain x v (the equalised learning rate: see `learning_gains`); the vector holds v. The
    parameters become views into working copies of gain x v, in `dtype`, or in float32 of layers that are always
    precise. So scaling, casting, Adam, EMA and averaging over processes take a few operations an update, and not a few
    for every layer and every use of it.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        gains, named = learning_gains(network), dict(network.named_parameters())
        precise = {
            f"{name}.{key}".lstrip(".")
            for name, module in network.named_modules()
            if isinstance(module, EqualizedLinear) and module.precise
            for key, _ in module.named_parameters()
        }
        names = sorted(named, key=lambda name: name in precise)
        self.parameters = [named[name] for name in names]
        self.sizes = [parameter.numel() for parameter in self.parameters]
        self.gains = torch.cat([torch.full((named[name].numel(),), gains[name]) for name in names])
        self.gains = self.gains.to(self.parameters[0].device)
        effective = torch.cat([in_memory_order(parameter.detach()) for parameter in self.parameters])
        self.vector = nn.Parameter(effective / self.gains)
        self.buffer = torch.empty_like(self.gains)  # of the gradient, between steps: such memory is slow to come by
        low_count = len(names) - len(precise)
        self.low = sum(self.sizes[:low_count])
        self.working = effective[: self.low].to(dtype), effective[self.low :].clone()
        views = [*self.working[0].split(self.sizes[:low_count]), *self.working[1].split(self.sizes[low_count:])]
        for parameter, values in zip(self.parameters, views, strict=True):
            shape = parameter.shape
            if len(shape) == 4:
                parameter.data = values.view(shape[0], *shape[2:], shape[1]).permute(0, 3, 1, 2)
            else:
                parameter.data = values.view(shape)
        self.publish()  # (w / gain) x gain may differ from w in its last bit, and a checkpoint holds w / gain

    def publish(self) -> None:
        """Give the network the weights of the vector, whose gradient has been used."""
        assert self.vector.grad is None
        effective = torch.mul(self.vector.detach(), self.gains, out=self.buffer)  # a product that casts is slower
        self.working[0].copy_(effective[: self.low])
        self.working[1].copy_(effective[self.low :])

    def collect(self) -> None:
        """Add the gradients of the network's parameters to the vector's, and drop them.

        A network that the loss does not touch gets none; a single parameter that it does not touch gets zeros.
        """
        if all(parameter.grad is None for parameter in self.parameters):
            return
        first = self.vector.grad is None
        gradient = self.buffer if first else torch.empty_like(self.gains)
        for parameter, part in zip(self.parameters, gradient.split(self.sizes), strict=True):
            if parameter.grad is None:
                part.zero_()
            else:
                part.copy_(in_memory_order(parameter.grad))
                parameter.grad = None
        gradient.mul_(self.gains)
        self.vector.grad = gradient if first else self.gradient().add_(gradient)

    def gradient(self) -> Tensor:
        """Return the vector's gradient, which there must be."""
        assert self.vector.grad is not None
        return self.vector.grad


def in_memory_order(values: Tensor) -> Tensor:
    """Flatten a tensor, a 4-dimensional one with its second dimension last (channels-last)."""
    return values.permute(0, 2, 3, 1).reshape(-1) if values.dim() == 4 else values.reshape(-1)


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
    for part in (networks.synthesis, networks.encoder, networks.discriminator):
        part.recomputed = config.training.acceleration.recompute
    ema = copy.deepcopy(networks).requires_grad_(False).eval()
    ema.synthesis.quantized = True  # what is measured and shown of a training is what its analysis will see
    training, losses, dtype = config.training, config.losses, training_dtype(config.training, device)
    weights = {name: FlatWeights(getattr(networks, name), dtype) for name in NETWORKS}
    rate, path_interval = rates(training), losses.path_length_interval if losses.path_length else None
    generator_beta1 = training.beta1 if training.generator_beta1 is None else training.generator_beta1
    generator_groups = [
        {"params": [weights["synthesis"].vector, weights["mapping"].vector], "lr": rate["learning_rate"]},
        {"params": [weights["encoder"].vector], "lr": rate["encoder_learning_rate"]},
    ]
    discriminator_groups = [{"params": [weights["discriminator"].vector], "lr": rate["discriminator_learning_rate"]}]
    r1_interval, fused = losses.r1_interval if losses.r1_gamma else None, training.acceleration.fused_adam
    return TrainingState(
        networks=networks,
        ema=ema,
        weights=weights,
        averages={name: FlatWeights(getattr(ema, name), torch.float32) for name in NETWORKS},
        render=_compiled(networks.synthesis.render, training.acceleration),
        generator_optimizer=_adam(generator_groups, (generator_beta1, training.beta2), path_interval, fused),
        discriminator_optimizer=_adam(discriminator_groups, (training.beta1, training.beta2), r1_interval, fused),
        random=_generator(device).manual_seed(seed),
        path_length_mean=torch.zeros((), device=device),
    )


class _OfShapes(torch.Generator):
    """A generator for `meta`, whose tensors have shapes and no values (stylex.training.plan)."""

    device = torch.device("meta")  # pyright: ignore[reportAssignmentType]


def _generator(device: str) -> torch.Generator:
    return _OfShapes() if device == "meta" else torch.Generator(device)


def _compiled(
    render: Callable[[StyleVector, Noise], Tensor], options: AccelerationConfig
) -> Callable[[StyleVector, Noise], Tensor]:
    if not options.compile:
        return render
    return torch.compile(render, mode="reduce-overhead" if options.cuda_graphs else "default")


def _adam(
    groups: list[dict[str, Any]], betas: tuple[float, float], interval: int | None, fused: bool
) -> torch.optim.Adam:
    # Lazy regularisation adds a step every `interval`: scale lr and betas as StyleGAN2 does (appendix B).
    ratio = 1.0 if interval is None else interval / (interval + 1)
    for group in groups:
        group["lr"] *= ratio
        group["initial_lr"] = group["lr"]
    return torch.optim.Adam(groups, betas=(betas[0] ** ratio, betas[1] ** ratio), eps=1e-8, fused=fused)


def training_dtype(config: TrainingConfig, device: str) -> torch.dtype:
    """Return the number format of convolutions on this kind of device."""
    cuda = torch.device(device).type == "cuda"
    return number_format(config.precision.cuda if cuda else config.precision.cpu, device)


def rates(training: TrainingConfig) -> dict[str, float]:
    """Return the highest learning rate of each optimised part: of G and M, of E, of D."""
    return {
        "learning_rate": training.learning_rate,
        "encoder_learning_rate": training.encoder_learning_rate,
        "discriminator_learning_rate": training.discriminator_learning_rate or training.learning_rate,
    }


def rate_factor(training: TrainingConfig, images: int) -> float:
    """Return what the learning rates are multiplied by in the step that follows `images` images, in (0, 1].

    A linear rise over the first `warmup_images`, and a linear fall towards 0 over the last part `decay` of all.
    """
    rise = (images + training.batch_size) / training.warmup_images if training.warmup_images else 1.0
    fall = (1 - images / training.images) / training.decay if training.decay else 1.0
    return min(1.0, rise, fall)
