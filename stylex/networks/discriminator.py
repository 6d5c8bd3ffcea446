"""StyleGAN2's residual network, as discriminator D(x, p) and as encoder E(x)."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn

from stylex.networks.layers import (
    ACTIVATION_GAIN,
    EqualizedConv2d,
    EqualizedLinear,
    FromImage,
    blur,
    fir_kernel,
    halve,
    halving_matrix,
    leaky_relu,
    mean2x2,
    recomputing,
)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, of which the second halves the side, beside a 1x1 skip; the sum is scaled by sqrt(1/2).

    `downsampling` fir: StyleGAN2's [1, 3, 3, 1] before a strided convolution. box: the mean of 2x2 pixels before a
    plain one, which sees as many pixels (6x6). `side`: of the input.
    """

    fir: Tensor
    halving: Tensor

    def __init__(self, inputs: int, outputs: int, side: int, downsampling: str) -> None:
        super().__init__()
        self.box = downsampling == "box"
        self.first = EqualizedConv2d(inputs, inputs, 3, gain=ACTIVATION_GAIN)
        stride, gain = 1 if self.box else 2, ACTIVATION_GAIN * math.sqrt(0.5)
        self.second = EqualizedConv2d(inputs, outputs, 3, stride, gain=gain)
        self.skip = EqualizedConv2d(inputs, outputs, 1, bias=False, gain=math.sqrt(0.5))
        self.register_buffer("fir", fir_kernel()[None, None], persistent=False)
        self.register_buffer("halving", halving_matrix(side), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H/2, W/2]."""
        main = leaky_relu(self.first(x))
        if self.box:
            main, x = mean2x2(main), mean2x2(x)
        else:
            main, x = blur(main, self.fir, 2), halve(x, self.halving)
        return leaky_relu(self.second(main)) + self.skip(x)


def minibatch_stddev(x: Tensor, group: int) -> Tensor:
    """Append one channel: the mean standard deviation over groups of consecutive samples; x [N, C, H, W].

    A group holds the largest divisor of N that divides `group`, so that the halves of a batch do not mix.
    """
    count, _, height, width = x.shape
    size = math.gcd(count, group)
    grouped = x.float().reshape(count // size, size, *x.shape[1:])
    # Not Tensor.var: over an inner dimension it takes ten times as long.
    variance = (grouped - grouped.mean(dim=1, keepdim=True)).square().mean(dim=1)
    deviation = (variance + 1e-8).sqrt().mean(dim=(1, 2, 3))
    channel = deviation.repeat_interleave(size)[:, None, None, None].expand(-1, 1, height, width)
    return torch.cat([x, channel.to(x.dtype)], dim=1)


class _ResidualNetwork(nn.Module):
    """Image to numbers: a 1x1 convolution, residual blocks down to 4x4, and a head; `downsampling` as in ResidualBlock.

    `channels`: widths at 4x4, 8x8, ... up to the image's resolution; `statistics`: channels added to the 4x4 features.
    `recomputed`: in training, of each block only the output is kept, and the rest computed again when it is needed.
    """

    def __init__(
        self, image_channels: int, channels: list[int], outputs: int, downsampling: str, statistics: int = 0
    ) -> None:
        super().__init__()
        narrowing = list(zip(channels[:0:-1], channels[-2::-1], strict=True))
        sides = [4 << len(narrowing) - index for index in range(len(narrowing))]
        first = FromImage(image_channels, channels[-1])
        blocks = [ResidualBlock(*widths, side, downsampling) for widths, side in zip(narrowing, sides, strict=True)]
        self.trunk = nn.Sequential(OrderedDict(from_image=first, blocks=nn.Sequential(*blocks)))
        self.last = EqualizedConv2d(channels[0] + statistics, channels[0], 3, gain=ACTIVATION_GAIN)
        self.hidden = EqualizedLinear(channels[0] * 16, channels[0], gain=ACTIVATION_GAIN)
        self.output = EqualizedLinear(channels[0], outputs)
        self.recomputed = False

    def features(self, images: Tensor) -> Tensor:
        """Map images to the features at 4x4, [N, channels, 4, 4]."""
        if not self.recomputed:
            return self.trunk(images)
        first, blocks = self.trunk.children()
        x = first(images)
        for block in blocks.children():
            x = recomputing(block)(x)
        return x

    def head(self, features: Tensor) -> Tensor:
        """Map [N, channels, 4, 4] to [N, outputs], float32."""
        return self.output(leaky_relu(self.hidden(leaky_relu(self.last(features)).flatten(1)))).float()


class Discriminator(_ResidualNetwork):
    """Realness of an image, given class probabilities when `classes` > 1: D(x, p) = sum_k p_k D_k(x) ([V] 4.1(2))."""

    def __init__(self, image_channels: int, channels: list[int], classes: int, group: int, downsampling: str) -> None:
        super().__init__(image_channels, channels, classes, downsampling, statistics=1)
        self.group = group

    def forward(self, images: Tensor, probabilities: Tensor, group: int | None = None) -> Tensor:
        """Images [N, C, H, W], probabilities [N, classes] -> float32 scores [N] (one output: probabilities unused).

        `group` of the minibatch statistics; 1: every image is scored as if it came alone.
        """
        scores = self.head(minibatch_stddev(self.features(images), group or self.group))
        return scores[:, 0] if scores.shape[1] == 1 else (scores * probabilities).sum(dim=1)


class Encoder(_ResidualNetwork):
    """E(x): image to w. No minibatch statistics: a code must not depend on its batch mates."""

    def forward(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to w [N, latent_dim], float32."""
        return self.head(self.features(images))
