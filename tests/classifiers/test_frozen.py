"""Frozen networks: eval mode for ever, files of one role, and the perceptual distances of backbone and LPIPS."""

import copy
import json

import lpips
import pytest
import torch
from torch import nn
from torchvision import models

from stylex.artifacts import load_tensors, save_tensors
from stylex.classifiers import (
    Classifier,
    FeatureBackbone,
    LpipsFeatures,
    load_classifier,
    load_oracle,
    perceptual_distance,
)
from stylex.classifiers.frozen import HEADER, fold_normalisation, save_network, unit_norm
from stylex.classifiers.perceptual import NETWORKS
from stylex.errors import ArtifactError


@pytest.fixture
def model(tmp_path, random_network, description):
    path = tmp_path / "model.safetensors"
    save_network(path, random_network(), description, {"seed": "0"})
    return path


@pytest.fixture
def backbone(random_network, description):
    changes = {"role": "backbone", "name": "resnet18-tiny"}
    return FeatureBackbone(random_network(), description.model_copy(update=changes))


def test_a_classifier_is_frozen_in_eval_mode_and_images_take_gradients(random_network, description, images):
    classifier = Classifier(random_network(), description)
    before = classifier(images)
    assert classifier.train() is classifier
    nn.Sequential(classifier).train()
    assert not any(module.training for module in classifier.modules())
    assert torch.equal(before, classifier(images))
    # An image does not depend on its batch mates.
    torch.testing.assert_close(before[:1], classifier(images[:1]), rtol=1e-4, atol=1e-5)
    assert (classifier.class_names, classifier.architecture) == (("a", "b", "c"), "resnet18")
    assert (classifier.resolution, classifier.channels) == (16, 1)
    classifier(images.requires_grad_()).sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0
    assert not any(value.requires_grad for value in classifier.parameters())


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v2", "mobilenet_v1"])
def test_folding_keeps_the_logits(random_network, architecture, images):
    network = random_network(architecture)
    with torch.no_grad():
        expected = network(images)
        folded = fold_normalisation(network)
        torch.testing.assert_close(folded(images), expected, rtol=1e-3, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


def test_round_trip_keeps_the_logits_and_the_header_of_earlier_versions(model, random_network, description, images):
    expected = Classifier(random_network(), description)(images)
    classifier, header = load_classifier(model), load_tensors(model)[1]
    assert torch.equal(classifier(images), expected)
    assert classifier.class_names == description.class_names and header["seed"] == "0"
    keys = {"role", "name", "architecture", "width", "channels", "resolution", "class_names"}
    assert set(json.loads(header[HEADER])) == keys


def damage(model, kind):
    tensors, header = load_tensors(model)
    if kind == "missing":
        model.unlink()
    elif kind == "truncated":
        model.write_bytes(model.read_bytes()[:-100])
    else:
        if kind == "header":
            header.pop(HEADER)
        elif kind == "architecture":
            header[HEADER] = header[HEADER].replace("resnet18", "vgg16")
        elif kind == "tensor":
            tensors.pop("head.bias")
        else:
            header[HEADER] = header[HEADER].replace('"classifier"', f'"{kind}"')
        save_tensors(model, tensors, header)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "does not exist; run the stage"),
        ("truncated", "damaged"),
        *((kind, "no trained classifier of this version") for kind in ("header", "architecture", "tensor")),
        ("backbone", "holds a backbone, a classifier is needed: the explained classifier never measures"),
        ("oracle", "holds an oracle, a classifier is needed"),
    ],
)
def test_a_file_of_something_else_is_one_clear_line(model, kind, message):
    damage(model, kind)
    with pytest.raises(ArtifactError, match=message) as caught:
        load_classifier(model)
    assert "\n" not in str(caught.value)


def test_an_oracle_has_other_weights_than_the_networks_it_judges(tmp_path, random_network, description):
    paths = [tmp_path / name for name in ("backbone.safetensors", "oracle.safetensors", "disguised.safetensors")]
    for path, role, architecture in zip(paths, ("backbone", "oracle", "oracle"), (0, 1, 0), strict=True):
        name = ("resnet18", "mobilenet_v1")[architecture]
        changes = {"role": role, "architecture": name}
        save_network(path, random_network(name), description.model_copy(update=changes), {})
    backbone, oracle, disguised = paths
    assert load_oracle(oracle, [backbone]).class_names == description.class_names
    with pytest.raises(ArtifactError, match="holds a backbone, an oracle is needed"):
        load_oracle(backbone, [])
    assert load_oracle(disguised, [oracle]).class_names == description.class_names
    with pytest.raises(ArtifactError, match=r"disguised\.safetensors has the weights of .*backbone\.safetensors"):
        load_oracle(disguised, [oracle, backbone])


