import json

import pytest
import torch
from torch import nn

from stylex.artifacts import load_tensors, save_tensors
from stylex.classifiers import Classifier, load_backbone, load_classifier
from stylex.classifiers.wrapper import fold_normalisation, save_network
from stylex.errors import ArtifactError


@pytest.fixture
def model(tmp_path, random_network, description):
    path = tmp_path / "model.safetensors"
    save_network(path, random_network(), description, {"seed": "0"})
    return path


def test_a_classifier_never_leaves_eval_mode(random_network, description, images):
    classifier = Classifier(random_network(), description)
    before = classifier(images)
    assert classifier.train() is classifier
    nn.Sequential(classifier).train()
    assert not any(module.training for module in classifier.modules())
    assert torch.equal(before, classifier(images))
    assert (classifier.class_names, classifier.architecture) == (("a", "b", "c"), "resnet18")
    assert (classifier.resolution, classifier.channels) == (16, 1)


def test_parameters_are_frozen_but_images_take_gradients(random_network, description, images):
    classifier = Classifier(random_network(), description)
    classifier(images.requires_grad_()).sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0
    assert not any(value.requires_grad for value in classifier.parameters())


def test_an_image_does_not_depend_on_its_batch_mates(random_network, description, images):
    classifier = Classifier(random_network(), description)
    torch.testing.assert_close(classifier(images)[:1], classifier(images[:1]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v2", "mobilenet_v1"])
def test_folding_keeps_the_logits(random_network, architecture, images):
    network = random_network(architecture)
    with torch.no_grad():
        expected = network(images)
        folded = fold_normalisation(network)
        torch.testing.assert_close(folded(images), expected, rtol=1e-3, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())


def test_round_trip_keeps_the_logits(model, random_network, description, images):
    expected = Classifier(random_network(), description)(images)
    classifier = load_classifier(model)
    assert torch.equal(classifier(images), expected)
    assert classifier.class_names == description.class_names
    assert load_tensors(model)[1]["seed"] == "0"


def test_the_header_of_a_small_network_is_that_of_earlier_versions(model):
    keys = set(json.loads(load_tensors(model)[1]["network"]))
    assert keys == {"role", "name", "architecture", "width", "channels", "resolution", "class_names"}


def test_a_missing_model_says_what_to_run(tmp_path):
    with pytest.raises(ArtifactError, match="does not exist; run the stage"):
        load_classifier(tmp_path / "model.safetensors")


def test_a_truncated_model_is_an_artifact_error(model):
    model.write_bytes(model.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="damaged"):
        load_classifier(model)


@pytest.mark.parametrize("damage", ["header", "architecture", "tensor"])
def test_a_file_of_something_else_is_an_artifact_error(model, damage):
    tensors, header = load_tensors(model)
    if damage == "header":
        header.pop("network")
    elif damage == "architecture":
        header["network"] = header["network"].replace("resnet18", "vgg16")
    else:
        tensors.pop("head.bias")
    save_tensors(model, tensors, header)
    with pytest.raises(ArtifactError, match="no trained classifier") as caught:
        load_classifier(model)
    assert "\n" not in str(caught.value)


def test_the_classifier_is_refused_as_backbone(model):
    with pytest.raises(ArtifactError, match="holds a classifier, a backbone is needed"):
        load_backbone(model)
