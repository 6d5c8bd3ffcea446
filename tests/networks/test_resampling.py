"""FIR and box resampling against SciPy and NumPy, alone and inside a residual block."""

import math

import numpy
import pytest
import torch
from scipy import signal

from stylex.networks.discriminator import ResidualBlock
from stylex.networks.layers import blur, fir_kernel, halve, halving_matrix, learning_gains, mean2x2, upsample

TAPS = numpy.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def filtered(image, padding):
    """SciPy's convolution of one plane [H, W] between `padding` zeros, where the filter lies inside."""
    return signal.convolve2d(numpy.pad(image, padding), TAPS, mode="valid")


def planes(function, x):
    """Apply a function of one plane to every plane of [N, C, H, W]."""
    return torch.from_numpy(numpy.stack([[function(plane) for plane in sample] for sample in x.numpy()]))


def means(x):
    count, channels, height, width = x.shape
    return x.reshape(count, channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5))


def test_fir_kernel_is_the_outer_product_of_its_taps():
    assert torch.equal(fir_kernel(), torch.from_numpy(TAPS).float())


@pytest.mark.parametrize("padding", [1, 2])
def test_blur_is_scipys_convolution_of_every_channel(padding):
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    actual = blur(x, fir_kernel()[None, None], padding)
    assert actual.shape[-1] == 8 + 2 * padding - 3
    torch.testing.assert_close(actual, planes(lambda plane: filtered(plane, padding), x))


@pytest.mark.parametrize("side", [8, 16])
def test_halving_is_the_filter_and_every_second_pixel(side):
    x = torch.randn(2, 3, side, side, dtype=torch.float64)
    torch.testing.assert_close(halve(x, halving_matrix(side)), planes(lambda plane: filtered(plane, 1)[::2, ::2], x))


def test_upsampling_is_the_fir_filter_of_zero_inserted_pixels_with_repeated_edges():
    def expected(plane):
        spread = numpy.zeros((16, 16))
        spread[::2, ::2] = numpy.pad(plane, 1, mode="edge")
        return signal.convolve2d(spread, 4 * TAPS)[3:15, 3:15]

    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(upsample(x), planes(expected, x))


@pytest.mark.parametrize("margin", [0, 1])
def test_upsampling_between_zeros_is_the_fir_filter_of_zero_inserted_pixels(margin):
    def expected(plane):
        spread = numpy.zeros((12, 12))
        spread[::2, ::2] = plane
        whole = signal.convolve2d(spread, 4 * TAPS)  # [15, 15], of which the first stands at -1
        return whole[1 - margin : 13 + margin, 1 - margin : 13 + margin]

    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(upsample(x, zeros=True, margin=margin), planes(expected, x))


def test_mean_of_2x2_pixels_is_numpys():
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(mean2x2(x), torch.from_numpy(means(x.numpy())))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", ["mean2x2", "halve", "blur"])
def test_gradients_and_their_gradients_are_those_of_finite_differences(name, memory_format):
    functions = {
        "mean2x2": mean2x2,
        "halve": lambda x: halve(x, halving_matrix(4)),
        "blur": lambda x: blur(x, fir_kernel()[None, None], 2),
    }
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64).contiguous(memory_format=memory_format).requires_grad_()
    assert torch.autograd.gradcheck(functions[name], x)
    # Twice differentiable, as R1 needs; squared, or the second derivative of a linear map would be zero.
    assert torch.autograd.gradgradcheck(lambda x: functions[name](x).square(), x)


def correlate(x, weight, stride=1):
    """x [C, H, W], weight [O, C, k, k] -> [O, H', W'], no padding."""
    rows = [
        sum(signal.correlate2d(plane, kernel, mode="valid") for plane, kernel in zip(x, kernels, strict=True))
        for kernels in weight
    ]
    return numpy.stack(rows)[:, ::stride, ::stride]


def activate(x):
    return numpy.where(x < 0, 0.2 * x, x) * math.sqrt(2)


def padded(x):
    return numpy.pad(x, ((0, 0), (1, 1), (1, 1)))


@pytest.mark.parametrize("downsampling", ["fir", "box"])
def test_residual_block_is_the_textbook_one(downsampling):
    """Filter, then strided convolution; weights scaled at run time, gain after the activation, sum over sqrt(2)."""
    torch.manual_seed(0)
    block = ResidualBlock(3, 5, 8, downsampling).double().requires_grad_(False)
    for convolution in (block.first, block.second):
        convolution.bias.normal_()
    gains = learning_gains(block)
    own = {name: (value / gains[name]).numpy() for name, value in block.named_parameters()}
    weights = {name: value / math.sqrt(value[0].size) for name, value in own.items() if name.endswith("weight")}
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    expected = []
    for sample in x.numpy():
        main = correlate(padded(sample), weights["first.weight"]) + own["first.bias"][:, None, None]
        main = activate(main)
        if downsampling == "fir":
            main = correlate(numpy.stack([filtered(plane, 2) for plane in main]), weights["second.weight"], stride=2)
            skip = correlate(numpy.stack([filtered(plane, 1) for plane in sample]), weights["skip.weight"], stride=2)
        else:
            main = correlate(padded(means(main[None])[0]), weights["second.weight"])
            skip = correlate(means(sample[None])[0], weights["skip.weight"])
        expected.append((activate(main + own["second.bias"][:, None, None]) + skip) / math.sqrt(2))
    actual = block(x.contiguous(memory_format=torch.channels_last))
    assert actual.shape == (2, 5, 4, 4)
    torch.testing.assert_close(actual, torch.from_numpy(numpy.stack(expected)))
