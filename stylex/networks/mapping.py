"""The mapping network M: z to w (Karras et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stylex.networks.layers import ACTIVATION_GAIN, EqualizedLinear, leaky_relu


class Mapping(nn.Module):
    """Equalised fully connected layers with a small learning rate."""

    def __init__(self, latent_dim: int, layers: int, lr_multiplier: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            EqualizedLinear(latent_dim, latent_dim, lr_multiplier, gain=ACTIVATION_GAIN, precise=True)
            for _ in range(layers)
        )

    def forward(self, z: Tensor) -> Tensor:
        """Map z [N, latent_dim] ~ N(0, I) to w [N, latent_dim], float32; z is normalised to unit second moment."""
        x = z.float() * torch.rsqrt(z.float().square().mean(dim=1, keepdim=True) + 1e-8)
        for layer in self.layers:
            x = leaky_relu(layer(x))
        return x
