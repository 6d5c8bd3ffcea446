import shutil

import paper_training
import pytest
import torch
import yaml

from stylex.classifiers import fine_tune, train_backbone

TINY = {
    "extends": "cpu-32",
    "title": "tiny",
    "domain": "MNIST 4 / 9",
    "dataset": {"name": "mnist", "classes": ["4", "9"]},
    "classifier": {"epochs": 1, "min_accuracy": 0.0},
    "stylex": {
        "conditioning": paper_training.CONDITIONING,
        "perceptual_backbone": "tiny",
        "networks": paper_training.NETWORKS
        | {
            "latent_dim": 8,
            "mapping_layers": 2,
            "generator_channels": [8, 8, 8, 4],
            "encoder_channels": [8, 8, 8, 4],
            "discriminator_channels": [8, 8, 8, 4],
        },
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
def judged_root(mnist_root, tmp_path_factory):
    """A project with real digits, a classifier and a backbone, each trained for one epoch: ready for StylEx."""
    folder = tmp_path_factory.mktemp("judged")
    shutil.copytree(mnist_root, folder, dirs_exist_ok=True)
    write_experiment(folder, {})
    backbone = yaml.safe_load((folder / "config/backbones/mnist-32.yaml").read_text())
    (folder / "config/backbones/tiny.yaml").write_text(yaml.safe_dump(backbone | {"epochs": 1, "width": 0.125}))
    torch.manual_seed(0)
    fine_tune(folder, "tiny", "cpu")
    train_backbone(folder, "tiny", "cpu")
    return folder


@pytest.fixture
def tiny_root(judged_root, tmp_path):
    """A copy of `judged_root` that a test may change."""
    shutil.copytree(judged_root, tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture
def experiment():
    """Rewrite the tiny experiment of a project with some training and loss keys changed."""
    return write_experiment


def write_experiment(folder, training, losses=None):
    content = TINY | {
        "stylex": TINY["stylex"]
        | {"training": TINY["stylex"]["training"] | training, "losses": paper_training.LOSSES | (losses or {})}
    }
    (folder / "config/experiments/tiny.yaml").write_text(yaml.safe_dump(content))
