"""The synthesis network: StyleGAN2's skip generator, with styles as data ([L] 3.2; architecture.md).

`styles(w_plus)` computes every style; `render(styles)` turns styles into images. `render` runs layer by layer through
`start` and `advance`, so that an analysis which perturbs layer l can share everything below it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stylex.networks.layers import EqualizedLinear, ModulatedConv2d, ToImage, upsample
from stylex.networks.stylespace import StyleSpaceLayout, StyleVector


@dataclass(frozen=True)
class Activations:
    """The state of a partial rendering, before layer `layer`."""

    layer: int
    features: Tensor
    image: Tensor | None


class Synthesis(nn.Module):
    """Styles to images. Layer 0 is at 4x4; layers 2i-1 and 2i are at 4 * 2^i, the first of them upsampling."""

    def __init__(self, w_plus_dim: int, channels: list[int], image_channels: int) -> None:
        """`channels`: widths at 4x4, 8x8, …; `image_channels`: 1 for grey, 3 for colour."""
        super().__init__()
        self.constant = nn.Parameter(torch.randn(1, channels[0], 4, 4))
        layers, to_image = (
            [ModulatedConv2d(channels[0], channels[0], 4, up=False)],
            [ToImage(channels[0], image_channels)],
        )
        for block, (inputs, outputs) in enumerate(zip(channels, channels[1:], strict=False), start=1):
            layers.append(ModulatedConv2d(inputs, outputs, 4 << block, up=True))
            layers.append(ModulatedConv2d(outputs, outputs, 4 << block, up=False))
            to_image.append(ToImage(outputs, image_channels))
        self.layers, self.to_image = nn.ModuleList(layers), nn.ModuleList(to_image)
        self.layout = StyleSpaceLayout(tuple(layer.weight.shape[1] for layer in layers))
        self.to_rgb_layout = StyleSpaceLayout(tuple(channels))
        self.affines = nn.ModuleList(EqualizedLinear(w_plus_dim, width, bias=1.0) for width in self.layout.widths)
        self.to_rgb_affines = nn.ModuleList(EqualizedLinear(w_plus_dim, width, bias=1.0) for width in channels)

    def styles(self, w_plus: Tensor) -> StyleVector:
        """Map w_plus [N, D], or one a layer [N, L, D], to all styles; always in float32."""
        with torch.autocast(w_plus.device.type, enabled=False):
            per_layer = w_plus.float()
            if per_layer.dim() == 2:
                per_layer = per_layer[:, None].expand(-1, len(self.affines), -1)
            space = [affine(per_layer[:, layer]) for layer, affine in enumerate(self.affines)]
            # The ToRGB layer of a block follows its last convolution, layer 2i, and uses that layer's w.
            to_rgb = [affine(per_layer[:, 2 * block]) for block, affine in enumerate(self.to_rgb_affines)]
            return StyleVector(torch.cat(space, dim=1), torch.cat(to_rgb, dim=1))

    def render(self, styles: StyleVector, generator: torch.Generator | None = None) -> Tensor:
        """Render styles to float32 images [N, C, H, W], about [-1, 1]; fixed noise unless a generator draws it."""
        return self.finish(self.start(len(styles.space)), styles, generator)

    def start(self, count: int) -> Activations:
        """Return the state before layer 0: the learned constant, `count` times."""
        constant = self.constant.expand(count, -1, -1, -1)
        return Activations(0, constant.contiguous(memory_format=torch.channels_last), None)

    def advance(self, state: Activations, styles: StyleVector, generator: torch.Generator | None = None) -> Activations:
        """Run one layer (and the ToRGB that follows it) on the state.

        Either side may hold one sample that serves a batch of the other: styles of one image for many states, or many
        styles from one state.
        """
        layer = state.layer
        features = self.layers[layer](state.features, self.layout.split(styles.space)[layer], generator)
        if layer % 2:
            return Activations(layer + 1, features, state.image)
        block = layer // 2
        image = self.to_image[block](features, self.to_rgb_layout.split(styles.to_rgb)[block])
        image = image if state.image is None else upsample(state.image) + image
        return Activations(layer + 1, features, image)

    def finish(self, state: Activations, styles: StyleVector, generator: torch.Generator | None = None) -> Tensor:
        """Run the remaining layers on the state and return the images."""
        while state.layer < len(self.layers):
            state = self.advance(state, styles, generator)
        assert state.image is not None
        return state.image.float()
