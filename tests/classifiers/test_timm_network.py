"""Models of timm, by name: what they compute, and what is said when they cannot be had."""

import sys

import pytest
import timm
import torch

from stylex.classifiers import Classifier, load_classifier, train_network
from stylex.classifiers.initial_weights import InitialWeights
from stylex.classifiers.networks import build_network
from stylex.classifiers.wrapper import NetworkDescription, save_network
from stylex.config import FineTuningConfig
from stylex.errors import ArtifactError, ConfigError


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_mambaout"])  # the last: channels last
@pytest.mark.parametrize("channels", [1, 3])
def test_logits_are_those_of_timm(name, channels):
    theirs = timm.create_model(name, pretrained=False, num_classes=3, in_chans=channels).eval()
    ours = build_network(f"timm:{name}", channels, 3, 1.0, "published").eval()
    InitialWeights("theirs", theirs.state_dict()).copy_to(ours, f"timm:{name}")
    ours.head.load_state_dict(theirs.get_classifier().state_dict())
    images = torch.rand(2, channels, 64, 64) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ours.stages[-1](images), ours.maps(images, 1)[0])
        assert ours.maps(images, 1)[0].shape[:2] == (2, theirs.num_features)


def test_published_weights_get_the_inputs_that_timm_states():
    normalised = build_network("timm:test_resnet", 1, 3, 1.0, "published", published_inputs=True)
    statistics = timm.create_model("test_resnet").pretrained_cfg
    white = normalised.preprocess(torch.ones(1, 1, 2, 2))[0, :, 0, 0]
    expected = [(1 - mean) / sd for mean, sd in zip(statistics["mean"], statistics["std"], strict=True)]
    assert white.tolist() == pytest.approx(expected, rel=1e-5)


def test_weights_of_another_model_are_refused():
    network = build_network("timm:test_resnet", 3, 3, 1.0, "published")
    with pytest.raises(ArtifactError, match="holds no weights of timm:test_resnet: '.*' is missing; give others"):
        InitialWeights("x.pth", timm.create_model("test_efficientnet").state_dict()).copy_to(
            network, "timm:test_resnet"
        )


def test_a_trained_one_is_saved_and_loaded(digits, tmp_path):
    config = FineTuningConfig(
        architecture="timm:test_efficientnet", epochs=1, batch_size=32, max_images=64, learning_rate=0.01
    )
    network, _ = train_network(config, digits["train"], digits["val"], 0, "cpu", "timm")
    description = NetworkDescription.of("classifier", "tiny", config, 1, 32, ("0", "1"))
    save_network(tmp_path / "model.safetensors", network, description, {})
    images = digits["val"].images(torch.arange(4))
    with torch.no_grad():
        expected = network(images)
        torch.testing.assert_close(load_classifier(tmp_path / "model.safetensors")(images), expected)
        torch.testing.assert_close(Classifier(network, description)(images), expected)


def test_without_timm_the_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"^architecture 'timm:resnet10t' needs the package timm: pip install timm$"):
        build_network("timm:resnet10t", 3, 2, 1.0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet10", "unknown model of timm 'resnet10'; did you mean 'resnet10t'"),
        ("qqqqq", "unknown model of timm 'qqqqq'; timm.list_models"),
        ("test_resnet.none", "architecture 'timm:test_resnet.none': timm says: "),
        ("test_vit", "gives tokens, not maps, which Grad-CAM needs; choose a convolutional model"),
    ],
)
def test_a_model_that_cannot_be_taken(name, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build_network(f"timm:{name}", 3, 2, 1.0)
    assert "\n" not in str(caught.value)
