"""The released MobileNet as ours (stylex/classifiers/mobilenet_v1.py).

The names of its variables are not published: Keras numbers layers. What is published (mobilenet_pytorch.py of the
source that names.py cites) is that its trainable variables are in the order of its layers, what they are, and Keras's
epsilon of 0.001, which is ours, too. A normalisation's statistics are found by the scope they share with its scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from stylex.classifiers.image_network import ImageNetwork
from stylex.classifiers.wrapper import NetworkDescription
from stylex.config import ExperimentConfig
from stylex.errors import ArtifactError
from stylex.released.names import depthwise, kernel, matrix, vector
from stylex.released.networks import CHANNELS, class_names, refuse
from stylex.released.savedmodel import Variables, read_operations, read_variables

ACTIVATIONS = {"mobilenet_v1": "Relu6", "mobilenet_v1_relu": "Relu"}  # the operation of each of our architectures


class _Part(NamedTuple):
    """One of our tensors, the variable that has its values, and the layout in which that is stored."""

    tensor: Tensor
    name: str
    layout: Callable[[np.ndarray], np.ndarray]


def convert_classifier(
    folder: Path, name: str, config: ExperimentConfig, ignored: Iterable[str]
) -> tuple[ImageNetwork, NetworkDescription]:
    """Return MobileNet with the values of the SavedModel in `folder`, and its description.

    ignored: names of variables that are known to have no place here. Raises `ArtifactError`, naming them, for those
    that are missing, not known, or of another shape, and when the graph's activation is not classifier.architecture's.
    """
    side, classes = config.dataset.resolution, class_names(config)
    description = NetworkDescription.of("classifier", name, config.classifier, CHANNELS, side, tuple(classes))
    _check_activation(folder, description.architecture)
    network, variables = description.build(), read_variables(folder)
    trainable = sum(1 for _ in network.parameters())
    if len(variables.trainable) != trainable:
        refuse(variables, {"missing": {f"{trainable} trainable variables, there are {len(variables.trainable)}"}})
    parts = list(_parts(network, iter(variables.trainable)))
    problems: dict[str, set[str]] = {"missing": set(), "of another shape": set()}
    for part in parts:
        _fill(part, variables, problems)
    unknown = set(variables.values) - {part.name for part in parts} - set(ignored)
    refuse(variables, problems | {"not known here": unknown})
    return network.eval(), description


def _check_activation(folder: Path, architecture: str) -> None:
    operations = read_operations(folder)
    found = [name for name, operation in ACTIVATIONS.items() if operations[operation]]
    if found != [architecture]:
        remedy = f"set classifier.architecture: {found[0]}" if len(found) == 1 else "no architecture here has these"
        has = ", ".join(sorted(name for name in operations if "relu" in name.lower())) or "none"
        raise ArtifactError(f"{folder}: the activations of its graph are {has}, not those of {architecture}; {remedy}")


def _parts(network: ImageNetwork, trainable: Iterator[str]) -> Iterator[_Part]:
    for module in network.stages.modules():
        if isinstance(module, nn.Conv2d):
            yield _Part(module.weight, next(trainable), depthwise if module.groups > 1 else kernel)
        elif isinstance(module, nn.BatchNorm2d):
            scale = next(trainable)
            scope = scale.rpartition("/")[0]
            yield _Part(module.weight, scale, vector)
            yield _Part(module.bias, next(trainable), vector)
            yield _Part(module.get_buffer("running_mean"), f"{scope}/moving_mean", vector)
            yield _Part(module.get_buffer("running_var"), f"{scope}/moving_variance", vector)
    yield _Part(network.head.weight, next(trainable), matrix)
    yield _Part(network.head.bias, next(trainable), vector)


def _fill(part: _Part, variables: Variables, problems: dict[str, set[str]]) -> None:
    if part.name not in variables.values:
        problems["missing"].add(part.name)
        return
    stored = variables.values[part.name]
    value = part.layout(stored) if stored.ndim >= part.tensor.dim() else stored
    if value.shape != tuple(part.tensor.shape):
        problems["of another shape"].add(f"{part.name} {list(stored.shape)} for {list(part.tensor.shape)}")
        return
    with torch.no_grad():
        part.tensor.copy_(torch.from_numpy(value.astype(np.float32)))
