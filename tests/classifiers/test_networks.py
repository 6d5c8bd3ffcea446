"""Networks are torchvision's, Keras's and timm's, and weights to start from are theirs, and no other file's."""

import dataclasses
import re
import subprocess
import sys

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.transforms.functional import normalize

from stylex.artifacts import load_tensors, read_json, sha256
from stylex.classifiers import fine_tune, load_classifier
from stylex.classifiers.initial_weights import InitialWeights, initial_weights, published_name
from stylex.classifiers.metrics import accuracy, predict
from stylex.classifiers.networks import MOBILENET_V2_TABLE, Projection, SameConv2d, build_network, translate
from stylex.config import DatasetConfig, ExperimentPaths, FineTuningConfig, weights_path
from stylex.datasets import load_split
from stylex.datasets.transfer import PinnedFile
from stylex.errors import ArtifactError, ConfigError
from stylex.pretrained import WEIGHTS, PublishedWeights, download_weights

ARCHITECTURES = ["resnet18", "mobilenet_v2", "mobilenet_v1"]
TRAINING = {"epochs": 1, "batch_size": 32, "learning_rate": 0.001}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("channels", "stem", "side"), [(1, "small", 32), (3, "small", 32), (3, "published", 128)])
def test_shapes(architecture, channels, stem, side):
    network = build_network(architecture, channels, 7, 0.125, stem).eval()
    images = torch.rand(2, channels, side, side)
    maps = network.maps(images, 5)
    assert [scale.shape[2] for scale in maps] == ([32, 32, 16, 8, 4] if stem == "small" else [64, 32, 16, 8, 4])
    assert network.embedding(images).shape == (2, maps[-1].shape[1])
    assert network(images).shape == (2, 7)


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


def test_mobilenet_v2_table_is_the_published_one_but_for_one_stride():
    published = [[1, 16, 1], [6, 24, 2], [6, 32, 3], [6, 64, 4], [6, 96, 3], [6, 160, 3], [6, 320, 1]]
    assert [row[:3] for row in MOBILENET_V2_TABLE] == published
    assert [row[3] for row in MOBILENET_V2_TABLE] == [1, 1, 2, 2, 1, 2, 1]  # published: 1, 2, 2, 2, 1, 2, 1


def test_projection_is_a_strided_convolution_and_survives_an_odd_batch_on_two_threads():
    # torch 2.14.1: the strided form's float32 backward pass ends in a segmentation fault here.
    projection, x = Projection(4, 6, 2), torch.randn(3, 4, 8, 8)
    torch.testing.assert_close(projection(x), F.conv2d(x, projection.weight, stride=2))
    program = (
        "import torch; torch.set_num_threads(2)\n"
        "from stylex.classifiers.networks import build_network\n"
        "for stem in ('small', 'published'):\n"
        "    network = build_network('resnet18', 1, 2, 0.125, stem).train()\n"
        "    network(torch.randn(31, 1, 32, 32)).sum().backward()"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(("alpha", "millions"), [(1.0, 4.2), (0.75, 2.6), (0.5, 1.3)])  # tables 6 and 8
def test_mobilenet_v1_has_as_many_parameters_as_published(alpha, millions):
    with torch.device("meta"):
        network = build_network("mobilenet_v1", 3, 1000, alpha, "published")
    count = sum(value.numel() for value in network.parameters())
    assert round(count / 1e6, 1) == millions
    assert alpha != 1 or count == 4_231_976  # trainable weights of Keras's MobileNet


def test_mobilenet_v1_has_the_channels_of_table_1_and_the_names_of_keras():
    network = build_network("mobilenet_v1", 3, 2, 1.0, "published").eval()
    maps = network.maps(torch.zeros(1, 3, 64, 64), 5)
    assert [tuple(scale.shape[1:]) for scale in maps] == [
        (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (1024, 2, 2),
    ]  # fmt: skip
    names = {re.sub(r"^stages\.\d\.", "", name) for name in network.state_dict()}
    layers = {name.rsplit(".", 1)[0] for name in names} - {"head"}
    expected = {"conv1", *(f"conv_{kind}_{number}" for kind in ("dw", "pw") for number in range(1, 14))}
    assert layers == expected | {f"{name}_bn" for name in expected}


@pytest.mark.parametrize(("side", "margins"), [(8, (0, 1, 0, 1)), (7, (1, 1, 1, 1))])
def test_a_stride_of_two_pads_as_tensorflow_does(side, margins):
    convolution, images = SameConv2d(2, 4, 2), torch.rand(1, 2, side, side)
    expected = F.conv2d(F.pad(images, margins), convolution.weight, stride=2)
    torch.testing.assert_close(convolution(images), expected)
    assert expected.shape[2] == 4


def test_translation_against_a_plain_loop():
    images = torch.arange(2 * 2 * 4 * 4.0).reshape(2, 2, 4, 4)
    shifts = torch.tensor([[1, -2], [-3, 0]])
    moved = translate(images, shifts)
    for image in range(2):
        for row in range(4):
            for column in range(4):
                source_row = min(max(row - int(shifts[image, 0]), 0), 3)
                source_column = min(max(column - int(shifts[image, 1]), 0), 3)
                assert torch.equal(moved[image, :, row, column], images[image, :, source_row, source_column])
    assert torch.equal(translate(images, torch.zeros(2, 2, dtype=torch.int64)), images)


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


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet10", "unknown model of timm 'resnet10'; did you mean 'resnet10t'"),
        ("qqqqq", "unknown model of timm 'qqqqq'; timm.list_models"),
        ("test_resnet.none", "architecture 'timm:test_resnet.none': timm says: "),
        ("test_vit", "gives tokens, not maps, which Grad-CAM needs; choose a convolutional model"),
        (None, r"^architecture 'timm:resnet10t' needs the package timm: pip install timm$"),
    ],
)
def test_a_model_of_timm_that_cannot_be_had(name, message, monkeypatch):
    if name is None:
        monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=message) as caught:
        build_network(f"timm:{name or 'resnet10t'}", 3, 2, 1.0)
    assert "\n" not in str(caught.value)


