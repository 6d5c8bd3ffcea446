"""The stages that train networks, on real digits and drawn leaves: what they write, and mistakes."""

import numpy
import pytest
import torch
import yaml

from stylex.artifacts import read_json, read_table
from stylex.classifiers import fine_tune, load_backbone, load_classifier, load_oracle, train_backbone, train_oracle
from stylex.classifiers.frozen import load_regressor
from stylex.classifiers.metrics import accuracy, predict, r_squared
from stylex.classifiers.stages import standardised, train_regressor
from stylex.config import (
    DatasetConfig,
    ExperimentPaths,
    backbone_paths,
    load_experiment,
    load_oracle_config,
    load_regressor_config,
    oracle_paths,
    regressor_paths,
)
from stylex.datasets import download, leaves, load_split, prepare
from stylex.datasets.factors import Factors, read_factors
from stylex.errors import AccuracyError, ArtifactError, ConfigError
from stylex.project import load_checked_experiment

TINY = {"epochs": 4, "batch_size": 32, "max_images": 320, "width": 0.125, "learning_rate": 0.01, "max_translation": 1}
ORACLE = {"extends": "oracle-32", "dataset": "mnist", "width": 0.125, "epochs": 1, "max_images": 128}
LEAVES = {
    "dataset": "leaves", "resolution": 16, "architecture": "resnet18", "width": 0.125, "epochs": 6, "batch_size": 32,
    "learning_rate": 0.005,
}  # fmt: skip


def write(root, path, content):
    (root / "config" / path).write_text(yaml.safe_dump(content), encoding="utf-8")


def test_a_classifier_of_real_digits(project, tiny):
    tiny(**TINY, min_accuracy=0.9)
    fine_tune(project, "tiny")
    paths = ExperimentPaths(project, "tiny").classifier
    metrics = read_json(paths.metrics)
    assert metrics["accuracy"] > 0.9 and metrics["class_names"] == ["0", "1"]
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


def test_a_classifier_below_min_accuracy_stops_the_experiment(project, tiny):
    hardly = TINY | {"epochs": 1, "max_images": 32, "learning_rate": 1e-6}
    tiny(**hardly, min_accuracy=1.0)
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
    tiny(**hardly, min_accuracy=0)
    fine_tune(project, "tiny")
    assert sorted(path.name for path in folder.iterdir()) == [*kept, "model.safetensors"]


def test_backbone_and_oracle_are_of_all_digits(project):
    write(project, "backbones/tiny.yaml", {"dataset": "mnist", "resolution": 32, **TINY, "epochs": 1})
    write(project, "oracles/tiny.yaml", ORACLE)
    train_backbone(project, "tiny")
    train_oracle(project, "tiny")
    for paths in (backbone_paths(project, "tiny"), oracle_paths(project, "tiny")):
        metrics = read_json(paths.metrics)
        assert metrics["n"] == 1250 and metrics["class_names"] == list("0123456789")
    backbone = load_backbone(backbone_paths(project, "tiny").model)
    assert backbone.name == "resnet18-tiny"
    assert backbone.embedding(torch.zeros(1, 1, 32, 32)).shape == (1, 64)
    assert load_oracle(oracle_paths(project, "tiny").model, []).class_names == tuple("0123456789")


def test_an_experiment_that_explains_the_classifier_of_another_trains_none(root):
    with pytest.raises(ConfigError, match="explains the classifier of 'mnist'.*run `stylex classifier mnist`"):
        fine_tune(root, "mnist-without-cst")
    assert not (root / "results").exists()


@pytest.mark.parametrize("name", ["mnist-32", "fashion-mnist-32", "leaves-32", "mnist-full-32"])
def test_the_oracles_differ_from_classifiers_in_architecture_and_seed(root, name):
    oracle, experiment = load_oracle_config(root, name), load_experiment(root, "mnist")
    assert oracle.seed != experiment.seed and oracle.architecture != experiment.classifier.architecture


@pytest.mark.parametrize(
    ("oracle", "content", "message"),
    [
        ("mnist-23", None, r"evaluation\.oracle: unknown oracle 'mnist-23'; did you mean 'mnist-32'"),
        ("large", ORACLE | {"resolution": 64}, "'large' is trained at 64, the experiment's images are of 32"),
        ("fashion-mnist-32", None, "'fashion_mnist', on which it is trained, has no class '3'"),
        ("colour", ORACLE | {"dataset": "leaves"}, "trained on 'leaves' with 3 channels, the images have 1"),
    ],
)
def test_an_oracle_that_does_not_fit_is_one_line(root, oracle, content, message):
    path = root / "config/experiments/mnist.yaml"
    path.write_text(path.read_text().replace("oracle: mnist-32", f"oracle: {oracle}"))
    if content is not None:
        write(root, f"oracles/{oracle}.yaml", content)
    with pytest.raises(ConfigError, match=message):
        load_checked_experiment(root, "mnist")


