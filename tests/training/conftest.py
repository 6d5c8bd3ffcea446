import shutil
from dataclasses import replace
from functools import partial

import paper_training
import pytest
import torch
import yaml

from stylex.classifiers import fine_tune, load_backbone, load_classifier, train_backbone
from stylex.config import ExperimentPaths, StylexConfig, backbone_paths, load_experiment
from stylex.datasets import load_split
from stylex.training.distributed import Processes
from stylex.training.sampler import BatchSampler, FrozenNetworks
from stylex.training.state import initial_state, training_dtype
from stylex.training.step import Step

SIZES = {f"{name}_channels": [8, 8, 8, 4] for name in ("generator", "encoder", "discriminator")}
TINY = {
    "extends": "cpu-32",
    "title": "tiny",
    "domain": "MNIST 4 / 9",
    "dataset": {"name": "mnist", "classes": ["4", "9"]},
    "classifier": {"epochs": 1, "min_accuracy": 0.0},
    "stylex": {
        "conditioning": paper_training.CONDITIONING,
        "perceptual_backbone": "tiny",
        "networks": paper_training.NETWORKS | SIZES | {"latent_dim": 8, "mapping_layers": 2},
        "training": paper_training.TRAINING
        | {
            "images": 96,
            "batch_size": 8,
            "checkpoint_interval": 32,
            "sample_interval": 48,
            "precision": {"cpu": "float32"},
            "augment": ["translation", "cutout"],
        },
    },
}


@pytest.fixture(scope="session")
def trained_root(mnist_root, tmp_path_factory):
    """A project with real digits, a classifier and a backbone, each trained for one epoch: ready for StylEx."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(mnist_root, folder, dirs_exist_ok=True)
    write_experiment(folder, {})
    backbone = yaml.safe_load((folder / "config/backbones/mnist-32.yaml").read_text())
    (folder / "config/backbones/tiny.yaml").write_text(yaml.safe_dump(backbone | {"epochs": 1, "width": 0.125}))
    torch.manual_seed(0)
    fine_tune(folder, "tiny", "cpu")
    train_backbone(folder, "tiny", "cpu")
    return folder


@pytest.fixture
def tiny_root(trained_root, tmp_path):
    """A copy of `trained_root` that a test may change."""
    shutil.copytree(trained_root, tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def experiment():
    """Rewrite the tiny experiment of a project with some options changed."""
    return write_experiment


def write_experiment(folder, training, losses=None, networks=None, perceptual=None, **others):
    stylex = TINY["stylex"] | {
        "training": TINY["stylex"]["training"] | training,
        "losses": paper_training.LOSSES | (losses or {}),
        "networks": TINY["stylex"]["networks"] | (networks or {}),
    }
    stylex |= {"perceptual": perceptual} if perceptual else {}
    content = TINY | {"stylex": stylex} | others
    (folder / "config/experiments/tiny.yaml").write_text(yaml.safe_dump(content))


class Setting:
    """All that a step needs, of the first 40 digits; options of the tiny experiment may be changed."""

    def __init__(self, root, images=40, **options):
        experiment = load_experiment(root, "tiny")
        content = experiment.stylex.model_dump(mode="json")
        for name, value in options.items():
            content[name] = content[name] | value if isinstance(value, dict) else value
        self.config = StylexConfig.model_validate(content)
        split = load_split(root, experiment.dataset, "train")
        self.split = replace(split, labels=split.labels[:images], ids=split.ids[:images], rows=split.rows[:images])
        classifier = load_classifier(ExperimentPaths(root, "tiny").classifier.model)
        backbone = load_backbone(backbone_paths(root, "tiny").model)
        self.frozen = FrozenNetworks(classifier, backbone, training_dtype(self.config.training, "cpu"))
        self.state = initial_state(self.config, 32, 1, 2, 0, "cpu")
        self.sampler = self.new_sampler()

    def new_sampler(self, processes=Processes()):  # noqa: B008
        return BatchSampler(self.split, self.frozen, self.config, processes, "cpu")

    def step(self, reals=None, processes=Processes()):  # noqa: B008
        """The next step, on the next batch or the one given."""
        reals = self.sampler.next(self.state.random) if reals is None else reals
        return Step(self.state, self.config, self.frozen, reals, processes)


@pytest.fixture
def setting(trained_root):
    """A function that makes a `Setting`."""
    return partial(Setting, trained_root)
