import subprocess
import sys

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchvision.models.mobilenetv2 import MobileNetV2

from stylex.classifiers.networks import MOBILENET_V2_TABLE, Projection, build_network


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v2", "mobilenet_v1"])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(architecture, channels):
    network = build_network(architecture, channels, 7, 0.125).eval()
    images = torch.rand(2, channels, 32, 32)
    maps = network.maps(images, 5)
    assert [scale.shape[2] for scale in maps] == [32, 32, 16, 8, 4]
    assert network.embedding(images).shape == (2, maps[-1].shape[1])
    assert network(images).shape == (2, 7)


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v2", "mobilenet_v1"])
def test_the_published_stem_halves_five_times(architecture):
    network = build_network(architecture, 3, 7, 0.125, "published").eval()
    maps = network.maps(torch.rand(2, 3, 128, 128), 5)
    assert [scale.shape[2] for scale in maps] == [64, 32, 16, 8, 4]


def test_maps_stop_at_the_stage_asked_for(images):
    network = build_network("resnet18", 1, 3, 0.125).eval()
    network.stages[2].register_forward_hook(lambda *_: pytest.fail("the third stage was computed"))
    assert len(network.maps(images, 2)) == 2


def test_width_scales_the_parameters():
    quarter, half = (build_network("resnet18", 1, 2, width) for width in (0.25, 0.5))
    ratio = sum(value.numel() for value in half.parameters()) / sum(value.numel() for value in quarter.parameters())
    assert 3.8 < ratio < 4.1


def torchvision_resnet18():
    network = torchvision.models.resnet18(num_classes=3)
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


def torchvision_mobilenet_v2():
    network = MobileNetV2(num_classes=3, inverted_residual_setting=list(MOBILENET_V2_TABLE))
    network.features[0][0] = nn.Conv2d(3, 32, 3, padding=1, bias=False)
    return network


@pytest.mark.parametrize(
    ("architecture", "original"), [("resnet18", torchvision_resnet18), ("mobilenet_v2", torchvision_mobilenet_v2)]
)
def test_width_one_is_torchvisions_network(architecture, original):
    theirs = original().eval()
    ours = build_network(architecture, 3, 3, 1.0).eval()
    values = list(theirs.state_dict().values())
    ours.load_state_dict(dict(zip(ours.state_dict(), values, strict=True)))
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)


def test_mobilenet_table_is_the_published_one_but_for_one_stride():
    published = [[1, 16, 1], [6, 24, 2], [6, 32, 3], [6, 64, 4], [6, 96, 3], [6, 160, 3], [6, 320, 1]]
    assert [row[:3] for row in MOBILENET_V2_TABLE] == published
    assert [row[3] for row in MOBILENET_V2_TABLE] == [1, 1, 2, 2, 1, 2, 1]  # published: 1, 2, 2, 2, 1, 2, 1


def test_projection_is_a_strided_convolution_and_survives_an_odd_batch_on_two_threads():
    # torch 2.14.1: the strided form's float32 backward pass ends in a segmentation fault here.
    projection = Projection(4, 6, 2)
    x = torch.randn(3, 4, 8, 8)
    torch.testing.assert_close(projection(x), F.conv2d(x, projection.weight, stride=2))
    program = (
        "import torch; torch.set_num_threads(2)\n"
        "from stylex.classifiers.networks import build_network\n"
        "for stem in ('small', 'published'):\n"
        "    network = build_network('resnet18', 1, 2, 0.125, stem).train()\n"
        "    network(torch.randn(31, 1, 32, 32)).sum().backward()"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
