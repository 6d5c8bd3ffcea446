"""Which variable of the released model is which parameter of ours, and in which layout it is stored.

Sources: the attributes that the notebook [N] reads, and legacy_modified.py and mobilenet_pytorch.py in the repository
of [G] (https://github.com/irenepap2/Re_StylEx), which load the variables by name. A weight is stored as StyleGAN2 does,
before the equalised learning rate scales it, [H, W, in, out] or [in, out]; a style's bias lacks the 1 it starts from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

SYNTHESIS, STYLES, MAPPING = "generator_synthesis", "generator_style_calculator", "generator/generator_mapping"
UNUSED = frozenset({"dlatent_avg"})  # the mean of w, for truncation, which nothing here does


@dataclass(frozen=True)
class Stored:
    """Where the value of one of our parameters is: variables to join along the outputs, and their layout."""

    names: tuple[str, ...]
    layout: Callable[[np.ndarray], np.ndarray]
    added: float = 0.0


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


def as_it_is(value: np.ndarray) -> np.ndarray:
    """Nothing to turn."""
    return value


def scalar(value: np.ndarray) -> np.ndarray:
    """One number, however many dimensions of 1 it has."""
    return value.reshape(()) if value.size == 1 else value


def generator_names(blocks: int, mapping_layers: int) -> dict[str, Stored]:
    """Return where the parameters of mapping and synthesis are; `blocks`: 1 at 4x4, 7 at 256x256."""
    table: dict[str, Stored] = {"synthesis.constant": _one(f"{SYNTHESIS}/ConstBlock4x4/Const4x4", as_it_is)}
    for layer in range(mapping_layers):
        ours, dense, bias = f"mapping.layers.{layer}", f"Dense{layer}/MappingDense_{layer}", f"DenseBiasAct{layer}"
        table[f"{ours}.weight"] = _one(f"{MAPPING}/{dense}", matrix)
        table[f"{ours}.bias"] = _one(f"{MAPPING}/{bias}/MappingBias_{layer}", vector)
    for layer, prefix in enumerate(_synthesis_layers(blocks)):
        ours = f"synthesis.layers.{layer}"
        table[f"{ours}.weight"] = _one(f"{prefix}/ModulatedConv2D/weight", kernel)
        table[f"{ours}.bias"] = _one(f"{prefix}/FusedBiasAct/BiasAct", vector)
        table[f"{ours}.noise_strength"] = _one(f"{prefix}/NoiseStrength", scalar)
        table[f"{ours}.fixed_noise"] = _one(f"Noise{layer}", as_it_is)
    for block in range(blocks):
        ours, prefix = f"synthesis.to_image.{block}", f"{SYNTHESIS}/ToRGB{4 << block}x{4 << block}"
        table[f"{ours}.weight"] = _one(f"{prefix}/ModulatedConv2D/weight", kernel)
        table[f"{ours}.bias"] = _one(f"{prefix}/FusedBiasActivation/ToRGBBiasAct", vector)
    # In this order [N] joins them: the flat index of a coordinate is ours.
    space = ["Const", *(f"{block}_{layer}" for block in range(blocks - 1) for layer in range(2))]
    drawn = ["ConstRGB", *(f"RGB{block}" for block in range(blocks - 1))]
    for ours, labels in (("synthesis.affine", space), ("synthesis.to_rgb_affine", drawn)):
        prefixes = [f"{STYLES}/StyleVector{label}" for label in labels]
        table[f"{ours}.weight"] = Stored(tuple(f"{prefix}/StyleGAN2Dense/weight" for prefix in prefixes), matrix)
        biases = tuple(f"{prefix}/FusedBiasActivation/bias" for prefix in prefixes)
        table[f"{ours}.bias"] = Stored(biases, vector, added=1.0)
    return table


def encoder_names(blocks: int) -> dict[str, Stored]:
    """Return where the parameters of the encoder are."""
    return _residual_names("encoder", "encoder", "Encoder", "Encoder", "style_gan2_dense", blocks)


def discriminator_names(blocks: int) -> dict[str, Stored]:
    """Return where the parameters of the discriminator are."""
    return _residual_names("discriminator", "discriminator_1", "", "Discriminator", "style_gan2_dense_4", blocks)


def _synthesis_layers(blocks: int) -> list[str]:
    layers = [f"{SYNTHESIS}/ConstBlock4x4/GeneratorLayer4x4"]
    for side in (4 << block for block in range(1, blocks)):
        layers += [f"{SYNTHESIS}/GeneratorBlock{side}x{side}/{name}" for name in ("Conv0Up", "Conv1")]
    return layers


def _residual_names(ours: str, top: str, prefix: str, block: str, output: str, blocks: int) -> dict[str, Stored]:
    side = 4 << (blocks - 1)
    image, hidden = f"{top}/{prefix}FromRGB{side}x{side}", f"{top}/{prefix}Dense"
    table: dict[str, Stored] = {
        f"{ours}.trunk.from_image.weight": _one(f"{image}/StyleGAN2Conv2D/weight", kernel),
        f"{ours}.trunk.from_image.bias": _one(f"{image}/FusedBiasActivation/FromRGBBias", vector),
        f"{ours}.last.weight": _one(f"{top}/Conv4x4/weight", kernel),
        f"{ours}.last.bias": _one(f"{top}/{prefix}ConvBiasAct4x4/ConvBiasAct4x4", vector),
        f"{ours}.hidden.weight": _one(f"{hidden}4x4/weight", matrix),
        f"{ours}.hidden.bias": _one(f"{hidden}BiasAct4x4/DenseBiasAct4x4", vector),
        f"{ours}.output.weight": _one(f"{top}/{output}/weight", matrix),
        f"{ours}.output.bias": _one(f"{top}/{prefix}OutputBiasAct/OutputBiasAct", vector),
    }
    for index, side in enumerate(4 << block for block in range(blocks - 1, 0, -1)):
        mine, theirs = f"{ours}.trunk.blocks.{index}", f"{top}/{block}Block{side}x{side}"
        table[f"{mine}.first.weight"] = _one(f"{theirs}/Conv0/weight", kernel)
        table[f"{mine}.first.bias"] = _one(f"{theirs}/Conv0Bias/BiasAct0", vector)
        table[f"{mine}.second.weight"] = _one(f"{theirs}/Conv1Down/weight", kernel)
        table[f"{mine}.second.bias"] = _one(f"{theirs}/Conv1DownBiasAct/BiasAct1", vector)
        table[f"{mine}.skip.weight"] = _one(f"{theirs}/Skip/weight", kernel)
    return table


def _one(name: str, layout: Callable[[np.ndarray], np.ndarray]) -> Stored:
    return Stored((name,), layout)


def all_names(table: Mapping[str, Stored]) -> set[str]:
    """Return every variable that a table asks for."""
    return {name for stored in table.values() for name in stored.names}
