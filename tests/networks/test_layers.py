"""Styled convolutions and the equalised learning rate against their textbook forms."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stylex.networks.layers import (
    EqualizedConv2d,
    EqualizedLinear,
    FromImage,
    ModulatedConv2d,
    ToImage,
    learning_gains,
    modulated_conv2d,
    upsample,
)
from stylex.networks.synthesis import Mapping


def one_convolution_a_sample(x, weight, styles, demodulate):
    """Karras et al. 2020, equations 1 to 3, sample by sample."""
    rows = []
    for sample, style in zip(x, styles, strict=True):
        scaled = weight * style[None, :, None, None]
        if demodulate:
            scaled = scaled / (scaled.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        rows.append(F.conv2d(sample[None], scaled, padding=weight.shape[-1] // 2))
    return torch.cat(rows)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("kernel", [1, 3])
def test_modulated_convolution_is_the_textbook_one(kernel, up):
    x, weight, styles = torch.randn(3, 5, 8, 8), torch.randn(7, 5, kernel, kernel), torch.randn(3, 5)
    offset = torch.randn(3, 7, 16 if up else 8, 16 if up else 8)
    # The textbook modulates what is already upsampled; ours modulates first.
    expected = 1.5 * one_convolution_a_sample(upsample(x) if up else x, weight, styles, demodulate=True) + offset
    actual = modulated_conv2d(x, weight, styles, offset, up, gain=1.5)
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("up", [False, True])
def test_one_style_or_one_input_serves_the_whole_batch(up):
    x, weight, styles, bias = torch.randn(3, 5, 8, 8), torch.randn(7, 5, 3, 3), torch.randn(3, 5), torch.randn(7, 1, 1)
    shared = modulated_conv2d(x, weight, styles[:1], bias, up, gain=1.5)
    each = modulated_conv2d(x, weight, styles[:1].repeat(3, 1), bias, up, gain=1.5)
    torch.testing.assert_close(shared, each, atol=1e-5, rtol=1e-5)
    many = modulated_conv2d(x[:1], weight, styles, bias, up, gain=1.5)
    each = modulated_conv2d(x[:1].repeat(3, 1, 1, 1), weight, styles, bias, up, gain=1.5)
    torch.testing.assert_close(many, each, atol=1e-5, rtol=1e-5)


def test_modulated_convolution_has_the_textbook_gradients():
    inputs = [torch.randn(3, 5, 8, 8), torch.randn(7, 5, 3, 3), torch.randn(3, 5)]
    probe = torch.randn(3, 7, 8, 8)
    gradients = []
    for convolution in (
        lambda x, weight, styles: modulated_conv2d(x, weight, styles, torch.zeros(7, 1, 1), False, gain=1.0),
        lambda x, weight, styles: one_convolution_a_sample(x, weight, styles, demodulate=True),
    ):
        leaves = [value.clone().requires_grad_() for value in inputs]
        gradients.append(torch.autograd.grad((convolution(*leaves) * probe).sum(), leaves))
    for ours, textbook in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, textbook, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("noise", ["drawn", "fixed", "none"])
def test_styled_layer_adds_noise_and_bias_and_activates(noise, up):
    layer = ModulatedConv2d(5, 7, 16 if up else 8, up, noise != "none").requires_grad_(False)
    gains = learning_gains(layer)
    layer.bias.normal_()
    x, styles, side = torch.randn(3, 5, 8, 8), torch.randn(3, 5), layer.resolution
    drawn = torch.randn(3, 1, side, side) if noise == "drawn" else None
    expected = one_convolution_a_sample(upsample(x) if up else x, layer.weight, styles, demodulate=True)
    if noise != "none":
        layer.noise_strength.fill_(0.7)
        expected = expected + 0.7 / gains["noise_strength"] * (layer.fixed_noise if drawn is None else drawn)
    expected = expected + (layer.bias / gains["bias"])[:, None, None]
    expected = F.leaky_relu(expected, 0.2) * math.sqrt(2)
    torch.testing.assert_close(layer(x, styles, drawn), expected, atol=1e-5, rtol=1e-5)
    assert (layer.noise_strength is None) == (layer.fixed_noise is None) == (noise == "none")


def test_to_image_is_the_textbook_modulated_convolution_without_demodulation():
    layer = ToImage(5, 3).requires_grad_(False)
    layer.bias.normal_()
    x, styles = torch.randn(4, 5, 8, 8), torch.randn(4, 5)
    expected = one_convolution_a_sample(x, layer.weight, styles, demodulate=False) + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x, styles), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer(x, styles[:1])[0], expected[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer(x, styles[:1]), layer(x, styles[:1].repeat(4, 1)), atol=1e-5, rtol=1e-5)


def test_from_image_is_an_activated_convolution_with_one_by_one_kernels():
    layer = FromImage(3, 6).requires_grad_(False)
    layer.bias.normal_()
    x = torch.randn(2, 3, 8, 8)
    expected = F.leaky_relu(F.conv2d(x, layer.weight, layer.bias), 0.2)
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)
    assert layer(x).is_contiguous(memory_format=torch.channels_last)


def test_equalised_learning_rate_keeps_unit_variance_and_scales_the_bias():
    torch.manual_seed(0)
    layer = EqualizedLinear(400, 300, lr_multiplier=0.01, bias=1.0)
    # What the optimiser moves is as large as the multiplier is small; only the product is of unit variance.
    assert (layer.weight / learning_gains(layer)["weight"]).std().item() == pytest.approx(100, rel=0.02)
    assert layer(torch.randn(200, 400)).std().item() == pytest.approx(1, rel=0.03)
    torch.testing.assert_close(layer(torch.zeros(1, 400)), torch.ones(1, 300))


def test_every_weight_is_its_gain_times_a_standard_normal_at_the_start():
    torch.manual_seed(0)
    layers = {
        "linear": EqualizedLinear(64, 64),
        "convolution": EqualizedConv2d(32, 32, 3, gain=math.sqrt(2)),
        "styled": ModulatedConv2d(32, 32, 8, False, True),
        "image": ToImage(512, 8),
    }
    fan_in = {"linear": 64, "convolution": 32 * 9, "styled": 32 * 9, "image": 512}
    own = {"linear": 1.0, "convolution": math.sqrt(2), "styled": 1.0, "image": 1.0}
    gains = learning_gains(nn.ModuleDict(layers))
    for name, layer in layers.items():
        assert gains[f"{name}.weight"] == pytest.approx(own[name] / math.sqrt(fan_in[name]))
        values = layer.weight.detach() / gains[f"{name}.weight"]
        assert values.mean().item() == pytest.approx(0, abs=0.07)
        assert values.std().item() == pytest.approx(1, rel=0.05)
        assert not layer.bias.any()


def test_mapping_is_layers_of_runtime_scaled_weights_on_normalised_latents():
    torch.manual_seed(0)
    mapping, z, multiplier = Mapping(8, 3, 0.01).requires_grad_(False), torch.randn(5, 8), 0.01
    gains, values = learning_gains(mapping), dict(mapping.named_parameters())
    expected = z / z.square().mean(dim=1, keepdim=True).sqrt()
    for index in range(3):
        name = f"layers.{index}"
        values[f"{name}.bias"].normal_()
        weight = values[f"{name}.weight"] / gains[f"{name}.weight"] * multiplier / math.sqrt(8)
        bias = values[f"{name}.bias"] / gains[f"{name}.bias"] * multiplier
        expected = F.leaky_relu(expected @ weight.t() + bias, 0.2) * math.sqrt(2)
    torch.testing.assert_close(mapping(z), expected, atol=1e-5, rtol=1e-4)
