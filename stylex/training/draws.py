"""Everything random in a step, drawn for the whole batch at once.

A process, or a part of an accumulated batch, takes its rows. So the same seed gives the same losses however a batch is
divided, and a step can render its fakes twice where memory does not hold them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stylex.networks.model import StylexNetworks

VIEWS = ("real", "fake", "real_r1", "fake_generator")  # what D sees, each augmented by draws of its own


@dataclass(frozen=True)
class Draws:
    """Random numbers of N samples; the first dimension of every tensor is N."""

    z: Tensor
    """[N, 2, latent_dim] normal: the sample's own latent, and the one it may be mixed with."""
    crossover: Tensor
    """[N, L] bool: layers from a random one (1..L-1) upward."""
    mixed: Tensor
    """[N, 1] bool: whether those take the other latent."""
    noise: tuple[Tensor, ...]
    """[N, 1, side, side] normal, one a layer; none where the generator takes no noise."""
    views: Tensor
    """[N, views, 4] uniform in [0, 1): where DiffAugment puts its shift and its square."""
    direction: Tensor
    """[N, C, H, W] normal: the image direction of path lengths; [N, 0] in a step that measures none."""
    counterfactual: Tensor
    """[N] bool: which fakes of a noise step are made of an image's w; evenly over the batch."""
    other: Tensor
    """[N] uniform in [0, 1): the class with which the decided one is exchanged; [N, 0] where none is."""
    exchanged: Tensor
    """[N, n] bool: which of the n condition coordinates take the exchanged condition; [N, 0] where none is mixed."""

    def rows(self, rows: slice) -> Draws:
        """Return the samples of `rows`."""
        return Draws(
            self.z[rows],
            self.crossover[rows],
            self.mixed[rows],
            tuple(maps[rows] for maps in self.noise),
            self.views[rows],
            self.direction[rows],
            self.counterfactual[rows],
            self.other[rows],
            self.exchanged[rows],
        )

    def from_second(self) -> Tensor:
        """Return which layers take the other latent, [N, L] bool."""
        return self.crossover & self.mixed

    def view(self, name: str) -> Tensor:
        """Return the uniform draws [N, 4] of one of VIEWS."""
        return self.views[:, VIEWS.index(name)]


def draw(networks: StylexNetworks, count: int, generator: torch.Generator, direction: bool = False) -> Draws:
    """Draw for `count` samples, always in the same order."""
    config, device, layers = networks.config, generator.device, len(networks.synthesis.layers)
    part, mixed = config.training.counterfactuals, config.training.mixed_conditions
    shape = (networks.image_channels, networks.resolution, networks.resolution) if direction else (0,)
    return Draws(
        torch.randn((count, 2, config.networks.latent_dim), generator=generator, device=device),
        torch.arange(layers, device=device) >= torch.randint(1, layers, (count, 1), generator=generator, device=device),
        torch.rand((count, 1), generator=generator, device=device) < config.training.style_mixing,
        tuple(
            torch.randn((count, 1, side, side), generator=generator, device=device)
            for side in networks.synthesis.noise_sides
        ),
        torch.rand((count, len(VIEWS), 4), generator=generator, device=device),
        torch.randn((count, *shape), generator=generator, device=device),
        (torch.arange(1, count + 1, device=device) * part).floor().diff(prepend=torch.zeros(1, device=device)) > 0,
        torch.rand((count,) if part or mixed else (count, 0), generator=generator, device=device),
        _exchanged(count, len(networks.synthesis.condition_index), mixed, generator),
    )


def _exchanged(count: int, coordinates: int, probability: float, generator: torch.Generator) -> Tensor:
    """Draw which coordinates are exchanged, [N, n] bool: of a mixed sample, a part that is uniform itself."""
    if not probability:
        return torch.zeros((count, 0), dtype=torch.bool, device=generator.device)
    mixed, part, each = (
        torch.rand((count, width), generator=generator, device=generator.device) for width in (1, 1, coordinates)
    )
    return (mixed < probability) & (each < part)
