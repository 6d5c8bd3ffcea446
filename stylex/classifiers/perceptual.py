"""The perceptual distance of training and of latents.parquet: LPIPS with published weights, or our own backbone.

LPIPS (Zhang et al. 2018, equation 1): unit-normalised maps of an ImageNet network, squared differences weighted by
calibrated heads, averaged over positions and summed over layers. As no head is negative, weighting the squares is
scaling the maps by the heads' square roots, and `perceptual_distance` is then LPIPS; so training handles both alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TypeAlias

import torch
from torch import Tensor, nn

from stylex.classifiers.frozen import FeatureBackbone, load_backbone
from stylex.config import StylexConfig, backbone_paths, weights_path
from stylex.pretrained import load_weights

# Network, and where its layers end: after the activations that Zhang et al. name (conv1 … conv5).
NETWORKS = {
    "lpips-alex": ("alexnet", (2, 5, 8, 10, 12)),
    "lpips-vgg": ("vgg16", (4, 9, 16, 23, 30)),
}
EPSILON = 1e-20  # of the lpips package: 1e-10 added to the norm


class LpipsFeatures(nn.Module):
    """Maps whose `perceptual_distance` is LPIPS version 0.1; frozen, in eval mode for ever."""

    shift: Tensor
    scale: Tensor

    def __init__(self, name: str, state: Mapping[str, Tensor]) -> None:
        from lpips import __file__ as package
        from lpips.lpips import ScalingLayer
        from torchvision import models

        super().__init__()
        self.name = name
        network, ends = NETWORKS[name]
        with torch.device("meta"):  # no memory and no time for weights that are replaced
            whole = models.get_model(network, weights=None)
        whole.load_state_dict(state, assign=True)
        layers: Any = whole.get_submodule("features")
        self.network = nn.ModuleList([layers[a:b] for a, b in zip((0, *ends[:-1]), ends, strict=True)])
        path = Path(package).parent / "weights" / "v0.1" / f"{name.removeprefix('lpips-')}.pth"
        heads = torch.load(path, map_location="cpu", weights_only=True)
        for layer in range(len(ends)):
            self.register_buffer(f"head_{layer}", heads[f"lin{layer}.model.1.weight"].sqrt())
        scaling = ScalingLayer()  # ImageNet's mean and sd, in [-1, 1]
        self.register_buffer("shift", scaling.get_buffer("shift"))
        self.register_buffer("scale", scaling.get_buffer("scale"))
        self.requires_grad_(False)
        self.network.eval()
        self.training = False

    def train(self, mode: bool = True) -> Self:
        """Do nothing: eval mode is for ever."""
        return self

    def features(self, images: Tensor) -> list[Tensor]:
        """Map images [N, 1 or 3, H, W] in [-1, 1] to five float32 maps [N, Ci, Hi, Wi]; grey: three equal channels."""
        hidden, maps = (images.expand(-1, 3, -1, -1) - self.shift) / self.scale, []
        for layer, stage in enumerate(self.network):
            hidden = stage(hidden)
            unit = hidden.float() * torch.rsqrt(hidden.float().square().sum(1, keepdim=True) + EPSILON)
            maps.append(unit * self.get_buffer(f"head_{layer}"))
        return maps


PerceptualFeatures: TypeAlias = FeatureBackbone | LpipsFeatures


def load_perceptual(root: Path, config: StylexConfig, device: str = "cpu") -> PerceptualFeatures:
    """Load what `stylex.perceptual` names; raise `ArtifactError` when its weights are missing or others."""
    weights = config.lpips_network
    if weights is None:
        return load_backbone(backbone_paths(root, config.perceptual_backbone).model, device)
    state = load_weights(weights_path(root, weights, config.lpips_weights), weights)
    return LpipsFeatures(config.perceptual, state).to(device)
