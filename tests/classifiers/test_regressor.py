"""The regressor of known factors: R² by hand, targets joined by id, and a training that finds what is plain to see."""

import numpy
import pytest
import torch
import yaml

from stylex.artifacts import read_json, read_table
from stylex.classifiers import load_backbone, train_backbone
from stylex.classifiers.regressor import fit_factors, load_regressor, r_squared, standardised
from stylex.config import DatasetConfig, backbone_paths, load_experiment, load_regressor_config, regressor_paths
from stylex.datasets import download, leaves, load_split, prepare
from stylex.datasets.factors import Factors, read_factors
from stylex.errors import ArtifactError, ConfigError

TINY = {
    "dataset": "leaves", "resolution": 16, "architecture": "resnet18", "width": 0.125, "epochs": 6, "batch_size": 32,
    "learning_rate": 0.005,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A project with 1,000 leaves at 16x16 and a regressor trained on them in seconds."""
    root = tmp_path_factory.mktemp("leaves")
    folder = root / "config/regressors"
    folder.mkdir(parents=True)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaves, "COUNT", 1000)
        download(root, "leaves")
        prepare(root, "leaves", 16)
    fit_factors(root, "tiny")
    return root


def test_r_squared_by_hand():
    true = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 4.0]])  # squared deviations from the mean: 2, 6
    predicted = torch.tensor([[0.0, 2.0], [1.0, 2.0], [1.0, 2.0]])  # squared errors: 1, 6
    assert r_squared(predicted, true).tolist() == pytest.approx([0.5, 0.0])


def test_targets_are_joined_by_id_and_in_sd_from_the_mean():
    factors = Factors(["a", "b"], ("x", "y"), numpy.array([[1.0, 2.0], [3.0, 8.0]]))
    targets = standardised(factors, ["b", "a"], torch.tensor([2.0, 5.0]), torch.tensor([0.5, 3.0]))
    assert targets.tolist() == [[2.0, 1.0], [-2.0, -1.0]]


def test_a_small_network_recovers_factors_of_true_images(trained):
    metrics = read_json(regressor_paths(trained, "tiny").metrics)
    assert metrics["n"] == 250 and list(metrics["r2"]) == list(leaves.FACTORS)
    assert metrics["r2"]["background"] > 0.9 and metrics["r2"]["yellowing"] > 0.8
    assert metrics["sd"]["curl"] == pytest.approx(12**-0.5, rel=0.1)
    history = read_table(regressor_paths(trained, "tiny").history)
    assert list(history) == ["epoch", "train_loss", "val_loss", "images_per_second"] and len(history) == 6


def test_the_saved_network_tells_the_factors_that_its_metrics_state(trained):
    paths = regressor_paths(trained, "tiny")
    regressor, metrics = load_regressor(paths.model), read_json(paths.metrics)
    assert regressor.class_names == leaves.FACTORS
    split = load_split(trained, DatasetConfig(name="leaves", resolution=16, classes=None, one_vs_rest=None), "test")
    mean, sd = (torch.tensor(list(metrics[key].values())) for key in ("mean", "sd"))
    true = standardised(read_factors(trained, "leaves", 16), split.ids, mean, sd)
    with torch.inference_mode():
        measured = r_squared(regressor(split.images()), true)
    assert measured.tolist() == pytest.approx(list(metrics["r2"].values()), abs=1e-4)


def test_a_regressor_is_no_backbone(trained):
    with pytest.raises(ArtifactError, match="holds a regressor, a backbone is needed"):
        load_backbone(regressor_paths(trained, "tiny").model)


def test_a_backbone_can_learn_the_halves_of_all_factors(trained):
    folder = trained / "config/backbones"
    folder.mkdir()
    (folder / "halves.yaml").write_text(yaml.safe_dump(TINY | {"labels": "factors", "epochs": 1}))
    train_backbone(trained, "halves")
    metrics = read_json(backbone_paths(trained, "halves").metrics)
    assert len(metrics["class_names"]) == 64 and metrics["class_names"][5] == "000101"
    assert sum(map(sum, metrics["confusion_matrix"])) == metrics["n"] == 250
    assert load_backbone(backbone_paths(trained, "halves").model).class_names == tuple(metrics["class_names"])


def test_mistakes_in_the_configuration(root):
    (root / "config/regressors/smooth.yaml").write_text(yaml.safe_dump(TINY | {"label_smoothing": 0.1}))
    with pytest.raises(ConfigError, match=r"label_smoothing = 0\.1: a regressor has no labels to smooth"):
        load_regressor_config(root, "smooth")
    (root / "config/regressors/digits.yaml").write_text(yaml.safe_dump(TINY | {"dataset": "mnist"}))
    with pytest.raises(ConfigError, match="dataset 'mnist' has no known factors"):
        fit_factors(root, "digits")
    experiment = root / "config/experiments/leaves.yaml"
    text = experiment.read_text()
    (root / "config/regressors/tiny.yaml").write_text(yaml.safe_dump(TINY))
    experiment.write_text(text + "evaluation: {factor_regressor: tiny}\n")
    with pytest.raises(ConfigError, match="'tiny' is trained at 16, the experiment's images are of 32"):
        load_experiment(root, "leaves")
    experiment.write_text(text + "evaluation: {factor_regressor: leaves-23}\n")
    with pytest.raises(ConfigError, match="unknown regressor 'leaves-23'; did you mean 'leaves-32'"):
        load_experiment(root, "leaves")
