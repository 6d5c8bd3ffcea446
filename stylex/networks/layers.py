"""StyleGAN2's building blocks: equalised learning rate, modulated convolution, FIR resampling (Karras et al. 2020).

A block that halves the resolution folds the [1, 3, 3, 1] filter into its convolution's weight: one dense strided
convolution replaces a depthwise one followed by another, which CPUs run several times slower.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Leaky ReLU is positively homogeneous: scaling the small weight and bias before it equals scaling its large output.
ACTIVATION_GAIN = math.sqrt(2)
NEGATIVE_SLOPE = 0.2


def leaky_relu(x: Tensor) -> Tensor:
    """Leaky ReLU with slope 0.2; the gain that keeps the variance is in the layer before: see ACTIVATION_GAIN."""
    return F.leaky_relu(x, NEGATIVE_SLOPE)


def fir_kernel() -> Tensor:
    """Return the separable low-pass filter [1, 3, 3, 1] as a 4x4 kernel of sum 1."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) / taps.sum().square()


def modulated_conv2d(x: Tensor, weight: Tensor, styles: Tensor, bias: Tensor, gain: float | None = None) -> Tensor:
    """Convolve with weights scaled per sample ([Karras 2020] eq. 1-3), and add a bias.

    x [N, I, H, W] or [1, I, H, W]; weight [O, I, k, k], k odd; styles [N, I], or [1, I] for the whole batch; bias [O].
    Returns [N, O, H, W]. Per-sample weights are never made: the style scales the input channels and the demodulation,
    times `gain`, the output channels, around one convolution. Styles that serve the whole batch scale the weights
    instead. Without a gain there is no demodulation.
    """
    padding, scale = weight.shape[-1] // 2, None if gain is None else gain * demodulation(weight, styles)
    if len(styles) == 1:
        weight = weight * styles[:, :, None, None]
        return F.conv2d(x, weight if scale is None else weight * scale[0, :, None, None, None], bias, padding=padding)
    out = F.conv2d(x * styles[:, :, None, None].to(x.dtype), weight, padding=padding)
    offset = bias[:, None, None].to(out.dtype)
    return out + offset if scale is None else torch.addcmul(offset, out, scale[:, :, None, None].to(out.dtype))


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """Return 1 / norm of each output channel's scaled weight: weight [O, I, k, k], styles [N, I] -> [N, O], float32."""
    with torch.autocast(styles.device.type, enabled=False):
        energy = weight.float().square().sum(dim=(2, 3))
        return torch.rsqrt(styles.float().square() @ energy.t() + 1e-8)


def upsample(x: Tensor) -> Tensor:
    """Double the resolution with the [1, 3, 3, 1] filter (bilinear interpolation is that filter); [N, C, H, W]."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _convolution_matrix(fir: Tensor, kernel: int) -> Tensor:
    """Return the matrix [k * k, (k + 3) * (k + 3)] that convolves a flattened k x k kernel with the 4x4 filter."""
    basis = torch.eye(kernel * kernel).reshape(-1, 1, kernel, kernel)
    return F.conv2d(basis, fir[None, None], padding=3).flatten(1)  # the filter is symmetric: correlation = convolution


class EqualizedLinear(nn.Module):
    """Fully connected layer whose weights are scaled at run time, so that Adam moves all layers alike.

    `gain` scales the output: ACTIVATION_GAIN before a leaky ReLU.
    """

    def __init__(
        self, inputs: int, outputs: int, lr_multiplier: float = 1.0, bias: float = 0.0, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_multiplier)
        self.bias = nn.Parameter(torch.full((outputs,), bias / lr_multiplier))
        self.weight_gain = gain * lr_multiplier / math.sqrt(inputs)
        self.bias_gain = gain * lr_multiplier

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs] to [N, outputs]."""
        return F.linear(x, self.weight * self.weight_gain, self.bias * self.bias_gain)


class EqualizedConv2d(nn.Module):
    """Convolution with run-time weight scaling; `down` halves the resolution through the FIR filter, `gain` scales."""

    fir: Tensor

    def __init__(
        self, inputs: int, outputs: int, kernel: int, down: bool = False, bias: bool = True, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.weight_gain, self.bias_gain = gain / math.sqrt(inputs * kernel**2), gain
        self.down = down
        self.register_buffer("fir", _convolution_matrix(fir_kernel(), kernel), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H, W], or to half that side."""
        kernel = self.weight.shape[-1]
        bias = None if self.bias is None else self.bias * self.bias_gain
        if self.down:
            return F.conv2d(x, self._folded(), bias, stride=2, padding=kernel // 2 + 1)
        return F.conv2d(x, self.weight * self.weight_gain, bias, padding=kernel // 2)

    def _folded(self) -> Tensor:
        outputs, inputs, kernel, _ = self.weight.shape
        with torch.autocast(self.weight.device.type, enabled=False):
            folded = (self.weight * self.weight_gain).flatten(2) @ self.fir
        return folded.reshape(outputs, inputs, kernel + 3, kernel + 3)


class ModulatedConv2d(nn.Module):
    """One styled 3x3 convolution of the synthesis network: modulation, noise, bias, activation."""

    fixed_noise: Tensor

    def __init__(self, inputs: int, outputs: int, resolution: int, up: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("fixed_noise", torch.randn(1, 1, resolution, resolution))
        self.gain = 1 / math.sqrt(inputs * 9)
        self.up = up

    def forward(self, x: Tensor, styles: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Map x [N, I, H, W], styles [N, I] to [N, O, H', W']; noise drawn from `generator`, or the fixed map."""
        weight, bias = self.weight * self.gain, self.bias * ACTIVATION_GAIN
        x = modulated_conv2d(upsample(x) if self.up else x, weight, styles, bias, ACTIVATION_GAIN)
        if generator is None:
            noise = self.fixed_noise
        else:
            noise = torch.randn((len(x), 1, *x.shape[2:]), generator=generator, device=x.device)
        return leaky_relu(x + (noise * (self.noise_strength * ACTIVATION_GAIN)).to(x.dtype))


class ToImage(nn.Module):
    """1x1 modulated convolution to image channels, without demodulation (ToRGB of StyleGAN2)."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.gain = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, styles: Tensor) -> Tensor:
        """Map x [N, I, H, W], styles [N, I] to [N, channels, H, W]."""
        return modulated_conv2d(x, self.weight * self.gain, styles, self.bias)
