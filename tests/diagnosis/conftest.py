"""Trainings of some seconds: 8x8 pixels with a light or a dark middle, and four tiles of a grey of their own."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import paper_training
import pytest
import yaml
from PIL import Image

from stylex.classifiers import fine_tune, train_backbone
from stylex.config import ExperimentPaths
from stylex.datasets import download, prepare

REPOSITORY = Path(__file__).parents[2]
CLASSES = ("dark", "light")
COUNT, SIDE = 1280, 8
DATASET = {
    "title": "Tiles", "layout": "folders", "licence": "drawn by this test", "channels": 1,
    "shares": {"train": 0.6, "val": 0.2, "test": 0.2},
}  # fmt: skip
BACKBONE = {"extends": "backbone-32", "resolution": SIDE, "epochs": 1, "max_translation": 0}
EXPERIMENT = {
    "extends": "cpu-32",
    "title": "Tiles",
    "domain": "Tiles",
    "dataset": {"resolution": SIDE},
    "classifier": {"epochs": 3, "max_translation": 0, "min_accuracy": 0.0},
    "stylex": {
        "conditioning": paper_training.CONDITIONING,
        "networks": paper_training.NETWORKS | {
            "latent_dim": 16, "noise": False, "mapping_layers": 2,
            "generator_channels": [32, 32], "encoder_channels": [32, 32], "discriminator_channels": [32, 32],
        },
        "losses": paper_training.LOSSES | {"reconstruction_perceptual": 0.0, "reconstruction_x": 100.0},
        "training": paper_training.TRAINING | {
            "images": 2400, "batch_size": 16, "learning_rate": 0.01, "encoder_learning_rate": 0.01,
            "ema_half_life": 300, "checkpoint_interval": 100000, "sample_interval": 100000,
            "precision": {"cpu": "float32"},
        },
    },
}  # fmt: skip


def draw_tiles() -> tuple[numpy.ndarray, numpy.ndarray]:
    """Draw uint8 [COUNT, SIDE, SIDE] and whether each middle is light [COUNT]."""
    random = numpy.random.default_rng(0)
    light = numpy.arange(COUNT) % 2 == 1
    images = numpy.full((COUNT, SIDE, SIDE), 128.0)
    for rows in (slice(0, 3), slice(5, 8)):
        for columns in (slice(0, 3), slice(5, 8)):
            images[:, rows, columns] += random.uniform(-100, 100, (COUNT, 1, 1))
    images[:, 2:6, 2:6] = 128 + (random.uniform(50, 120, COUNT) * numpy.where(light, 1, -1))[:, None, None]
    return images.round().astype(numpy.uint8), light


def write_dataset(root: Path, name: str, images: numpy.ndarray, labels: numpy.ndarray) -> None:
    """Write images as a user has them, a folder a class; prepare them, and train what an experiment on them needs."""
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = root / name / CLASSES[int(label)] / f"{row:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    experiment = EXPERIMENT | {"dataset": {"name": name, "resolution": SIDE}}
    experiment["stylex"] = EXPERIMENT["stylex"] | {"perceptual_backbone": name}
    written = {
        "datasets": DATASET | {"folder": str(root / name)}, "backbones": BACKBONE | {"dataset": name},
        "experiments": experiment,
    }  # fmt: skip
    for kind, content in written.items():
        (root / "config" / kind / f"{name}.yaml").write_text(yaml.safe_dump(content))
    download(root, name)
    prepare(root, name, SIDE)
    train_backbone(root, name, "cpu")
    fine_tune(root, name, "cpu")


@pytest.fixture(scope="session")
def root_of_tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the experiments `tiles` and `by-lot`: the same images with labels that say nothing of them."""
    root = tmp_path_factory.mktemp("tiles")
    shutil.copytree(REPOSITORY / "config", root / "config")
    images, light = draw_tiles()
    write_dataset(root, "tiles", images, light)
    write_dataset(root, "by-lot", images, numpy.random.default_rng(1).permutation(light))
    return root


@pytest.fixture
def experiment(root_of_tiles: Path) -> Callable[..., ExperimentPaths]:
    """Write an experiment `name` that explains the classifier of `tiles`; changes: to its section `stylex`."""

    def write(name: str, **changes: Any) -> ExperimentPaths:
        content = {"extends": "tiles", "classifier_of": "tiles", "stylex": changes}
        (root_of_tiles / f"config/experiments/{name}.yaml").write_text(yaml.safe_dump(content))
        return ExperimentPaths(root_of_tiles, name)

    return write
