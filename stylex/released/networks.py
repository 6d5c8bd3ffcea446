"""The released networks as ours: which variable is which parameter, and in which layout it is stored.

Sources: the attributes that the notebook [N] reads, and legacy_modified.py and mobilenet_pytorch.py in the repository
of [G] (https://github.com/irenepap2/Re_StylEx), which load the variables by name. A weight is stored as StyleGAN2 does,
before the equalised learning rate scales it, [H, W, in, out] or [in, out]; a style's bias lacks the 1 it starts from.
The names of MobileNet's variables are not published: Keras numbers layers. Its trainable variables are in the order of
its layers, and a normalisation's statistics share the scope of its scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from stylex.classifiers.frozen import NetworkDescription
from stylex.classifiers.networks import ImageNetwork
from stylex.config import ExperimentConfig
from stylex.errors import ArtifactError, ConfigError
from stylex.networks.layers import learning_gains
from stylex.networks.model import StylexNetworks

SYNTHESIS, STYLES, MAPPING = "generator_synthesis", "generator_style_calculator", "generator/generator_mapping"
# Our name, theirs, the prefixes of layers and of blocks, and the last layer.
ENCODER = "encoder", "encoder", "Encoder", "Encoder", "style_gan2_dense"
DISCRIMINATOR = "discriminator", "discriminator_1", "", "Discriminator", "style_gan2_dense_4"
UNUSED = frozenset({"dlatent_avg"})  # the mean of w, for truncation, which nothing here does
CHANNELS = 3  # of the released images
LISTED = 5  # names of each kind in an error
ACTIVATIONS = {"mobilenet_v1": "Relu6", "mobilenet_v1_relu": "Relu"}  # the operation of each of our architectures
UNCHANGED = ("constant", "fixed_noise")  # stored as ours
ADDED: dict[str, float] = {"synthesis.affine.bias": 1.0, "synthesis.to_rgb_affine.bias": 1.0}
Layout = Callable[[np.ndarray], np.ndarray]
Table = dict[str, tuple[str, ...]]  # for each of our parameters the variables to join along the outputs


class Variables(NamedTuple):
    """The variables of one released model by name, as `tensorflow_export` wrote them."""

    source: Path
    values: dict[str, np.ndarray]
    trainable: list[str]  # names in the order of the model's trainable variables
    operations: dict[str, int]  # how often each operation is in the graph; of MobileNet only


def kernel(value: np.ndarray) -> np.ndarray:
    """[H, W, in, out] to [out, in, H, W]."""
    return value.transpose(3, 2, 0, 1)


def depthwise(value: np.ndarray) -> np.ndarray:
    """[H, W, channels, 1] to [channels, 1, H, W]."""
    return value.transpose(2, 3, 0, 1)


def matrix(value: np.ndarray) -> np.ndarray:
    """[in, out], or the kernel [1, 1, in, out] of a 1x1 convolution, to [out, in]."""
    return value.reshape(value.shape[-2:]).T if value.shape[:-2] in ((), (1, 1)) else value


def vector(value: np.ndarray) -> np.ndarray:
    """[channels], with dimensions of 1 around it or without, to [channels]."""
    return value.reshape(-1) if value.size == max(value.shape, default=1) else value


def scalar(value: np.ndarray) -> np.ndarray:
    """One number, however many dimensions of 1 it has."""
    return value.reshape(()) if value.size == 1 else value


LAYOUTS: dict[int, Layout] = {4: kernel, 2: matrix, 1: vector, 0: scalar}  # by the dimensions of our parameter


def convert_networks(models: dict[str, Variables], config: ExperimentConfig, ignored: Iterable[str]) -> StylexNetworks:
    """Return generator, encoder and discriminator with the released values.

    Raises `ArtifactError` for variables that are missing, of another shape, or neither known nor `ignored`.
    """
    networks = StylexNetworks(config.stylex, config.dataset.resolution, CHANNELS, len(class_names(config)))
    blocks = config.dataset.resolution.bit_length() - 2
    tables = {
        "generator": _generator(blocks, config.stylex.networks.mapping_layers),
        "encoder": _residual(blocks, *ENCODER),
        "discriminator": _residual(blocks, *DISCRIMINATOR),
    }
    shapes, gains = networks.state_dict(), learning_gains(networks)
    state: dict[str, Tensor] = {}
    for model, table in tables.items():
        state |= _values(models[model], table, shapes, gains, set(ignored))
    networks.load_state_dict(state)
    return networks.eval().requires_grad_(False)


def class_names(config: ExperimentConfig) -> list[str]:
    """Return the classes of the released classifier, in the order of its outputs; `ConfigError`: none are named."""
    if config.dataset.classes is None:
        raise ConfigError("dataset.classes of a released model names its classes, in the order of the outputs; add it")
    return config.dataset.classes


def _values(
    variables: Variables, table: Table, like: dict[str, Tensor], gains: dict[str, float], ignored: set[str]
) -> dict[str, Tensor]:
    """Return our parameters: joined, turned, and with the gain of the equalised learning rate multiplied in."""
    wanted = {name for names in table.values() for name in names}
    missing, unknown = wanted - set(variables.values), set(variables.values) - wanted - UNUSED - ignored
    found: dict[str, Tensor] = {}
    misshapen: set[str] = set()
    for ours, names in table.items():
        if missing & set(names):
            continue
        parts, shape = [variables.values[each] for each in names], tuple(like[ours].shape)
        if not ours.endswith(UNCHANGED):
            parts = [LAYOUTS[len(shape)](part) for part in parts]
        if len({part.shape[1:] for part in parts}) == 1:
            joined = np.concatenate(parts) if len(parts) > 1 else parts[0]
            if joined.shape == shape and joined.dtype.kind == "f":
                value = torch.from_numpy(joined.astype(np.float32)) * gains.get(ours, 1.0)
                found[ours] = value + ADDED.get(ours, 0.0)
                continue
        misshapen.add(f"{names[0]} {list(variables.values[names[0]].shape)} for {list(shape)}")
    _refuse(variables, {"missing": missing, "not known here": unknown, "of another shape": misshapen})
    return found


def _generator(blocks: int, mapping_layers: int) -> Table:
    """Return where the parameters of mapping and synthesis are; `blocks`: 1 at 4x4, 7 at 256x256."""
    single = {"synthesis.constant": f"{SYNTHESIS}/ConstBlock4x4/Const4x4"}
    for layer in range(mapping_layers):
        ours = f"mapping.layers.{layer}"
        single[f"{ours}.weight"] = f"{MAPPING}/Dense{layer}/MappingDense_{layer}"
        single[f"{ours}.bias"] = f"{MAPPING}/DenseBiasAct{layer}/MappingBias_{layer}"
    sides = [4 << block for block in range(blocks)]
    prefixes = [f"{SYNTHESIS}/ConstBlock4x4/GeneratorLayer4x4"]
    prefixes += [
        f"{SYNTHESIS}/GeneratorBlock{side}x{side}/{name}" for side in sides[1:] for name in ("Conv0Up", "Conv1")
    ]
    for layer, prefix in enumerate(prefixes):
        ours = f"synthesis.layers.{layer}"
        single[f"{ours}.weight"] = f"{prefix}/ModulatedConv2D/weight"
        single[f"{ours}.bias"] = f"{prefix}/FusedBiasAct/BiasAct"
        single[f"{ours}.noise_strength"] = f"{prefix}/NoiseStrength"
        single[f"{ours}.fixed_noise"] = f"Noise{layer}"
    for block, side in enumerate(sides):
        ours, prefix = f"synthesis.to_image.{block}", f"{SYNTHESIS}/ToRGB{side}x{side}"
        single[f"{ours}.weight"] = f"{prefix}/ModulatedConv2D/weight"
        single[f"{ours}.bias"] = f"{prefix}/FusedBiasActivation/ToRGBBiasAct"
    table: Table = {ours: (theirs,) for ours, theirs in single.items()}
    # In this order [N] joins them: the flat index of a coordinate is ours.
    space = ["Const", *(f"{block}_{layer}" for block in range(blocks - 1) for layer in range(2))]
    to_rgb = ["ConstRGB", *(f"RGB{block}" for block in range(blocks - 1))]
    for ours, labels in (("synthesis.affine", space), ("synthesis.to_rgb_affine", to_rgb)):
        prefixes = [f"{STYLES}/StyleVector{label}" for label in labels]
        table[f"{ours}.weight"] = tuple(f"{prefix}/StyleGAN2Dense/weight" for prefix in prefixes)
        table[f"{ours}.bias"] = tuple(f"{prefix}/FusedBiasActivation/bias" for prefix in prefixes)
    return table


def _residual(blocks: int, ours: str, top: str, prefix: str, block: str, output: str) -> Table:
    """Return where the parameters of the encoder or the discriminator are."""
    side = 4 << (blocks - 1)
    image, hidden = f"{prefix}FromRGB{side}x{side}", f"{prefix}Dense"
    single = {
        "trunk.from_image.weight": f"{image}/StyleGAN2Conv2D/weight",
        "trunk.from_image.bias": f"{image}/FusedBiasActivation/FromRGBBias",
        "last.weight": "Conv4x4/weight",
        "last.bias": f"{prefix}ConvBiasAct4x4/ConvBiasAct4x4",
        "hidden.weight": f"{hidden}4x4/weight",
        "hidden.bias": f"{hidden}BiasAct4x4/DenseBiasAct4x4",
        "output.weight": f"{output}/weight",
        "output.bias": f"{prefix}OutputBiasAct/OutputBiasAct",
    }
    for index, side in enumerate(4 << block for block in range(blocks - 1, 0, -1)):
        mine, theirs = f"trunk.blocks.{index}", f"{block}Block{side}x{side}"
        single[f"{mine}.first.weight"] = f"{theirs}/Conv0/weight"
        single[f"{mine}.first.bias"] = f"{theirs}/Conv0Bias/BiasAct0"
        single[f"{mine}.second.weight"] = f"{theirs}/Conv1Down/weight"
        single[f"{mine}.second.bias"] = f"{theirs}/Conv1DownBiasAct/BiasAct1"
        single[f"{mine}.skip.weight"] = f"{theirs}/Skip/weight"
    return {f"{ours}.{name}": (f"{top}/{theirs}",) for name, theirs in single.items()}


def convert_classifier(
    variables: Variables, name: str, config: ExperimentConfig, ignored: Iterable[str]
) -> tuple[ImageNetwork, NetworkDescription]:
    """Return MobileNet with the released values, and its description.

    Raises `ArtifactError` as `convert_networks`, and when the graph's activation is not classifier.architecture's.
    """
    side, classes = config.dataset.resolution, class_names(config)
    description = NetworkDescription.of("classifier", name, config.classifier, CHANNELS, side, tuple(classes))
    _check_activation(variables, description.architecture)
    network = description.build()
    trainable = sum(1 for _ in network.parameters())
    if len(variables.trainable) != trainable:
        _refuse(variables, {"missing": {f"{trainable} trainable variables, there are {len(variables.trainable)}"}})
    parts, misshapen = list(_mobilenet(network, iter(variables.trainable))), set()
    wanted = {source for _, source, _ in parts}
    missing, unknown = wanted - set(variables.values), set(variables.values) - wanted - set(ignored)
    for tensor, source, layout in (part for part in parts if part[1] not in missing):
        stored = variables.values[source]
        value = layout(stored) if stored.ndim >= tensor.dim() else stored
        if value.shape == tuple(tensor.shape):
            tensor.data.copy_(torch.from_numpy(value.astype(np.float32)))
        else:
            misshapen.add(f"{source} {list(stored.shape)} for {list(tensor.shape)}")
    _refuse(variables, {"missing": missing, "of another shape": misshapen, "not known here": unknown})
    return network.eval(), description


def _mobilenet(network: ImageNetwork, trainable: Iterator[str]) -> Iterator[tuple[Tensor, str, Layout]]:
    """Yield each of our tensors, the variable that has its values, and the layout in which that is stored."""
    for module in network.stages.modules():
        if isinstance(module, nn.Conv2d):
            yield module.weight, next(trainable), depthwise if module.groups > 1 else kernel
        elif isinstance(module, nn.BatchNorm2d):
            scale = next(trainable)
            scope = scale.rpartition("/")[0]
            yield module.weight, scale, vector
            yield module.bias, next(trainable), vector
            yield module.get_buffer("running_mean"), f"{scope}/moving_mean", vector
            yield module.get_buffer("running_var"), f"{scope}/moving_variance", vector
    yield network.head.weight, next(trainable), matrix
    yield network.head.bias, next(trainable), vector


def _check_activation(variables: Variables, architecture: str) -> None:
    found = [name for name, operation in ACTIVATIONS.items() if variables.operations.get(operation)]
    if found != [architecture]:
        remedy = f"set classifier.architecture: {found[0]}" if len(found) == 1 else "no architecture here has these"
        has = ", ".join(sorted(name for name in variables.operations if "relu" in name.lower())) or "none"
        raise ArtifactError(
            f"{variables.source}: the activations of its graph are {has}, not those of {architecture}; {remedy}"
        )


def _refuse(variables: Variables, problems: dict[str, set[str]]) -> None:
    """Raise `ArtifactError`, naming what is wrong, unless nothing is."""
    lines = []
    for problem, names in problems.items():
        if names:
            shown = sorted(names)[:LISTED] + ([f"{len(names) - LISTED} more"] if len(names) > LISTED else [])
            lines.append(f"{problem}: {', '.join(shown)}")
    if lines:
        raise ArtifactError(
            f"{variables.source} is not the model that stylex/released/networks.py describes ({'; '.join(lines)});"
            " correct the experiment's stylex.networks if its sizes are others, or name what has no place here with"
            " --ignore"
        )
