"""StyleGAN2's mapping network and its skip generator, with styles as data ([L] 3.2; architecture.md).

`Synthesis.styles` computes every style; `render` turns styles into images, layer by layer through `start` and
`advance`, so that an analysis that perturbs a layer can share everything below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stylex.networks.layers import (
    ACTIVATION_GAIN,
    EqualizedLinear,
    LearnedStyles,
    ModulatedConv2d,
    ToImage,
    leaky_relu,
    recomputing,
    upsample,
)
from stylex.networks.stylespace import StyleSpaceLayout, StyleVector
from stylex.quantization import quantized

Noise = Sequence[Tensor] | None


class Mapping(nn.Module):
    """M: z to w, by equalised fully connected layers with a small learning rate (Karras et al. 2019)."""

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


@dataclass(frozen=True)
class Activations:
    """The state of a partial rendering, before layer `layer`."""

    layer: int
    features: Tensor
    image: Tensor | None


class Synthesis(nn.Module):
    """Styles to images. Layer 0 is at 4x4; layers 2i-1 and 2i are at 4 * 2^i, the first of them upsampling.

    `recomputed`: in training, of each layer only the output is kept, and the rest computed again when it is needed.
    """

    layer_widths: Tensor
    drawn_widths: Tensor
    condition_index: Tensor
    style_order: Tensor

    def __init__(
        self,
        w_plus_dim: int,
        channels: list[int],
        image_channels: int,
        to_rgb: str = "skip",
        noise: bool = True,
        to_rgb_styles: str = "w_plus",
        edges: str = "repeat",
        clamped: bool = False,
        condition_coordinates: int | None = None,
        condition_dim: int = 0,
    ) -> None:
        """`channels`: widths at 4x4, 8x8, …; `image_channels`: 1 for grey, 3 for colour; the rest as in the config.

        `condition_dim`: how many of the last inputs in w_plus are the condition; of use to `condition_coordinates`.
        """
        super().__init__()
        self.zeros, self.clamped = edges == "zeros", clamped
        self.recomputed = False
        self.quantized = False  # analyses render what an image file holds; training, and a comparison, what G gives
        self.constant = nn.Parameter(torch.randn(1, channels[0], 4, 4))
        layers = [ModulatedConv2d(channels[0], channels[0], 4, up=False, noise=noise)]
        for block, (inputs, outputs) in enumerate(zip(channels, channels[1:], strict=False), start=1):
            layers.append(ModulatedConv2d(inputs, outputs, 4 << block, up=True, noise=noise, zeros=self.zeros))
            layers.append(ModulatedConv2d(outputs, outputs, 4 << block, up=False, noise=noise))
        self.first_image = 0 if to_rgb == "skip" else len(channels) - 1  # the first block with a ToRGB layer
        drawn = channels[self.first_image :]
        self.noise_sides = [layer.resolution for layer in layers] if noise else []
        self.layers = nn.ModuleList(layers)
        self.to_image = nn.ModuleList(ToImage(width, image_channels) for width in drawn)
        self.layout = StyleSpaceLayout(tuple(layer.weight.shape[1] for layer in layers))
        self.to_rgb_layout = StyleSpaceLayout(tuple(drawn))
        self._map_styles(w_plus_dim, condition_coordinates or 0, condition_dim, to_rgb_styles == "learned")

    def _map_styles(self, w_plus_dim: int, conditioned: int, condition_dim: int, learned: bool) -> None:
        """Make the affine maps. Those of all layers are one: layer l owns the rows of its styles.

        The coordinates of the condition lie in the middle of equal parts of StyleSpace.
        """
        size, count = self.layout.size, self.to_rgb_layout.size
        index = [(2 * part + 1) * size // (2 * conditioned) for part in range(conditioned)]
        others = [coordinate for coordinate in range(size) if coordinate not in index]
        self.condition_dim = condition_dim if conditioned else 0
        inputs = w_plus_dim - self.condition_dim
        self.affine = EqualizedLinear(inputs, size - conditioned, bias=1.0, precise=True)
        self.condition_affine = None
        if conditioned:
            self.condition_affine = EqualizedLinear(condition_dim, conditioned, bias=1.0, precise=True)
        self.to_rgb_affine = LearnedStyles(count) if learned else EqualizedLinear(inputs, count, bias=1.0, precise=True)
        columns = others + index
        order = sorted(range(len(columns)), key=columns.__getitem__)
        constants = {"layer_widths": self.layout.widths, "drawn_widths": self.to_rgb_layout.widths}
        for name, values in (constants | {"condition_index": index, "style_order": order}).items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.long), persistent=False)

    def styles(self, w_plus: Tensor) -> StyleVector:
        """Map w_plus [N, D], or one a layer [N, L, D], to all styles; always in float32."""
        if w_plus.dim() == 2:
            w, condition = w_plus.tensor_split([w_plus.shape[1] - self.condition_dim], dim=1)
            space = self.affine(w)
            if self.condition_affine is not None:
                space = torch.cat([space, self.condition_affine(condition)], dim=1)[:, self.style_order]
            return StyleVector(space, self.to_rgb_affine(w))
        by_layer = [self.styles(w) for w in w_plus.unbind(1)]
        space = [by_layer[layer].space[:, rows] for layer, rows in enumerate(self.layout.rows())]
        drawn = enumerate(self.to_rgb_layout.rows(), start=self.first_image)
        to_rgb = [by_layer[2 * block].to_rgb[:, rows] for block, rows in drawn]
        return StyleVector(torch.cat(space, dim=1), torch.cat(to_rgb, dim=1))

    def with_condition(self, styles: StyleVector, condition: Tensor, chosen: Tensor) -> StyleVector:
        """Return the styles with the chosen [N, n] of the condition coordinates as `condition` [N, C] has them."""
        assert self.condition_affine is not None
        values = torch.where(chosen, self.condition_affine(condition), styles.space[:, self.condition_index])
        return styles._replace(space=styles.space.index_copy(1, self.condition_index, values))

    def mix(self, first: StyleVector, second: StyleVector, from_second: Tensor) -> StyleVector:
        """Take the layers where from_second [N, L] is true from `second`, the others from `first`.

        The ToRGB layer of a block follows its last convolution, layer 2i, and goes with it.
        """
        space = torch.repeat_interleave(from_second, self.layer_widths, dim=1, output_size=self.layout.size)
        to_rgb = from_second[:, 2 * self.first_image :: 2]
        to_rgb = torch.repeat_interleave(to_rgb, self.drawn_widths, dim=1, output_size=self.to_rgb_layout.size)
        return StyleVector(
            torch.where(space, second.space, first.space), torch.where(to_rgb, second.to_rgb, first.to_rgb)
        )

    def render(self, styles: StyleVector, noise: Noise = None) -> Tensor:
        """Render styles to float32 images [N, C, H, W], about [-1, 1]; as a file holds them where `quantized` is set.

        `noise`: a map [N, 1, H, W] a layer, or None for the fixed maps, so that an effect is an effect.
        """
        return self.finish(self.start(len(styles.space)), styles, noise)

    def start(self, count: int) -> Activations:
        """Return the state before layer 0: the learned constant, `count` times."""
        constant = self.constant.expand(count, -1, -1, -1)
        return Activations(0, constant.contiguous(memory_format=torch.channels_last), None)

    def advance(self, state: Activations, styles: StyleVector, noise: Noise = None) -> Activations:
        """Run one layer (and the ToRGB that follows it) on the state.

        Either side may hold one sample that serves a batch of the other: styles of one image for many states, or many
        styles from one state.
        """
        layer = state.layer
        noise_map = noise[layer] if noise else None
        features = self.layers[layer](state.features, self.layout.split(styles.space)[layer], noise_map)
        return self.draw(state, features, styles)

    def draw(self, state: Activations, features: Tensor, styles: StyleVector) -> Activations:
        """Return the state after a layer that turned `state` into `features`: with what the ToRGB after it adds."""
        layer = state.layer
        block = layer // 2 - self.first_image
        if layer % 2 or block < 0:
            return Activations(layer + 1, features, state.image)
        image = self.to_image[block](features, self.to_rgb_layout.split(styles.to_rgb)[block])
        image = image if state.image is None else upsample(state.image, self.zeros) + image
        return Activations(layer + 1, features, image)

    def finish(self, state: Activations, styles: StyleVector, noise: Noise = None) -> Tensor:
        """Run the remaining layers on the state and return the images."""
        advance = recomputing(self.advance) if self.recomputed else self.advance
        while state.layer < len(self.layers):
            state = advance(state, styles, noise)
        assert state.image is not None
        image = state.image.float()
        if self.quantized:
            return quantized(image)
        return image.clamp(-1, 1) if self.clamped else image
