"""`stylex check-classifier`: what is declared wrongly is named, and what cannot be explained is one line."""

import re

import own_classifiers as own
import pytest
import torch
from torch import nn

from stylex.classifiers import formats
from stylex.classifiers.checks import check_classifier, failures
from stylex.cli import main
from stylex.config import ImportedClassifierConfig
from stylex.errors import ConfigError
from stylex.quantization import from_uint8

INPUTS = own.DECLARED["inputs"]


@pytest.fixture(scope="session")
def labelled(tmp_path_factory):
    """PNG files of three classes: images in [-1, 1], and labels."""
    paths = own.write_pngs(tmp_path_factory.mktemp("pngs"), 120)
    return from_uint8(own.read_bytes(paths)), torch.tensor([own.CLASSES.index(path.parent.name) for path in paths])


def check(folder, labelled, file, **declared):
    config = ImportedClassifierConfig.model_validate({"file": str(file), **declared})
    return check_classifier(config, folder, *labelled, own.CLASSES)


def found(checks):
    return {check.name: check.finding for check in checks}


@pytest.mark.parametrize("kind", ["TorchScript", "torch.export", "onnxruntime"])
def test_a_right_declaration_passes_every_check(tmp_path, labelled, kind):
    save = {"TorchScript": own.save_torchscript, "torch.export": own.save_exported, "onnxruntime": own.save_onnx}[kind]
    file = save(
        tmp_path / {"TorchScript": "o.pt", "torch.export": "o.pt2", "onnxruntime": "o.onnx"}[kind], own.trained()
    )
    checks = check(tmp_path, labelled, file, **own.DECLARED)
    assert failures(checks) == ""
    names = ["declaration", "outputs", "eval mode", "batch mates", "gradient", f"as in {kind}", "accuracy"]
    assert [check.name for check in checks] == names
    assert float(found(checks)["accuracy"].split()[0]) > 0.95


@pytest.mark.parametrize("kind", ["timm", "transformers"])
def test_preprocessing_is_compared_with_that_of_the_package(tmp_path, labelled, kind):
    """Networks for images twice as large, which their own transforms round to bytes."""
    if kind == "timm":
        own.save_timm(tmp_path / "vit", own.timm_vit(64), 64)
    else:
        own.save_transformers(tmp_path / "vit", 64)
    checks = check(tmp_path, (labelled[0], None), "vit")
    assert failures(checks) == "" and f"as in {kind}" in found(checks)
    said = {"timm": "config.json", "transformers": "preprocessor_config.json"}[kind]
    assert found(checks)["declaration"].startswith(f"{said}: size, ") and "mean, sd" in found(checks)["declaration"]
    levels = float(found(checks)["preprocessing"].split()[4])
    assert 0.1 < levels <= 1.5
    declared = {"inputs": {"range": "0..1", "mean": [0.5] * 3, "sd": [0.5] * 3}}  # then it is the user's to know
    assert "preprocessing" not in found(check(tmp_path, (labelled[0], None), "vit", **declared))


@pytest.mark.parametrize(
    ("declared", "suspicion"),
    [
        ({"inputs": {**INPUTS, "channel_order": "bgr"}}, r"classifier\.inputs\.channel_order is probably rgb"),
        ({"inputs": {**INPUTS, "range": "0..255"}}, r"classifier\.inputs\.range is probably 0\.\.1"),
        ({"inputs": {**INPUTS, "range": "-1..1"}}, r"classifier\.inputs\.range is probably 0\.\.1"),
        (
            {"inputs": {"range": "0..1"}},
            r"classifier\.inputs\.mean and sd are probably those of ImageNet \(\[0\.485, 0\.456, 0\.406\]",
        ),
        (
            {"inputs": {"range": "0..255"}},
            r"classifier\.inputs\.mean and sd are probably those of ImageNet .*, and range 0\.\.1",
        ),
        (
            {"classes": ["orchid", "ember", "flame"]},
            r"classifier\.classes are probably in the order \[ember, flame, orchid\]",
        ),
    ],
)
def test_what_is_probably_wrong_is_named(tmp_path, labelled, declared, suspicion):
    own.save_torchscript(tmp_path / "own.pt", own.trained())
    failed = failures(check(tmp_path, labelled, "own.pt", **{**own.DECLARED, **declared}))
    score = r"accuracy 0\.\d\d as declared, (1\.00|0\.9\d) with it"
    assert re.fullmatch(rf"accuracy: {suspicion}.*: {score}", failed), failed


def test_bgr_is_named_for_a_network_that_was_trained_on_it(tmp_path, labelled):
    class Reversed(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, images):
            return self.model(images.flip(1))

    own.save_torchscript(tmp_path / "own.pt", Reversed(own.trained()))
    inputs = {"range": "0..1", "mean": list(own.MEAN[::-1]), "sd": list(own.SD[::-1])}
    failed = failures(check(tmp_path, labelled, "own.pt", **{**own.DECLARED, "inputs": inputs}))
    assert "classifier.inputs.channel_order is probably bgr: accuracy 0." in failed


