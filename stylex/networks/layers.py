"""StyleGAN2's building blocks: equalised learning rate, modulated convolution, FIR resampling (Karras et al. 2020).

How each is computed was chosen by measurement (docs/performance.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from stylex.precision import in_float32

# Leaky ReLU is positively homogeneous: scaling the small weight and bias before it equals scaling its large output.
ACTIVATION_GAIN = math.sqrt(2)
NEGATIVE_SLOPE = 0.2


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU with slope 0.2, in place; the gain that keeps the variance is in the layer before."""
    return F.leaky_relu(x, NEGATIVE_SLOPE, inplace=True)


def recomputing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of which only inputs and outputs are kept for the backward pass, where it runs again.

    It draws no random numbers. Gradients, and gradients of these, are the same to the last bit.
    """
    return partial(checkpoint, function, use_reentrant=False, preserve_rng_state=False)


def fir_kernel() -> Tensor:
    """Return the separable low-pass filter [1, 3, 3, 1] as a 4x4 kernel of sum 1."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / taps.sum().square()


def modulated_conv2d(
    x: Tensor, weight: Tensor, styles: Tensor, offset: Tensor, up: bool, gain: float, zeros: bool = False
) -> Tensor:
    """Convolve with weights scaled per sample, demodulate, and add ([Karras 2020] eq. 1-3).

    x [N, I, H, W] or [1, I, H, W]; weight [O, I, k, k], k odd; styles [N, I], or [1, I] for the whole batch; offset
    broadcasts to the result [N, O, H', W'], twice as large as x if `up`; `zeros` as in `upsample`. Per-sample weights
    are never made: the style scales the input channels (before they are upsampled, which is linear) and the
    demodulation, times `gain`, the output channels, around one convolution. Styles that serve the whole batch scale the
    weights instead.
    """
    margin, scale = weight.shape[-1] // 2, gain * demodulation(weight, styles)
    padding = 0 if up and zeros else margin
    if len(styles) == 1:
        weight = weight * styles[:, :, None, None] * scale[0, :, None, None, None]
        return F.conv2d(upsample(x, zeros, margin) if up else x, weight, padding=padding) + offset
    x = x * along_rows(styles.to(x.dtype), x)
    out = F.conv2d(upsample(x, zeros, margin) if up else x, weight, padding=padding)
    return torch.addcmul(offset.to(out.dtype), out, along_rows(scale.to(out.dtype), out))


def along_rows(values: Tensor, like: Tensor) -> Tensor:
    """Repeat a value a channel [N, C] along the rows of `like` [N, C, H, W]: [N, C, 1, W], channels-last.

    So that an elementwise operation runs over whole rows: over C values at a time it takes several times as long.
    """
    count, channels = values.shape
    return values[:, None, None, :].expand(count, 1, like.shape[3], channels).contiguous().permute(0, 3, 1, 2)


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """Return 1 / norm of each output channel's scaled weight: weight [O, I, k, k], styles [N, I] -> [N, O], float32."""
    with in_float32(styles.device):
        energy = weight.float().square().sum(dim=(2, 3))
        return torch.rsqrt(styles.float().square() @ energy.t() + 1e-8)


def upsample(x: Tensor, zeros: bool = False, margin: int = 0) -> Tensor:
    """Double the resolution with the [1, 3, 3, 1] filter (bilinear interpolation is that filter); [N, C, H, W].

    Outside of x its edge is repeated. `zeros`: there are zeros, as in StyleGAN2, and of the result, which reaches one
    pixel beyond [2H, 2W], `margin` pixels are kept on every side, for the convolution that follows.
    """
    wide = F.interpolate(F.pad(x, (1, 1, 1, 1)) if zeros else x, scale_factor=2, mode="bilinear", align_corners=False)
    return wide[..., 2 - margin : margin - 2, 2 - margin : margin - 2] if zeros else wide


def blur(x: Tensor, fir: Tensor, padding: int) -> Tensor:
    """Filter every channel of [N, C, H, W] with fir [1, 1, 4, 4], between `padding` zeros: H + 2 * padding - 3."""
    return F.conv2d(x, fir.to(x.dtype).expand(x.shape[1], -1, -1, -1), padding=padding, groups=x.shape[1])