@pytest.fixture(scope="module")
def with_leaves(tmp_path_factory):
    """A project with 1,000 leaves at 16x16 and a regressor trained on them in seconds."""
    root = tmp_path_factory.mktemp("leaves")
    for kind in ("regressors", "backbones"):
        (root / "config" / kind).mkdir(parents=True)
    write(root, "regressors/tiny.yaml", LEAVES)
    write(root, "backbones/halves.yaml", LEAVES | {"labels": "factors", "epochs": 1})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaves, "COUNT", 1000)
        download(root, "leaves")
        prepare(root, "leaves", 16)
    train_regressor(root, "tiny")
    return root


def test_targets_are_joined_by_id_and_in_sd_from_the_mean():
    factors = Factors(["a", "b"], ("x", "y"), numpy.array([[1.0, 2.0], [3.0, 8.0]]))
    targets = standardised(factors, ["b", "a"], torch.tensor([2.0, 5.0]), torch.tensor([0.5, 3.0]))
    assert targets.tolist() == [[2.0, 1.0], [-2.0, -1.0]]


def test_a_small_regressor_recovers_factors_as_its_metrics_state(with_leaves):
    paths = regressor_paths(with_leaves, "tiny")
    metrics, regressor, history = read_json(paths.metrics), load_regressor(paths.model), read_table(paths.history)
    assert metrics["n"] == 250 and list(metrics["r2"]) == list(leaves.FACTORS)
    assert metrics["r2"]["background"] > 0.9 and metrics["r2"]["yellowing"] > 0.8
    assert metrics["sd"]["curl"] == pytest.approx(12**-0.5, rel=0.1)
    assert list(history) == ["epoch", "train_loss", "val_loss", "images_per_second"] and len(history) == 6
    assert regressor.class_names == leaves.FACTORS
    test = load_split(with_leaves, DatasetConfig(name="leaves", resolution=16, classes=None, one_vs_rest=None), "test")
    mean, sd = (torch.tensor(list(metrics[key].values())) for key in ("mean", "sd"))
    true = standardised(read_factors(with_leaves, "leaves", 16), test.ids, mean, sd)
    with torch.inference_mode():
        measured = r_squared(regressor(test.images()), true)
    assert measured.tolist() == pytest.approx(list(metrics["r2"].values()), abs=1e-4)
    with pytest.raises(ArtifactError, match="holds a regressor, a backbone is needed"):
        load_backbone(paths.model)


def test_a_backbone_can_learn_the_halves_of_all_factors(with_leaves):
    train_backbone(with_leaves, "halves")
    metrics = read_json(backbone_paths(with_leaves, "halves").metrics)
    assert len(metrics["class_names"]) == 64 and metrics["class_names"][5] == "000101"
    assert sum(map(sum, metrics["confusion_matrix"])) == metrics["n"] == 250
    assert load_backbone(backbone_paths(with_leaves, "halves").model).class_names == tuple(metrics["class_names"])


@pytest.mark.parametrize(
    ("changes", "load", "message"),
    [
        ({"label_smoothing": 0.1}, load_regressor_config, r"smoothing = 0\.1: a regressor has no labels to smooth"),
        ({"dataset": "mnist"}, train_regressor, "dataset 'mnist' has no known factors"),
        ({"dataset": "emoji"}, train_regressor, "dataset 'emoji' is not drawn; choose one that is"),
    ],
)
def test_a_regressor_that_cannot_be_trained_is_one_line(root, changes, load, message):
    write(root, "regressors/tiny.yaml", LEAVES | changes)
    with pytest.raises(ConfigError, match=message):
        load(root, "tiny")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiny", "'tiny' is trained at 16, the experiment's images are of 32"),
        ("leaves-23", "unknown regressor 'leaves-23'; did you mean 'leaves-32'"),
    ],
)
def test_a_regressor_that_does_not_fit_is_one_line(root, name, message):
    write(root, "regressors/tiny.yaml", LEAVES)
    experiment = root / "config/experiments/leaves.yaml"
    experiment.write_text(experiment.read_text() + f"evaluation: {{factor_regressor: {name}}}\n")
    with pytest.raises(ConfigError, match=message):
        load_experiment(root, "leaves")