def test_features_have_unit_norm_at_four_scales_and_no_more_is_computed(backbone, images):
    calls = []
    backbone.network.stages[4].register_forward_hook(lambda *_: calls.append("last stage"))
    backbone.network.head.register_forward_hook(lambda *_: calls.append("head"))
    features = backbone.features(images)
    assert [tuple(scale.shape) for scale in features] == [(5, 8, 16, 16), (5, 8, 16, 16), (5, 16, 8, 8), (5, 32, 4, 4)]
    for scale in features:
        norms = scale.square().sum(1).sqrt()
        assert norms.max() <= 1.0 + 1e-5 and norms.median() > 0.99
    assert calls == []
    assert backbone.embedding(images).shape == (5, 64) and calls == ["last stage"]
    with torch.autocast("cpu", torch.bfloat16):
        assert {each.dtype for each in (*backbone.features(images), backbone.embedding(images))} == {torch.float32}


def test_unit_norm_where_nothing_is_active_has_a_finite_gradient():
    features = torch.zeros(1, 3, 2, 2, requires_grad=True)
    unit_norm(features).sum().backward()
    assert torch.isfinite(features.grad).all()


def test_distance_against_a_plain_loop():
    generator = torch.Generator().manual_seed(0)
    a, b = ([torch.rand(2, 3, side, side, generator=generator) for side in (4, 2)] for _ in range(2))
    expected = [0.0, 0.0]
    for image in range(2):
        for x, y in zip(a, b, strict=True):
            pairs = zip(x[image].flatten().tolist(), y[image].flatten().tolist(), strict=True)
            expected[image] += sum((first - second) ** 2 for first, second in pairs) / x.shape[2] ** 2
    torch.testing.assert_close(perceptual_distance(a, b), torch.tensor(expected))


def test_distance_sees_brightness_and_contrast_and_drives_an_image_towards_another(backbone, images):
    # The replications stretched every image to its own minimum and maximum, which hides both.
    features = backbone.features(images)
    assert torch.equal(perceptual_distance(features, features), torch.zeros(5))
    for changed in (0.5 * images, 0.5 * images + 0.4):
        assert (perceptual_distance(backbone.features(changed), features) > 1e-3).all()
    target, moved = [scale[:1] for scale in features], torch.zeros(1, 1, 16, 16, requires_grad=True)
    distance = perceptual_distance(backbone.features(moved), target).sum()
    (gradient,) = torch.autograd.grad(distance, moved)
    closer = perceptual_distance(backbone.features(moved - 1e-3 * gradient / gradient.norm()), target).sum()
    assert closer < distance


def random_state(name):
    """Random weights of the network; the layers that LPIPS does not use cost no memory."""
    with torch.device("meta"):
        empty = models.get_model(NETWORKS[name][0], weights=None).state_dict()
    random, state = torch.Generator().manual_seed(0), {}
    for key, value in empty.items():
        scale = (2 / value.shape[1:].numel()) ** 0.5
        used = key.startswith("features")
        state[key] = (
            (torch.randn(value.shape, generator=random) * scale) if used else torch.zeros(1).expand(value.shape)
        )
    return state


@pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning")
@pytest.mark.filterwarnings("ignore:Arguments other than a weight enum:UserWarning")
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("channels", [1, 3])
def test_lpips_is_that_of_the_lpips_package(name, channels):
    state, random = random_state(name), torch.Generator().manual_seed(1)
    oracle = lpips.LPIPS(net=name.removeprefix("lpips-"), pnet_rand=True, verbose=False)
    oracle.net.load_state_dict({key: state["features." + key.split(".", 1)[1]] for key in oracle.net.state_dict()})
    features = LpipsFeatures(name, state)
    a, b = torch.rand(2, 4, channels, 32, 32, generator=random) * 2 - 1
    with torch.no_grad():
        expected = oracle(a.expand(-1, 3, -1, -1), b.expand(-1, 3, -1, -1)).flatten()
    found = perceptual_distance(features.features(a), features.features(b))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-8)
    assert (found > 0.001).all()


def test_lpips_is_frozen_has_finite_gradients_and_keeps_its_heads_in_float32():
    features = LpipsFeatures("lpips-alex", random_state("lpips-alex"))
    features.train()
    assert not any(each.training for each in features.modules())
    assert not any(each.requires_grad for each in features.parameters())
    low = copy.deepcopy(features)
    low.network.to(torch.bfloat16)
    assert {buffer.dtype for buffer in low.buffers()} == {torch.float32}
    image = torch.zeros(1, 1, 32, 32, requires_grad=True)  # where nothing is active
    perceptual_distance(features.features(image), features.features(image.detach() + 0.1)).sum().backward()
    assert torch.isfinite(image.grad).all() and image.grad.abs().max() > 0
