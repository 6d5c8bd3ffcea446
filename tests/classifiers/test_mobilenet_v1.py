"""MobileNetV1 is that of table 1, with Keras's names and TensorFlow's padding."""

import re

import pytest
import torch
from torch.nn import functional as F

from stylex.classifiers.mobilenet_v1 import SameConv2d
from stylex.classifiers.networks import build_network


@pytest.mark.parametrize(("alpha", "millions"), [(1.0, 4.2), (0.75, 2.6), (0.5, 1.3)])  # tables 6 and 8
def test_parameters_are_as_many_as_published(alpha, millions):
    with torch.device("meta"):
        network = build_network("mobilenet_v1", 3, 1000, alpha, "published")
    count = sum(value.numel() for value in network.parameters())
    assert round(count / 1e6, 1) == millions
    assert alpha != 1 or count == 4_231_976  # trainable weights of Keras's MobileNet


def test_published_weights_get_images_as_they_are_in_three_channels():
    network = build_network("mobilenet_v1", 1, 2, 0.125, "published", published_inputs=True)
    images = torch.rand(2, 1, 8, 8) * 2 - 1
    assert torch.equal(network.preprocess(images), images.expand(-1, 3, -1, -1))


def test_resolutions_and_channels_of_table_1():
    network = build_network("mobilenet_v1", 3, 2, 1.0, "published").eval()
    maps = network.maps(torch.zeros(1, 3, 64, 64), 5)
    assert [tuple(scale.shape[1:]) for scale in maps] == [
        (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (1024, 2, 2),
    ]  # fmt: skip


def test_layers_have_the_names_of_keras():
    names = {re.sub(r"^stages\.\d\.", "", name) for name in build_network("mobilenet_v1", 3, 2, 0.125).state_dict()}
    layers = {name.rsplit(".", 1)[0] for name in names} - {"head"}
    expected = {"conv1", *(f"conv_{kind}_{number}" for kind in ("dw", "pw") for number in range(1, 14))}
    assert layers == expected | {f"{name}_bn" for name in expected}


@pytest.mark.parametrize(("side", "margins"), [(8, (0, 1, 0, 1)), (7, (1, 1, 1, 1))])
def test_a_stride_of_two_pads_as_tensorflow_does(side, margins):
    convolution = SameConv2d(2, 4, 2)
    images = torch.rand(1, 2, side, side)
    expected = F.conv2d(F.pad(images, margins), convolution.weight, stride=2)
    torch.testing.assert_close(convolution(images), expected)
    assert expected.shape[2] == 4
