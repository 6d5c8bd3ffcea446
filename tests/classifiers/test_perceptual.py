"""LPIPS is that of the lpips package, and is only called so with the published weights."""

import copy

import lpips
import pytest
import torch
from torchvision import models

from stylex.classifiers import LpipsFeatures, perceptual_distance
from stylex.classifiers.perceptual import NETWORKS


def random_state(name):
    """Random weights of the network; the layers that LPIPS does not use cost no memory."""
    with torch.device("meta"):
        shapes = {
            key: value.shape for key, value in models.get_model(NETWORKS[name][0], weights=None).state_dict().items()
        }
    random = torch.Generator().manual_seed(0)
    state = {}
    for key, shape in shapes.items():
        scale = (2 / shape[1:].numel()) ** 0.5
        used = key.startswith("features")
        state[key] = torch.randn(shape, generator=random) * scale if used else torch.zeros(1).expand(shape)
    return state


def pair(channels):
    random = torch.Generator().manual_seed(1)
    return torch.rand(2, 4, channels, 32, 32, generator=random) * 2 - 1


@pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning")
@pytest.mark.filterwarnings("ignore:Arguments other than a weight enum:UserWarning")
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_distance_is_that_of_the_lpips_package(name, channels):
    state = random_state(name)
    oracle = package_lpips(name, state)
    features = LpipsFeatures(name, state)
    a, b = pair(channels)
    with torch.no_grad():
        expected = oracle(a.expand(-1, 3, -1, -1), b.expand(-1, 3, -1, -1)).flatten()
    found = perceptual_distance(features.features(a), features.features(b))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)
    assert (found > 0.001).all()
    assert torch.equal(perceptual_distance(features.features(a), features.features(a)), torch.zeros(4))


def package_lpips(name, state):
    kind = name.removeprefix("lpips-")
    oracle = lpips.LPIPS(net=kind, pnet_rand=True, verbose=False)
    oracle.net.load_state_dict({key: state["features." + key.split(".", 1)[1]] for key in oracle.net.state_dict()})
    return oracle


def test_gradient_is_finite_where_nothing_is_active():
    features = LpipsFeatures("lpips-alex", random_state("lpips-alex"))
    image = torch.zeros(1, 1, 32, 32, requires_grad=True)
    perceptual_distance(features.features(image), features.features(image.detach() + 0.1)).sum().backward()
    assert torch.isfinite(image.grad).all() and image.grad.abs().max() > 0


def test_frozen_for_ever_and_heads_are_kept_in_float32():
    features = LpipsFeatures("lpips-alex", random_state("lpips-alex"))
    features.train()
    assert not any(each.training for each in features.modules())
    assert not any(each.requires_grad for each in features.parameters())
    low = copy.deepcopy(features)
    low.network.to(torch.bfloat16)
    assert {buffer.dtype for buffer in low.buffers()} == {torch.float32}
