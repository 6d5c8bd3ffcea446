"""Weights to start from: torchvision's of ImageNet, or a file in the layout of the published ones."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from stylex.classifiers.networks import ImageNetwork, TimmNetwork
from stylex.config import weights_path
from stylex.config.finetuning import FineTuningConfig
from stylex.errors import ArtifactError
from stylex.pretrained import load_weights, read_weights

HEADS = ("fc.", "classifier.", "conv_preds.", "head.")  # of torchvision, Keras's MobileNet, and ours: replaced


@dataclass(frozen=True)
class InitialWeights:
    """Tensors by their published names, and what messages call them."""

    source: str
    state: Mapping[str, Tensor]

    def copy_to(self, network: ImageNetwork, architecture: str) -> None:
        """Copy them to all of the network but its head, in place.

        Raises `ArtifactError` when they belong to another network: one is missing, too many, or of another shape.
        """
        own = {name: value for name, value in network.state_dict().items() if not name.startswith("head.")}
        published = {name: published_name(architecture, name) for name in own}
        heads = HEADS
        if isinstance(network, TimmNetwork):
            named = cast(Any, network.stages[0]).model.pretrained_cfg["classifier"]
            heads += tuple(f"{name}." for name in ((named,) if isinstance(named, str) else named))
        problem = next(self._problems(own, published, heads), None)
        if problem is not None:
            raise ArtifactError(f"{self.source} holds no weights of {architecture}: {problem}; give others, or none")
        found = {name: self.state[key] for name, key in published.items() if key in self.state}
        network.load_state_dict(found, strict=False)

    def _problems(
        self, own: Mapping[str, Tensor], published: Mapping[str, str], heads: tuple[str, ...]
    ) -> Iterator[str]:
        for name, value in own.items():
            key = published[name]
            if key not in self.state:
                if not key.endswith("num_batches_tracked"):  # older files have none, and nothing here uses it
                    yield f"'{key}' is missing"
            elif self.state[key].shape != value.shape:
                yield f"'{key}' is of shape {tuple(self.state[key].shape)}, not {tuple(value.shape)}"
        known = set(published.values())
        for key in self.state:
            if key not in known and not key.startswith(heads):
                yield f"'{key}' is not part of it"


def initial_weights(root: Path, config: FineTuningConfig) -> InitialWeights | None:
    """Read what `pretrained` names, None for a training from scratch.

    Raises `ArtifactError` when the file is missing, damaged or not the published one.
    """
    if (name := config.imagenet_weights) is not None:
        path = weights_path(root, name)
        return InitialWeights(str(path), load_weights(path, name))
    if (file := config.initial_file) is not None:
        path = root / file
        return InitialWeights(str(path), read_weights(path))
    return None


def published_name(architecture: str, name: str) -> str:
    """Return what torchvision, Keras or timm call the tensor `name` of a network with the published stem."""
    if architecture == "resnet18":
        _, stage, block, rest = name.split(".", 3)
        if stage == "0":
            return f"{('conv1', 'bn1')[int(block)]}.{rest}"
        return f"layer{stage}.{int(block) - (stage == '1')}.{rest}"  # in the first, pooling is block 0
    inner = re.sub(r"^stages\.\d\.", "", name)
    return {"mobilenet_v2": f"features.{inner}", "mobilenet_v1": inner}.get(architecture, inner.removeprefix("model."))
