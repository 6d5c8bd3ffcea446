"""A project whose small random networks explain real digits, and an export of it."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

import stylex
from stylex.artifacts import write_json
from stylex.attfind.effects import compute_effects
from stylex.attfind.selection import select
from stylex.config import ExperimentPaths, backbone_paths, load_experiment
from stylex.datasets import load_split
from stylex.diagnosis import write_diagnosis
from stylex.evaluation.sufficiency import sufficiency
from stylex.export import export
from stylex.latents.encode import encode
from stylex.latents.table import read_latents
from tests.builders import balance, narrow, save_random_network

NAME = "mnist"
METRICS = {"accuracy": 0.75, "balanced_accuracy": 0.7, "n": 100}


@pytest.fixture(scope="session")
def project(mnist_root, tmp_path_factory) -> Path:
    """24 digits analysed by random networks whose decisions are split in two, as after `sufficiency`; not changed."""
    root = tmp_path_factory.mktemp("explain") / "project"
    shutil.copytree(mnist_root, root)
    attfind = {"images": 24, "shift": 2.0, "precision": "float32", "batch_size": 64}
    narrow(root, NAME, attfind=attfind, evaluation={"explained_images": 6, "explanation_steps": 4})
    paths, config = ExperimentPaths(root, NAME), load_experiment(root, NAME)
    save_random_network(paths.classifier.model, "classifier", "35")
    save_random_network(backbone_paths(root, "mnist-32").model, "backbone", "0123456789")
    encode(root, NAME, "cpu")
    balance(paths)
    encode(root, NAME, "cpu")
    for protocol in config.attfind.protocols:
        compute_effects(root, NAME, "cpu", protocol=protocol)
        select(root, NAME, protocol)
    write_diagnosis(root, NAME, "cpu")
    sufficiency(root, NAME, "cpu")
    write_json(paths.classifier.metrics, METRICS)
    return root


@pytest.fixture
def latents(project):
    return read_latents(ExperimentPaths(project, NAME).latents)


@pytest.fixture
def digit(project, latents, tmp_path) -> Path:
    """The file of the first analysed image."""
    return save_prepared(project, latents.ids[0], tmp_path / "digit.png")


def save_prepared(root, identity, path):
    split = load_split(root, load_experiment(root, NAME).dataset, "test")
    row = torch.tensor([split.ids.index(identity)])
    Image.fromarray(split.raw(row)[0, 0].numpy()).save(path)
    return path


@pytest.fixture
def prepared(project, tmp_path):
    """Return what writes the file of an analysed image."""
    return lambda identity, name: save_prepared(project, identity, tmp_path / name)


@pytest.fixture(scope="session")
def folder(project, tmp_path_factory) -> Path:
    """An export that lies where there is no project; not changed."""
    return export(project, NAME, tmp_path_factory.mktemp("elsewhere") / "digits")


@pytest.fixture(scope="session")
def explainer(folder) -> stylex.Explainer:
    return stylex.load(folder)
