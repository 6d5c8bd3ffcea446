"""The oracle: whose weights it may not have, and what its answers are to the classes of an experiment."""

import pytest
import torch
import yaml

from stylex.artifacts import load_tensors, read_json, save_tensors
from stylex.classifiers import build_network, load_backbone, load_oracle, train_oracle
from stylex.classifiers.oracle import NEITHER, matched
from stylex.classifiers.wrapper import HEADER, NetworkDescription, save_network
from stylex.config import load_experiment, load_oracle_config, oracle_paths
from stylex.errors import ArtifactError, ConfigError
from stylex.project import load_checked_experiment

DIGITS = tuple("0123456789")
TINY = {"extends": "oracle-32", "dataset": "mnist", "width": 0.125, "epochs": 1, "max_images": 128}


def saved(path, role, seed):
    torch.manual_seed(seed)
    description = NetworkDescription(
        role=role, name="random", architecture="resnet18", width=0.125, channels=1, resolution=32, class_names=DIGITS
    )
    save_network(path, build_network("resnet18", 1, 10, 0.125), description, {})
    return path


def test_it_is_another_file_with_other_weights_than_the_networks_it_judges(tmp_path):
    backbone = saved(tmp_path / "backbone/model.safetensors", "backbone", seed=0)
    other = saved(tmp_path / "other/model.safetensors", "oracle", seed=1)
    assert load_oracle(other, [backbone]).class_names == DIGITS
    with pytest.raises(ArtifactError, match="holds a backbone, an oracle is needed"):
        load_oracle(backbone, [])
    tensors, header = load_tensors(backbone)
    disguised = tmp_path / "disguised.safetensors"
    save_tensors(disguised, tensors, header | {HEADER: header[HEADER].replace('"backbone"', '"oracle"')})
    assert load_oracle(disguised, [other]).class_names == DIGITS
    with pytest.raises(ArtifactError, match=r"disguised\.safetensors has the weights of .*backbone/model\.safetensors"):
        load_oracle(disguised, [other, backbone])


def test_answers_are_matched_by_name_and_others_are_neither():
    assert matched(DIGITS, ("5", "3"), None).tolist() == [NEITHER] * 3 + [1, NEITHER, 0] + [NEITHER] * 4
    assert matched(("b", "a"), ("a", "b"), None).tolist() == [1, 0]


def test_all_classes_but_one_are_rest():
    assert matched(DIGITS, ("rest", "3"), "3").tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    assert matched(("rest", "x", "y"), ("rest", "x"), None).tolist() == [0, 1, NEITHER]  # a class that is called so


def test_an_oracle_that_does_not_know_a_class_says_so():
    with pytest.raises(ArtifactError, match="the oracle does not know 'seven'"):
        matched(DIGITS, ("3", "seven"), None)
    with pytest.raises(ArtifactError, match="the oracle does not know 'seven'"):
        matched(DIGITS, ("rest", "seven"), "seven")


def test_trained_on_all_classes_with_a_seed_of_its_own(mnist_root, tmp_path):
    (tmp_path / "data").symlink_to(mnist_root / "data")
    (tmp_path / "config").mkdir()
    for kind in ("presets", "datasets"):
        (tmp_path / "config" / kind).symlink_to(mnist_root / "config" / kind)
    (tmp_path / "config/oracles").mkdir()
    (tmp_path / "config/oracles/tiny.yaml").write_text(yaml.safe_dump(TINY))
    train_oracle(tmp_path, "tiny")
    metrics = read_json(oracle_paths(tmp_path, "tiny").metrics)
    assert metrics["class_names"] == list(DIGITS) and metrics["n"] == 1250
    assert load_oracle(oracle_paths(tmp_path, "tiny").model, []).class_names == DIGITS
    with pytest.raises(ArtifactError, match="holds an oracle, a backbone is needed"):
        load_backbone(oracle_paths(tmp_path, "tiny").model)


@pytest.mark.parametrize("name", ["mnist-32", "fashion-mnist-32", "leaves-32", "mnist-full-32"])
def test_the_oracles_differ_from_classifiers_and_backbones_in_architecture_and_seed(root, name):
    oracle, experiment = load_oracle_config(root, name), load_experiment(root, "mnist")
    assert oracle.seed != experiment.seed and oracle.architecture != experiment.classifier.architecture


def test_mistakes_are_one_line(root):
    path = root / "config/experiments/mnist.yaml"
    text = path.read_text()
    path.write_text(text.replace("oracle: mnist-32", "oracle: mnist-23"))
    with pytest.raises(ConfigError, match=r"evaluation\.oracle: unknown oracle 'mnist-23'; did you mean 'mnist-32'"):
        load_experiment(root, "mnist")
    (root / "config/oracles/large.yaml").write_text(yaml.safe_dump(TINY | {"resolution": 64}))
    path.write_text(text.replace("oracle: mnist-32", "oracle: large"))
    with pytest.raises(ConfigError, match="'large' is trained at 64, the experiment's images are of 32"):
        load_experiment(root, "mnist")
    path.write_text(text.replace("oracle: mnist-32", "oracle: fashion-mnist-32"))
    with pytest.raises(ConfigError, match="'fashion_mnist', on which it is trained, has no class '3'"):
        load_checked_experiment(root, "mnist")
    (root / "config/oracles/colour.yaml").write_text(yaml.safe_dump(TINY | {"dataset": "leaves"}))
    path.write_text(text.replace("oracle: mnist-32", "oracle: colour"))
    with pytest.raises(ConfigError, match="trained on 'leaves' with 3 channels, the images have 1"):
        load_checked_experiment(root, "mnist")
