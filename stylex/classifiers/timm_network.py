"""Networks of the package timm (optional: `pip install timm`), by name, with the interface of our own.

A classifier here gives maps (Grad-CAM asks for those of its last stage), so only models whose features are maps are
taken; those of vision transformers are tokens. timm has two stages here, for unfreezing: all its layers, and our head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stylex.classifiers.image_network import ImageNetwork, Statistics
from stylex.config.finetuning import TIMM
from stylex.config.loading import unknown_name
from stylex.errors import ConfigError


class TimmFeatures(nn.Module):
    """A timm model without its classifier, giving maps [N, C, H, W]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"

    def forward(self, images: Tensor) -> Tensor:
        """Map images as timm takes them to the last maps."""
        hidden = self.model.forward_features(images)
        return hidden.permute(0, 3, 1, 2) if self.channels_last else hidden

    def pool(self, maps: Tensor) -> Tensor:
        """Map the last maps to what timm's own classifier takes, [N, D]."""
        hidden = maps.permute(0, 2, 3, 1) if self.channels_last else maps
        return self.model.forward_head(hidden, pre_logits=True)


class TimmNetwork(ImageNetwork):
    """A timm model as one stage, and a linear head on what timm pools."""

    def __init__(self, features: TimmFeatures, classes: int, statistics: Statistics | None) -> None:
        super().__init__([features], features.model.head_hidden_size, classes, statistics)

    def embedding(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to penultimate features [N, D], pooled as timm pools them."""
        features = self.stages[0]
        assert isinstance(features, TimmFeatures)
        return features.pool(self.maps(images, 1)[0])


def timm_network(architecture: str, channels: int, classes: int, normalised: bool) -> TimmNetwork:
    """Build `timm:<name>` for images of `channels` channels, initialised from torch's global generator.

    normalised: images become three channels, normalised as the published weights of this model want them. Raises
    `ConfigError` when timm is not installed, does not know the name, or the model's features are no maps.
    """
    try:
        import timm
    except ModuleNotFoundError:
        raise ConfigError(f"architecture '{architecture}' needs the package timm: pip install timm") from None
    name = architecture.removeprefix(TIMM)
    if not timm.is_model(name.split(".")[0]):
        raise ConfigError(f"architecture '{architecture}': {_unknown(name, timm.list_models())}")
    inputs = 3 if normalised else channels
    try:
        model: Any = timm.create_model(name, pretrained=False, num_classes=0, in_chans=inputs)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(f"architecture '{architecture}': timm says: {' '.join(str(error).split())[:120]}") from None
    published, features = model.pretrained_cfg, TimmFeatures(model)
    _require_maps(features.eval(), architecture, (1, inputs, *published["input_size"][1:]))
    return TimmNetwork(features.train(), classes, (published["mean"], published["std"]) if normalised else None)


def _unknown(name: str, known: Sequence[str]) -> str:
    message = unknown_name("model of timm", name, list(known))
    return message if len(message) < 200 else f"unknown model of timm '{name}'; timm.list_models() lists them"


@torch.no_grad()
def _require_maps(features: TimmFeatures, architecture: str, shape: tuple[int, ...]) -> None:
    if features(torch.zeros(shape)).dim() != 4:
        raise ConfigError(
            f"architecture '{architecture}' gives tokens, not maps, which Grad-CAM needs; choose a convolutional model"
        )
