import pytest
import torch
from scipy import signal
from torch.nn import functional as F

from stylex.networks.layers import EqualizedConv2d, EqualizedLinear, fir_kernel, modulated_conv2d, upsample


def one_convolution_a_sample(x, weight, styles, demodulate):
    rows = []
    for sample, style in zip(x, styles, strict=True):
        scaled = weight * style[None, :, None, None]
        if demodulate:
            scaled = scaled / (scaled.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        rows.append(F.conv2d(sample[None], scaled, padding=weight.shape[-1] // 2))
    return torch.cat(rows)


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("kernel", [1, 3])
def test_modulated_convolution_is_the_textbook_one(demodulate, kernel):
    x, weight, styles = torch.randn(3, 5, 8, 8), torch.randn(7, 5, kernel, kernel), torch.randn(3, 5)
    bias = torch.randn(7)
    expected = one_convolution_a_sample(x, weight, styles, demodulate) * (1.5 if demodulate else 1)
    actual = modulated_conv2d(x, weight, styles, bias, gain=1.5 if demodulate else None)
    torch.testing.assert_close(actual, expected + bias[:, None, None], atol=1e-5, rtol=1e-5)
    shared = modulated_conv2d(x[1:].repeat(2, 1, 1, 1), weight, styles[1:2], bias, gain=1.5 if demodulate else None)
    torch.testing.assert_close(shared[0], actual[1], atol=1e-5, rtol=1e-5)
    assert shared.shape[0] == 4


def test_downsampling_convolution_is_filter_then_convolution_then_every_second_pixel():
    layer = EqualizedConv2d(2, 3, 3, down=True)
    x = torch.randn(1, 2, 8, 8)
    full = fir_kernel().double().numpy()
    weight = (layer.weight * layer.weight_gain).detach().double().numpy()
    for output in range(3):
        total = 0
        for channel in range(2):
            filtered = signal.convolve2d(x[0, channel].double().numpy(), full)  # full: one more pixel on either side
            total = total + signal.correlate2d(filtered, weight[output, channel], mode="full")
        # full + full leaves 2.5 pixels of border before the first output centre's support
        expected = torch.from_numpy(total[3::2, 3::2][:4, :4]).float()
        torch.testing.assert_close(layer(x)[0, output].detach(), expected, atol=1e-5, rtol=1e-5)


def test_upsampling_is_the_fir_filter_of_zero_inserted_pixels_away_from_the_border():
    x = torch.randn(1, 1, 6, 6)
    spread = torch.zeros(12, 12)
    spread[::2, ::2] = x[0, 0]
    expected = signal.convolve2d(spread.numpy(), 4 * fir_kernel().numpy())[1:13, 1:13]
    torch.testing.assert_close(upsample(x)[0, 0, 2:-2, 2:-2], torch.from_numpy(expected)[2:-2, 2:-2])


def test_equalised_learning_rate_keeps_unit_variance_and_scales_the_bias():
    torch.manual_seed(0)
    layer = EqualizedLinear(400, 300, lr_multiplier=0.01, bias=1.0)
    assert layer.weight.std().item() == pytest.approx(100, rel=0.02)
    assert layer(torch.randn(200, 400)).std().item() == pytest.approx(1, rel=0.03)
    torch.testing.assert_close(layer(torch.zeros(1, 400)), torch.ones(1, 300))
