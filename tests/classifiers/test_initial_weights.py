"""Training starts from torchvision's weights, normalised inputs included, and from no other file."""

import dataclasses
import re

import pytest
import torch
import torchvision
import yaml
from safetensors.torch import save_file
from torchvision.transforms.functional import normalize

from stylex.artifacts import load_tensors, read_json, sha256
from stylex.classifiers import fine_tune, load_classifier
from stylex.classifiers.accuracy import accuracy, predict
from stylex.classifiers.initial_weights import InitialWeights, initial_weights, published_name
from stylex.classifiers.networks import build_network
from stylex.config import DatasetConfig, ExperimentPaths, FineTuningConfig, weights_path
from stylex.datasets import load_split
from stylex.datasets.transfer import PinnedFile
from stylex.errors import ArtifactError
from stylex.pretrained import WEIGHTS, PublishedWeights, download_weights

TRAINING = {"epochs": 1, "batch_size": 32, "learning_rate": 0.001}


def published(architecture: str) -> torch.nn.Module:
    """torchvision's own class with random weights, and statistics that differ from channel to channel."""
    torch.manual_seed(7)
    network = getattr(torchvision.models, architecture)(weights=None)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v2"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_embedding_is_that_of_torchvision_on_normalised_images(architecture, channels):
    theirs = published(architecture)
    ours = build_network(architecture, channels, 5, 1.0, "published", published_inputs=True).eval()
    InitialWeights("theirs", theirs.state_dict()).copy_to(ours, architecture)
    images = torch.rand(2, channels, 64, 64) * 2 - 1
    given = normalize((images.expand(-1, 3, -1, -1) + 1) / 2, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    setattr(theirs, {"resnet18": "fc", "mobilenet_v2": "classifier"}[architecture], torch.nn.Identity())
    with torch.no_grad():
        torch.testing.assert_close(ours.embedding(images), theirs(given), rtol=1e-4, atol=1e-4)
    assert ours(images).shape == (2, 5)


@pytest.fixture
def project(root, mnist_root):
    """An experiment that fine-tunes a MobileNetV2 on the real digits 0 and 1."""
    (root / "data").mkdir()
    for folder in (mnist_root / "data").iterdir():
        (root / "data" / folder.name).symlink_to(folder)
    content = {
        "extends": "cpu-32", "title": "Tiny", "domain": "MNIST 0 / 1",
        "dataset": {"name": "mnist", "classes": [0, 1]},
        "classifier": {
            **TRAINING, "architecture": "mobilenet_v2", "width": 1, "max_images": 64, "min_accuracy": 0,
            "pretrained": "imagenet", "epochs_per_stage": 1, "optimizer": "adam", "schedule": "constant",
        },
        "stylex": {"perceptual_backbone": "mnist-32"},
    }  # fmt: skip
    (root / "config/experiments/tiny.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return root


def test_downloaded_weights_are_fine_tuned_into_a_classifier(project, serve, monkeypatch):
    weights = published("mobilenet_v2").state_dict()
    folder, url = serve
    torch.save(weights, folder / "mine.pth", _use_new_zipfile_serialization=False)
    pin = PinnedFile("mine.pth", (folder / "mine.pth").stat().st_size, sha256(folder / "mine.pth"))
    monkeypatch.setitem(WEIGHTS, "mobilenet_v2", PublishedWeights("Mine", url, pin))
    with pytest.raises(ArtifactError, match="mobilenet_v2.pth does not exist; run `stylex weights mobilenet_v2`"):
        fine_tune(project, "tiny")
    download_weights(project, "mobilenet_v2")
    fine_tune(project, "tiny")

    paths = ExperimentPaths(project, "tiny").classifier
    tensors, header = load_tensors(paths.model)
    assert '"published_inputs":true' in header["network"] and '"stem":"published"' in header["network"]
    body = [name for name in tensors if not name.startswith("head.")]  # one epoch: the head alone has learnt
    assert all(torch.equal(tensors[name], weights[published_name("mobilenet_v2", name)]) for name in body)
    test = load_split(project, DatasetConfig(name="mnist", resolution=32, classes=["0", "1"]), "test")
    measured = accuracy(predict(load_classifier(paths.model), test, "cpu"), test.labels)
    assert measured == pytest.approx(read_json(paths.metrics)["accuracy"])


def test_weights_other_than_the_published_are_refused(project):
    path = weights_path(project, "mobilenet_v2")
    path.parent.mkdir(exist_ok=True)
    torch.save(published("mobilenet_v2").state_dict(), path)
    with pytest.raises(ArtifactError, match=r"is not mobilenet_v2-b0353104\.pth: its sha256 is"):
        fine_tune(project, "tiny")
    assert not (project / "results").exists()


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_given_file_is_read_by_its_ending(tmp_path, suffix):
    state = {"conv1.weight": torch.rand(2, 3)}
    path = tmp_path / f"mine.{suffix}"
    torch.save(state, path) if suffix == "pth" else save_file(state, path)
    found = initial_weights(tmp_path, FineTuningConfig(**TRAINING, pretrained=path.name))
    assert found is not None and found.source == str(path)
    assert torch.equal(found.state["conv1.weight"], state["conv1.weight"])
    assert initial_weights(tmp_path, FineTuningConfig(**TRAINING)) is None


def damaged(state: dict, damage: str) -> dict:
    if damage == "'conv_dw_3.weight' is missing":
        del state["conv_dw_3.weight"]
    elif damage == "'conv_pw_1.weight' is of shape (9, 4, 1, 1), not (8, 4, 1, 1)":
        state["conv_pw_1.weight"] = torch.zeros(9, 4, 1, 1)
    else:
        state["conv_dw_14.weight"] = torch.zeros(8)
    return state


@pytest.mark.parametrize(
    "damage",
    [
        "'conv_dw_3.weight' is missing",
        "'conv_pw_1.weight' is of shape (9, 4, 1, 1), not (8, 4, 1, 1)",
        "'conv_dw_14.weight' is not part of it",
    ],
)
def test_weights_of_another_network_are_refused_before_any_is_taken(damage):
    network = build_network("mobilenet_v1", 1, 2, 0.125, "published")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = {published_name("mobilenet_v1", name): value + 1 for name, value in before.items() if "head" not in name}
    with pytest.raises(
        ArtifactError, match=re.escape(f"my.pth holds no weights of mobilenet_v1: {damage}; give others")
    ):
        InitialWeights("my.pth", damaged(state, damage)).copy_to(network, "mobilenet_v1")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_published_head_and_missing_counters_do_not_matter():
    network = build_network("mobilenet_v1", 1, 2, 0.125, "published")
    named = {published_name("mobilenet_v1", name): value for name, value in network.state_dict().items()}
    state = {name: torch.ones_like(value) for name, value in named.items() if "num_batches" not in name}
    InitialWeights("my.pth", state | {"conv_preds.weight": torch.zeros(7)}).copy_to(network, "mobilenet_v1")
    assert torch.equal(network.state_dict()["stages.4.conv_pw_13.weight"], torch.ones(128, 128, 1, 1))
    assert not (network.head.weight == 1).any()


def test_a_file_of_something_else_is_one_clear_line(tmp_path):
    for name, content in (("text.pth", b"not weights"), ("empty.pth", b""), ("text.safetensors", b"not weights")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ArtifactError, match="cannot be read|is damaged") as caught:
            initial_weights(tmp_path, FineTuningConfig(**TRAINING, pretrained=name))
        assert "\n" not in str(caught.value)
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "nested.pth")
    with pytest.raises(ArtifactError, match=r"nested.pth holds no weights by name \(a state_dict\)"):
        initial_weights(tmp_path, FineTuningConfig(**TRAINING, pretrained="nested.pth"))
    with pytest.raises(ArtifactError, match="absent.pth does not exist; give a file of weights"):
        initial_weights(tmp_path, FineTuningConfig(**TRAINING, pretrained="absent.pth"))


def test_pins_are_torchvisions_own():
    urls = {
        "resnet18": torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url,
        "mobilenet_v2": torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1.url,
    }
    sizes = {"resnet18": 44.661, "mobilenet_v2": 13.555}  # MiB, as torchvision documents them
    for name, url in urls.items():
        weights = WEIGHTS[name]
        assert weights.folder + weights.file.name == url
        assert round(weights.file.size / 2**20, 3) == sizes[name]
        assert dataclasses.asdict(weights.file)["sha256"].startswith(re.search(r"-(\w{8})\.pth", url)[1])