@pytest.mark.parametrize(
    ("last", "declared", "finding"),
    [
        (
            nn.Softmax(1),
            "logits",
            "of each image in [0, 1], with the sum 1: classifier.output is probably probabilities",
        ),
        (nn.Identity(), "probabilities", "classifier.output is probably logits"),
        (nn.Threshold(float("inf"), float("nan")), "logits", "NaN or infinite on real images"),
    ],
)
def test_outputs_that_are_not_what_is_declared(tmp_path, labelled, monkeypatch, last, declared, finding):
    file = own.define(monkeypatch, lambda: nn.Sequential(own.trained(), last))
    checks = check(tmp_path, labelled, file, **{**own.DECLARED, "output": declared})
    assert len(checks) == 2 and not checks[1].passed and finding in checks[1].finding


class Training(nn.Module):
    """A network that is saved as it was trained: it normalises by the batch, whatever mode it is set to."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.model, self.dropout = own.trained(), dropout

    def forward(self, images):
        images = images - images.mean((0, 2, 3), keepdim=True) if not self.dropout else images
        return nn.functional.dropout(self.model(images), self.dropout, training=True)


class Detached(nn.Module):
    def forward(self, images):
        return own.trained()(images.detach())


class Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.answer = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, images):
        return self.answer + 0 * images.mean((1, 2, 3))[:, None]


@pytest.mark.parametrize(
    ("build", "name", "finding"),
    [
        (lambda: Training(0.5), "eval mode", "dropout is on; save it after model.eval()"),
        (lambda: Training(0.0), "batch mates", "save the network after model.eval()"),
        (Detached, "gradient", "none reaches the image: the network detaches it"),
        (Constant, "gradient", "that of the logits is 0 everywhere"),
        (Constant, "accuracy", "it knows nothing of these images, whatever is declared"),
    ],
)
def test_networks_that_cannot_be_explained(tmp_path, labelled, monkeypatch, build, name, finding):
    file = own.define(monkeypatch, build)
    checks = check(tmp_path, labelled, file, **own.DECLARED)
    failed = {check.name: check.finding for check in checks if not check.passed}
    assert finding in failed[name]


@pytest.mark.parametrize(
    ("outputs", "classes", "message"),
    [
        (3, ["ember", "flame", "orchid", "rose"], r"names 4 classes \(ember, .*\), but the network has 3 outputs"),
        (1, ["ember", "flame", "orchid"], "the network has 1 output: name the two of one sigmoid output"),
    ],
)
def test_a_wrong_number_of_outputs_is_one_line(tmp_path, labelled, monkeypatch, outputs, classes, message):
    file = own.define(monkeypatch, lambda: own.network(outputs))
    with pytest.raises(ConfigError, match=message) as error:
        check(tmp_path, labelled, file, **{**own.DECLARED, "classes": classes})
    assert "\n" not in str(error.value)


def test_images_of_another_size_are_one_line(tmp_path, labelled):
    file = own.save_onnx(tmp_path / "own.onnx", own.timm_vit())
    inputs = {"range": "-1..1", "size": 24}
    with pytest.raises(ConfigError, match=r"does not take images \[3, 24, 24\] .*; declare size") as error:
        check(tmp_path, labelled, file, **{**own.DECLARED, "inputs": inputs})
    assert "\n" not in str(error.value)


def test_an_onnx_file_that_is_converted_wrongly_is_noticed(tmp_path, labelled, monkeypatch):
    file, right = own.save_onnx(tmp_path / "own.onnx", own.trained()), formats.lowered

    def altered(model):
        model = right(model)
        relu = next(node for node in model.graph.node if node.op_type == "Relu")
        relu.op_type = "LeakyRelu"
        return model

    monkeypatch.setattr(formats, "lowered", altered)
    assert "as in onnxruntime: logits differ by" in failures(check(tmp_path, labelled, file, **own.DECLARED))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return own.prepared_project(tmp_path_factory.mktemp("project"))


def run(root, classifier, monkeypatch, capsys):
    """Exit code, table and message of the command for an experiment with this classifier."""
    own.write_experiment(root, classifier)
    monkeypatch.chdir(root)
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(["check-classifier", "tiny", "--device", "cpu"]))
    captured = capsys.readouterr()
    return ended.value.code, captured.out.splitlines(), captured.err.splitlines()


def test_the_command_prints_a_table_and_fails_with_one_line(project, monkeypatch, capsys):
    own.save_torchscript(project / "own.pt", own.trained())
    code, table, errors = run(project, {"file": "own.pt", **own.DECLARED}, monkeypatch, capsys)
    assert code == 0 and errors == []
    assert len(table) == 7 and all(line.startswith("ok") for line in table) and "accuracy" in table[-1]
    wrong = {"file": "own.pt", **own.DECLARED, "inputs": {**INPUTS, "range": "0..255"}}
    code, table, errors = run(project, wrong, monkeypatch, capsys)
    assert code == 2 and table[-1].split()[:2] == ["FAILED", "accuracy"]
    (error,) = errors
    assert error.startswith("error: classifier of 'tiny': ") and "classifier.inputs.range is probably 0..1" in error


@pytest.mark.parametrize(
    ("classifier", "message"),
    [
        (
            {"architecture": "resnet18", "epochs": 1, "batch_size": 8, "learning_rate": 0.01},
            "trains its classifier itself",
        ),
        ({"file": "none.onnx", **own.DECLARED}, "none.onnx does not exist"),
        ({"file": "images", **own.DECLARED}, "config.json does not exist; a folder is one of transformers or timm"),
    ],
)
def test_the_command_says_in_one_line_what_cannot_be_checked(project, monkeypatch, capsys, classifier, message):
    code, table, errors = run(project, classifier, monkeypatch, capsys)
    assert code == 2 and table == [] and len(errors) == 1 and message in errors[0]
