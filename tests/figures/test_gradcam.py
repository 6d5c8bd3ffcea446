"""Grad-CAM equals its closed form for a network that ends in mean and linear layer, and leaves the classifier alone."""

import numpy
import pytest
import torch
from torch.nn import functional as F

from stylex.classifiers import Classifier
from stylex.classifiers.frozen import NetworkDescription
from stylex.classifiers.networks import build_network
from stylex.figures.comparison import STRONGEST, grad_cam, overlay


def classifier(architecture="resnet18", channels=1, side=32) -> Classifier:
    torch.manual_seed(1)
    description = NetworkDescription(
        role="classifier", name="random", architecture=architecture, width=0.125, channels=channels, resolution=side,
        class_names=("a", "b", "c"),
    )  # fmt: skip
    return Classifier(build_network(architecture, channels, 3, 0.125), description)


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v2"])
@pytest.mark.parametrize(("channels", "side"), [(1, 32), (3, 64)])
def test_closed_form(architecture, channels, side):
    # d logit_y / d A_kij = W_yk / (h w), so the map is ReLU(sum_k W_yk A_k) up to a scale.
    network = classifier(architecture, channels, side)
    images = torch.rand(3, channels, side, side) * 2 - 1
    classes = torch.tensor([0, 2, 1])
    with torch.no_grad():
        maps = network.network.maps(images, 5)[-1]
        weights = network.network.head.weight[classes]
        coarse = torch.einsum("nk,nkij->nij", weights, maps).relu()
        expected = F.interpolate(coarse[:, None], (side, side), mode="bilinear")[:, 0]
        largest = expected.amax(dim=(1, 2), keepdim=True)
        expected = torch.where(largest > 0, expected / largest, 0)
    heat = grad_cam(network, images, classes)
    assert heat.shape == (3, side, side) and not heat.requires_grad
    torch.testing.assert_close(heat, expected, rtol=1e-4, atol=1e-5)
    assert expected.max() == 1


def test_without_evidence_the_map_is_zero():
    network = classifier()
    network.network.head.weight.fill_(-1.0)
    assert grad_cam(network, torch.rand(1, 1, 32, 32), torch.tensor([0])).abs().max() == 0


def test_the_classifier_and_the_images_stay_as_they_were():
    network, images = classifier(), torch.rand(2, 1, 32, 32)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    pixels = images.clone()
    grad_cam(network, images, torch.tensor([0, 1]))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(value.requires_grad or value.grad is not None for value in network.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())
    assert torch.equal(images, pixels) and not images.requires_grad and images.grad is None


@pytest.mark.parametrize("channels", [1, 3])
def test_overlay_is_the_grey_image_where_it_is_cold_and_mostly_heat_where_it_is_hot(channels):
    image = numpy.zeros((2, 2, channels), numpy.float32)
    heat = numpy.array([[0.0, 1.0], [0.0, 0.0]], numpy.float32)
    shown = overlay(image, heat)
    numpy.testing.assert_allclose(shown[0, 0], 0.5)
    brightest = (shown[0, 1] - (1 - STRONGEST) * 0.5) / STRONGEST
    numpy.testing.assert_allclose(brightest, [0.988362, 0.998364, 0.644924], atol=1e-5)  # the end of inferno
