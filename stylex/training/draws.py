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

    def rows(self, rows: slice) -> Draws:
        """Return the samples of `rows`."""
        return Draws(
            self.z[rows],
            self.crossover[rows],
            self.mixed[rows],
            tuple(maps[rows] for maps in self.noise),
            self.views[rows],
            self.direction[rows],
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
    )
