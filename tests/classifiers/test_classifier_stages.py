import pytest
import torch
import yaml

from stylex.artifacts import read_json, read_table
from stylex.classifiers import fine_tune, load_backbone, load_classifier, train_backbone
from stylex.classifiers.accuracy import accuracy, predict
from stylex.config import DatasetConfig, ExperimentPaths, backbone_paths
from stylex.datasets import load_split
from stylex.errors import AccuracyError, ConfigError

TINY = {"epochs": 4, "batch_size": 32, "max_images": 320, "width": 0.125, "learning_rate": 0.01, "max_translation": 1}


@pytest.fixture
def project(root, mnist_root):
    """An experiment on the real digits 0 and 1, and a backbone, both in seconds."""
    (root / "data").symlink_to(mnist_root / "data")
    write(root / "config" / "experiments" / "tiny.yaml", experiment())
    write(root / "config" / "backbones" / "tiny.yaml", {"dataset": "mnist", "resolution": 32, **TINY, "epochs": 1})
    return root


def experiment(min_accuracy: float = 0.9) -> dict:
    return {
        "extends": "cpu-32", "title": "Tiny", "domain": "MNIST 0 / 1",
        "dataset": {"name": "mnist", "classes": [0, 1]},
        "classifier": {**TINY, "min_accuracy": min_accuracy},
        "stylex": {"perceptual_backbone": "mnist-32"},
    }  # fmt: skip


def write(path, content):
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def test_a_classifier_of_real_digits(project):
    fine_tune(project, "tiny")
    paths = ExperimentPaths(project, "tiny").classifier
    metrics = read_json(paths.metrics)
    assert metrics["accuracy"] > 0.9
    assert metrics["class_names"] == ["0", "1"]
    assert sum(map(sum, metrics["confusion_matrix"])) == metrics["n"] == 250
    diagonal = sum(metrics["confusion_matrix"][label][label] for label in range(2))
    assert diagonal / metrics["n"] == pytest.approx(metrics["accuracy"])
    assert set(metrics["calibration"]) == {"bins", "ece", "temperature", "ece_scaled"}
    assert 0 <= metrics["calibration"]["ece"] < 0.2
    assert metrics["provenance"]["seed"] == "0"
    assert len(read_table(paths.history)) == TINY["epochs"]

    test = load_split(project, DatasetConfig(name="mnist", resolution=32, classes=["0", "1"], one_vs_rest=None), "test")
    classifier = load_classifier(paths.model)
    assert (classifier.name, classifier.class_names, classifier.channels) == ("tiny", ("0", "1"), 1)
    assert accuracy(predict(classifier, test, "cpu"), test.labels) == pytest.approx(metrics["accuracy"])


def test_a_classifier_below_min_accuracy_stops_the_experiment(project):
    content = experiment(min_accuracy=1.0)
    content["classifier"] |= {"epochs": 1, "max_images": 32, "learning_rate": 1e-6}
    write(project / "config" / "experiments" / "tiny.yaml", content)
    message = r"^classifier of 'tiny': balanced accuracy 0\.\d{4} on \d+ validation images is below classifier.*$"
    with pytest.raises(AccuracyError, match=message) as error:
        fine_tune(project, "tiny")
    assert "\n" not in str(error.value) and error.value.exit_code == 2
    assert "raise classifier.epochs or classifier.width, start from published weights" in str(error.value)
    folder = ExperimentPaths(project, "tiny").classifier.folder
    assert [path.name for path in folder.iterdir()] == ["rejected"] and str(folder / "rejected") in str(error.value)
    kept = ["history.csv", "history.provenance.json", "metrics.json"]
    assert sorted(path.name for path in (folder / "rejected").iterdir()) == kept
    assert read_json(folder / "rejected/metrics.json")["val_accuracy"] < 1

    write(
        project / "config" / "experiments" / "tiny.yaml",
        content | {"classifier": content["classifier"] | {"min_accuracy": 0}},
    )
    fine_tune(project, "tiny")
    assert sorted(path.name for path in folder.iterdir()) == [*kept, "model.safetensors"]


def test_a_backbone_of_all_digits(project):
    train_backbone(project, "tiny")
    paths = backbone_paths(project, "tiny")
    metrics = read_json(paths.metrics)
    assert metrics["n"] == 1250 and len(metrics["class_names"]) == 10
    backbone = load_backbone(paths.model)
    assert backbone.name == "resnet18-tiny"
    assert backbone.embedding(torch.zeros(1, 1, 32, 32)).shape == (1, 64)


def test_an_experiment_that_explains_the_classifier_of_another_trains_none(root):
    with pytest.raises(ConfigError, match="explains the classifier of 'mnist'.*run `stylex classifier mnist`"):
        fine_tune(root, "mnist-without-cst")
    assert not (root / "results").exists()