class _Mean2x2(torch.autograd.Function):
    """The mean of 2x2 pixels; its gradient, by interpolation, is twice as fast as avg_pool2d's own on CPUs."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        return F.interpolate(gradients[0] * 0.25, scale_factor=2)


mean2x2 = _Mean2x2.apply


def halving_matrix(side: int) -> Tensor:
    """Return the matrix [side / 2, side] that filters with [1, 3, 3, 1] and keeps every second value, zeros outside."""
    matrix = torch.zeros(side // 2, side + 2)
    for row in range(side // 2):
        matrix[row, 2 * row : 2 * row + 4] = torch.tensor([1, 3, 3, 1]) / 8
    return matrix[:, 1:-1].contiguous()


def halve(x: Tensor, matrix: Tensor) -> Tensor:
    """Halve the sides of [N, C, H, W]: rows, then columns, times a `halving_matrix`.

    Two small matrix products a sample, forwards and backwards; a strided depthwise convolution has a backward pass on
    CPUs that takes ten times as long.
    """
    count, channels, height, width = x.shape
    matrix = matrix.to(x.dtype)
    rows = matrix @ x.permute(0, 2, 3, 1).reshape(count, height, width * channels)
    return (matrix @ rows.view(count, height // 2, width, channels)).permute(0, 3, 1, 2)


class EqualizedLinear(nn.Module):
    """Fully connected layer; see `gains` for its learning rate.

    `gain` scales the output: ACTIVATION_GAIN before a leaky ReLU. `precise`: in float32 whatever the autocast.
    """

    def __init__(
        self, inputs: int, outputs: int, lr_multiplier: float = 1.0, bias: float = 0.0, gain: float = 1.0,
        precise: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.gains = {"weight": gain * lr_multiplier / math.sqrt(inputs), "bias": gain * lr_multiplier}
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * (gain / math.sqrt(inputs)))
        self.bias = nn.Parameter(torch.full((outputs,), bias * gain))
        self.precise = precise

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs] to [N, outputs]."""
        if not self.precise:
            return F.linear(x, self.weight, self.bias)
        with in_float32(x.device):
            return F.linear(x.float(), self.weight, self.bias)


class LearnedStyles(nn.Module):
    """Styles that are the same for every image: the bias of an affine map without the map."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.ones(outputs))

    def forward(self, w_plus: Tensor) -> Tensor:
        """Return the styles [N, outputs] of w_plus [N, D]."""
        return self.bias.expand(len(w_plus), -1)


class EqualizedConv2d(nn.Module):
    """Convolution; see `gains` for its learning rate; `gain` scales the output."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = True, gain: float = 1.0
    ) -> None:
        """`stride` 1: same size, zeros outside; 2: every second position of a larger input, nothing outside."""
        super().__init__()
        self.gains = {"weight": gain / math.sqrt(inputs * kernel**2), "bias": gain}
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel) * self.gains["weight"])
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.stride, self.padding = stride, kernel // 2 if stride == 1 else 0

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H', W']."""
        return F.conv2d(x, self.weight, self.bias, stride=self.stride, padding=self.padding)


class FromImage(EqualizedConv2d):
    """1x1 convolution of an image and its activation, as a matrix product over the pixels: channels-last both ways."""

    def __init__(self, image_channels: int, outputs: int) -> None:
        super().__init__(image_channels, outputs, 1, gain=ACTIVATION_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, C, H, W] to [N, outputs, H, W]."""
        product = F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        # Not in place: the product is a view, whose gradients autograd would copy, and to the other layout.
        return F.leaky_relu(product, NEGATIVE_SLOPE).permute(0, 3, 1, 2)