def test_published_weights_get_the_inputs_that_they_want():
    images = torch.rand(2, 1, 8, 8) * 2 - 1
    network = build_network("mobilenet_v1", 1, 2, 0.125, "published", published_inputs=True)
    assert torch.equal(network.preprocess(images), images.expand(-1, 3, -1, -1))
    statistics = timm.create_model("test_resnet").pretrained_cfg
    network = build_network("timm:test_resnet", 1, 3, 1.0, "published", published_inputs=True)
    white = network.preprocess(torch.ones(1, 1, 2, 2))[0, :, 0, 0]
    expected = [(1 - mean) / sd for mean, sd in zip(statistics["mean"], statistics["std"], strict=True)]
    assert white.tolist() == pytest.approx(expected, rel=1e-5)


def published(architecture: str) -> torch.nn.Module:
    """torchvision's own class with random weights, and statistics that differ from channel to channel."""
    torch.manual_seed(7)
    network = getattr(torchvision.models, architecture)(weights=None)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


@pytest.mark.parametrize(("architecture", "head"), [("resnet18", "fc"), ("mobilenet_v2", "classifier")])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_embedding_is_that_of_torchvision_on_normalised_images(architecture, head, channels):
    theirs = published(architecture)
    ours = build_network(architecture, channels, 5, 1.0, "published", published_inputs=True).eval()
    InitialWeights("theirs", theirs.state_dict()).copy_to(ours, architecture)
    images = torch.rand(2, channels, 64, 64) * 2 - 1
    given = normalize((images.expand(-1, 3, -1, -1) + 1) / 2, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    setattr(theirs, head, torch.nn.Identity())
    with torch.no_grad():
        torch.testing.assert_close(ours.embedding(images), theirs(given), rtol=1e-4, atol=1e-4)
    assert ours(images).shape == (2, 5)


@pytest.fixture
def pretrained(project, tiny):
    """A project with an experiment that fine-tunes a MobileNetV2."""
    given = {"architecture": "mobilenet_v2", "width": 1, "pretrained": "imagenet", "epochs_per_stage": 1}
    tiny(**TRAINING, **given, max_images=64, min_accuracy=0, optimizer="adam", schedule="constant")
    return project


def test_downloaded_weights_are_fine_tuned_into_a_classifier(pretrained, serve, monkeypatch):
    weights = published("mobilenet_v2").state_dict()
    folder, url = serve
    torch.save(weights, folder / "mine.pth", _use_new_zipfile_serialization=False)
    pin = PinnedFile("mine.pth", (folder / "mine.pth").stat().st_size, sha256(folder / "mine.pth"))
    monkeypatch.setitem(WEIGHTS, "mobilenet_v2", PublishedWeights("Mine", url, pin))
    with pytest.raises(ArtifactError, match="mobilenet_v2.pth does not exist; run `stylex weights mobilenet_v2`"):
        fine_tune(pretrained, "tiny")
    download_weights(pretrained, "mobilenet_v2")
    fine_tune(pretrained, "tiny")

    paths = ExperimentPaths(pretrained, "tiny").classifier
    tensors, header = load_tensors(paths.model)
    assert '"published_inputs":true' in header["network"] and '"stem":"published"' in header["network"]
    body = [name for name in tensors if not name.startswith("head.")]  # one epoch: the head alone has learnt
    assert all(torch.equal(tensors[name], weights[published_name("mobilenet_v2", name)]) for name in body)
    test = load_split(pretrained, DatasetConfig(name="mnist", resolution=32, classes=["0", "1"]), "test")
    measured = accuracy(predict(load_classifier(paths.model), test, "cpu"), test.labels)
    assert measured == pytest.approx(read_json(paths.metrics)["accuracy"])


def test_weights_other_than_the_published_are_refused(pretrained):
    path = weights_path(pretrained, "mobilenet_v2")
    path.parent.mkdir(exist_ok=True)
    torch.save(published("mobilenet_v2").state_dict(), path)
    with pytest.raises(ArtifactError, match=r"is not mobilenet_v2-b0353104\.pth: its sha256 is"):
        fine_tune(pretrained, "tiny")
    assert not (pretrained / "results").exists()


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_given_file_is_read_by_its_ending(tmp_path, suffix):
    state = {"conv1.weight": torch.rand(2, 3)}
    path = tmp_path / f"mine.{suffix}"
    torch.save(state, path) if suffix == "pth" else save_file(state, path)
    found = initial_weights(tmp_path, FineTuningConfig(**TRAINING, pretrained=path.name))
    assert found is not None and found.source == str(path)
    assert torch.equal(found.state["conv1.weight"], state["conv1.weight"])
    assert initial_weights(tmp_path, FineTuningConfig(**TRAINING)) is None


@pytest.mark.parametrize(
    ("key", "shape", "problem"),
    [
        ("conv_dw_3.weight", None, "'conv_dw_3.weight' is missing"),
        ("conv_pw_1.weight", (9, 4, 1, 1), "'conv_pw_1.weight' is of shape (9, 4, 1, 1), not (8, 4, 1, 1)"),
        ("conv_dw_14.weight", (8,), "'conv_dw_14.weight' is not part of it"),
    ],
)
def test_weights_of_another_network_are_refused_before_any_is_taken(key, shape, problem):
    network = build_network("mobilenet_v1", 1, 2, 0.125, "published")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = {published_name("mobilenet_v1", name): value + 1 for name, value in before.items() if "head" not in name}
    state = {name: value for name, value in state.items() if name != key} | ({key: torch.zeros(shape)} if shape else {})
    message = re.escape(f"my.pth holds no weights of mobilenet_v1: {problem}; give others")
    with pytest.raises(ArtifactError, match=message):
        InitialWeights("my.pth", state).copy_to(network, "mobilenet_v1")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network = build_network("timm:test_resnet", 3, 3, 1.0, "published")
    with pytest.raises(ArtifactError, match="holds no weights of timm:test_resnet: '.*' is missing; give others"):
        InitialWeights("x.pth", state).copy_to(network, "timm:test_resnet")


def test_a_published_head_and_missing_counters_do_not_matter():
    network = build_network("mobilenet_v1", 1, 2, 0.125, "published")
    named = {published_name("mobilenet_v1", name): value for name, value in network.state_dict().items()}
    state = {name: torch.ones_like(value) for name, value in named.items() if "num_batches" not in name}
    InitialWeights("my.pth", state | {"conv_preds.weight": torch.zeros(7)}).copy_to(network, "mobilenet_v1")
    assert torch.equal(network.state_dict()["stages.4.conv_pw_13.weight"], torch.ones(128, 128, 1, 1))
    assert not (network.head.weight == 1).any()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.pth", b"not weights", "cannot be read|is damaged"),
        ("empty.pth", b"", "cannot be read|is damaged"),
        ("text.safetensors", b"not weights", "cannot be read|is damaged"),
        ("nested.pth", {"state_dict": {"a": torch.zeros(1)}}, r"nested.pth holds no weights by name \(a state_dict\)"),
        ("absent.pth", None, "absent.pth does not exist; give a file of weights"),
    ],
)
def test_a_file_of_something_else_is_one_clear_line(tmp_path, name, content, message):
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        torch.save(content, tmp_path / name)
    with pytest.raises(ArtifactError, match=message) as caught:
        initial_weights(tmp_path, FineTuningConfig(**TRAINING, pretrained=name))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "url", "size"),  # MiB, as torchvision documents them
    [
        ("resnet18", torchvision.models.ResNet18_Weights.IMAGENET1K_V1.url, 44.661),
        ("mobilenet_v2", torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1.url, 13.555),
    ],
)
def test_pins_are_torchvisions_own(name, url, size):
    weights = WEIGHTS[name]
    assert weights.folder + weights.file.name == url
    assert round(weights.file.size / 2**20, 3) == size
    assert dataclasses.asdict(weights.file)["sha256"].startswith(re.search(r"-(\w{8})\.pth", url)[1])
