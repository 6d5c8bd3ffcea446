"""Perceptual features and Fréchet features from a locally trained network: never the classifier being explained.

LPIPS (Zhang et al. 2018, equation 1) without its calibrated heads, so it is called `perceptual_distance`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from stylex.classifiers.wrapper import FrozenNetwork, load_network

SCALES = 4  # stages measured: at 32x32 images 32, 32, 16 and 8 pixels; the last stage is only for the embedding
EPSILON = 1e-4  # added to squared norms: where nothing is active (black background) the gradient stays small


class FeatureBackbone(FrozenNetwork):
    """A frozen network trained on all classes of a dataset; `name` heads the columns of what it measures."""

    def features(self, images: Tensor) -> list[Tensor]:
        """Map images [N, C, H, W] in [-1, 1] to four float32 maps [N, Ci, Hi, Wi] of unit norm over the channels."""
        return [unit_norm(scale.float()) for scale in self.network.maps(images, SCALES)]

    def embedding(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to float32 penultimate features [N, D]."""
        return self.network.embedding(images).float()


def load_backbone(path: Path, device: str = "cpu") -> FeatureBackbone:
    """Load the backbone of `path`; raise `ArtifactError` when it is missing, damaged or no backbone."""
    return FeatureBackbone(*load_network(path, "backbone")).to(device)


def unit_norm(features: Tensor) -> Tensor:
    """Scale features [N, C, H, W] to unit norm over the channels (less where the norm is below about 0.01)."""
    return features * torch.rsqrt(features.square().sum(1, keepdim=True) + EPSILON)


def perceptual_distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """Return the distance [N] of two lists of unit-norm features [N, Ci, Hi, Wi].

    The sum over scales of the mean over positions of the squared difference, summed over channels: 0 for equal images,
    at most 4 a scale.
    """
    return torch.stack([(x - y).square().sum(1).mean((1, 2)) for x, y in zip(a, b, strict=True)]).sum(0)