class ModulatedConv2d(nn.Module):
    """One styled 3x3 convolution of the synthesis network: modulation, noise (if asked for), bias, activation."""

    fixed_noise: Tensor | None

    def __init__(self, inputs: int, outputs: int, resolution: int, up: bool, noise: bool, zeros: bool = False) -> None:
        """`zeros`: as in `upsample`."""
        super().__init__()
        self.gains = {"weight": 1 / math.sqrt(inputs * 9), "bias": ACTIVATION_GAIN, "noise_strength": ACTIVATION_GAIN}
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3) * self.gains["weight"])
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(())) if noise else None
        self.register_buffer("fixed_noise", torch.randn(1, 1, resolution, resolution) if noise else None)
        self.resolution, self.up, self.zeros = resolution, up, zeros

    def forward(self, x: Tensor, styles: Tensor, noise: Tensor | None = None) -> Tensor:
        """Map x [N, I, H, W], styles [N, I] to [N, O, H', W']; noise [N, 1, H', W'], or None for the fixed map."""
        offset = self._offset(noise)
        return leaky_relu(modulated_conv2d(x, self.weight, styles, offset, self.up, ACTIVATION_GAIN, self.zeros))

    def _offset(self, noise: Tensor | None = None) -> Tensor:
        if self.noise_strength is None:
            return self.bias[:, None, None]
        noise = self.fixed_noise if noise is None else noise
        assert noise is not None
        # bias + strength x noise as a product of the map's pixels with one column: a broadcast sum is slower.
        column = self.noise_strength.expand(len(self.bias), 1)
        return F.linear(noise.permute(0, 2, 3, 1), column, self.bias).permute(0, 3, 1, 2)

    def with_one_style_moved(self, x: Tensor, styles: Tensor, row: Tensor, channel: Tensor, value: Tensor) -> Tensor:
        """Return the output [M, O, H', W'] for M moves, each of one style of one sample.

        x [N, I, H, W], styles [N, I]; move m sets style `channel[m]` of sample `row[m]` to `value[m]` (int64, int64,
        float). A rank-one update: the shared convolution is done once a sample; a move adds one input channel's share
        and its part of the demodulation.
        """
        taps, outputs = self.weight[0, 0].numel(), len(self.weight)
        inputs, padding = (upsample(x, self.zeros, 1), int(not self.zeros)) if self.up else (x, 1)
        styled = inputs * styles[:, :, None, None].to(inputs.dtype)
        convolved = F.conv2d(styled, self.weight, padding=padding).permute(0, 2, 3, 1)
        _, height, width, _ = convolved.shape
        before = styles[row, channel]
        kernels = self.weight.permute(1, 2, 3, 0).reshape(-1, taps, outputs)[channel]
        kernels = kernels * (value - before)[:, None, None]
        patches = F.unfold(inputs[row, channel][:, None], self.weight.shape[-1], padding=padding)
        shared = convolved.reshape(len(x), height * width, outputs)
        shared = shared.expand(len(row), -1, -1) if len(x) == 1 else shared[row]
        out = torch.baddbmm(shared, patches.transpose(1, 2).to(shared.dtype), kernels.to(shared.dtype))
        energy = self.weight.float().square().sum(dim=(2, 3))
        norms = (styles.square() @ energy.t())[row] + (value.square() - before.square())[:, None] * energy.t()[channel]
        scale = ACTIVATION_GAIN * torch.rsqrt(norms + 1e-8)
        out = out.view(len(row), height, width, outputs).permute(0, 3, 1, 2)
        return leaky_relu(torch.addcmul(self._offset().to(out.dtype), out, along_rows(scale.to(out.dtype), out)))


class ToImage(nn.Module):
    """1x1 modulated convolution to image channels, without demodulation (ToRGB of StyleGAN2)."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.gains = {"weight": 1 / math.sqrt(inputs), "bias": 1.0}
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1) * self.gains["weight"])
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, styles: Tensor) -> Tensor:
        """Map x [N, I, H, W], styles [N, I] or [1, I] to [N, channels, H, W].

        Few outputs: each sample's weights are small, and one product with them spares a pass over the features.
        """
        count, inputs, height, width = x.shape
        weights = self.weight.flatten(1) * styles[:, None].to(self.weight.dtype)  # [N, channels, I]
        pixels = x.permute(0, 2, 3, 1).reshape(count, height * width, inputs)
        image = torch.matmul(pixels, weights.transpose(1, 2)) + self.bias
        return image.reshape(count, height, width, -1).permute(0, 3, 1, 2)


def learning_gains(network: nn.Module) -> dict[str, float]:
    """Return the gain of every parameter of a network, by name: the equalised learning rate (Karras et al. 2018, 4.1).

    A parameter is gain x v, and v, normal at the start, is what the optimiser moves. Where StyleGAN2 multiplies in
    every forward pass, here the weights hold the product and training keeps v (stylex/training/weights.py).
    """
    gains: dict[str, float] = {}
    for name, module in network.named_modules():
        gains |= {f"{name}.{key}".lstrip("."): gain for key, gain in getattr(module, "gains", {}).items()}
    return {name: gains.get(name, 1.0) for name, _ in network.named_parameters()}
