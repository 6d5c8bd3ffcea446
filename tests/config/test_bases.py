"""What an experiment extends, and whose classifier it explains."""

from pathlib import Path

import pytest

from stylex.config import ExperimentPaths, experiment_paths, load_backbone_config, load_experiment
from stylex.errors import ConfigError

TWIN = (
    "extends: mnist\nclassifier_of: mnist\n"
    "stylex: {conditioning: none, conditional_discriminator: false, losses: {classifier: 0}}\n"
)


def write(root: Path, name: str, text: str, kind: str = "experiments") -> Path:
    path = root / "config" / kind / f"{name}.yaml"
    path.write_text(text)
    return path


def refusal(root: Path, name: str, text: str) -> str:
    """Write an experiment and return the one line that refuses it."""
    path = write(root, name, text)
    with pytest.raises(ConfigError) as caught:
        load_experiment(root, name)
    line = str(caught.value)
    assert line.startswith(str(path)) and "\n" not in line
    return line


def test_an_experiment_extends_another_and_overrides_it_key_by_key(root):
    write(root, "own", "extends: mnist\nseed: 3\nstylex: {training: {images: 64000}}\n")
    own, mnist = load_experiment(root, "own").model_dump(), load_experiment(root, "mnist").model_dump()
    assert (own.pop("seed"), mnist.pop("seed")) == (3, 0)
    assert (own["stylex"]["training"].pop("images"), mnist["stylex"]["training"].pop("images")) == (64000, 24000)
    assert own == mnist


def test_an_unknown_base(root):
    assert "unknown preset or experiment 'mnst'; did you mean 'mnist'?" in refusal(root, "own", "extends: mnst\n")


def test_a_name_that_is_a_preset_and_an_experiment(root):
    write(root, "mnist", "seed: 1\n", "presets")
    line = refusal(root, "own", "extends: mnist\n")
    assert "'mnist' is both" in line and "config/presets/mnist.yaml" in line and "rename one of them" in line


def test_experiments_in_a_circle(root):
    write(root, "first", "extends: second\n")
    write(root, "second", "extends: first\n")
    with pytest.raises(ConfigError, match="first -> second -> first is a circle; remove one 'extends'"):
        load_experiment(root, "first")
    assert "own -> own is a circle" in refusal(root, "own", "extends: own\n")


def test_presets_and_backbones_extend_presets_only(root):
    write(root, "own", "extends: mnist\n", "presets")
    write(root, "other", "extends: own\n")
    with pytest.raises(ConfigError, match="unknown preset 'mnist'"):
        load_experiment(root, "other")
    write(root, "other", "extends: mnist\n", "backbones")
    with pytest.raises(ConfigError, match="unknown preset 'mnist'"):
        load_backbone_config(root, "other")


def test_paths_of_the_explained_classifier(root):
    write(root, "own", TWIN)
    own, mnist = experiment_paths(root, "own"), ExperimentPaths(root, "mnist")
    assert own.classifier == mnist.classifier and own.stylex_model != mnist.stylex_model
    assert own.folder.name == "own" and experiment_paths(root, "mnist") == mnist


def test_a_classifier_may_be_explained_by_other_images_with_its_classes(root):
    write(root, "mnist-full", "extends: backbone-32\ndataset: mnist-full\nepochs: 1\n", "backbones")
    assert "'mnist-32' is trained on mnist at 32" in refusal(root, "own", TWIN + "dataset: {name: mnist-full}\n")
    other = TWIN.replace("stylex: {", "stylex: {perceptual_backbone: mnist-full, ") + "dataset: {name: mnist-full}\n"
    write(root, "own", other)
    own, mnist = load_experiment(root, "own").dataset, load_experiment(root, "mnist").dataset
    assert (own.name, own.classes) == ("mnist-full", mnist.classes)
    assert experiment_paths(root, "own").classifier == ExperimentPaths(root, "mnist").classifier


def test_the_method_follows_from_the_training(root):
    write(root, "own", TWIN)
    assert [load_experiment(root, name).method for name in ("mnist", "own")] == ["stylex", "without_cst"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("extends: mnist\nclassifier_of: own\n", "'own' is this experiment; leave classifier_of out"),
        ("extends: mnist\nclassifier_of: mnst\n", "unknown experiment 'mnst'; did you mean 'mnist'?"),
        (TWIN + "dataset: {classes: ['3', '8']}\n", "the section 'dataset' differs in more than its name from that"),
        (TWIN + "classifier: {epochs: 1}\n", "the section 'classifier' differs from that of 'mnist'"),
        ("extends: mnist\nclassifier_of: mnist-without-cst\n", "no classifier of its own; name 'mnist'"),
    ],
)
def test_a_classifier_that_cannot_be_explained(root, text, named):
    assert named in refusal(root, "own", text)
