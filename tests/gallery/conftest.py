"""A project whose networks are those of the committed exports and whose images are real digits; nothing is trained."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from stylex.attfind.records import write_attributes
from stylex.config import ExperimentPaths, GalleryPaths, backbone_paths, load_experiment, oracle_paths
from stylex.evaluation.maps import maps
from stylex.evaluation.sufficiency import sufficiency
from stylex.export import read_export
from stylex.gallery.frames import frames
from stylex.gallery.page import gallery
from stylex.latents.encode import encode
from stylex.networks.model import build_networks, save_stylex
from tests.builders import save_random_network

REPOSITORY = Path(__file__).parents[2]
SUITE = "pair"
TITLE = 'Digits & <b>"others"</b>'
EXPERIMENTS = ("mnist", "mnist-again")
DIGITS = tuple("0123456789")


@pytest.fixture(scope="session")
def project(mnist_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite of two experiments, analysed and with a gallery. Tests must not change it."""
    root = tmp_path_factory.mktemp("gallery")
    shutil.copytree(REPOSITORY / "config", root / "config")
    shutil.copytree(mnist_root / "data", root / "data")
    write_config(root, "suites", SUITE, {"title": TITLE, "experiments": [*EXPERIMENTS], "tables": ["sufficiency"]})
    write_config(root, "experiments", EXPERIMENTS[1], {"extends": "mnist", "title": "Again, without a judge", "seed": 1,
                                                       "evaluation": {"oracle": None}})  # fmt: skip
    save_random_network(backbone_paths(root, "mnist-32").model, "backbone", DIGITS, seed=1)
    save_random_network(oracle_paths(root, "mnist-32").model, "oracle", DIGITS, seed=2)
    for name in EXPERIMENTS:
        write_experiment(root, name)
        frames(root, SUITE, name, "cpu")
    gallery(root, SUITE)
    return root


@pytest.fixture
def own(project: Path, tmp_path: Path) -> Path:
    """A copy of the project, for tests that change it."""
    shutil.copytree(project, tmp_path / "own")
    return tmp_path / "own"


def write_config(root: Path, kind: str, name: str, content: dict) -> None:
    (root / "config" / kind / f"{name}.yaml").write_text(yaml.safe_dump(content))


def write_experiment(root: Path, name: str) -> None:
    paths, config = ExperimentPaths(root, name), load_experiment(root, name)
    source = read_export(REPOSITORY / "models/mnist", "cpu")
    networks = build_networks(config.stylex, 32, 1, 2, config.seed)  # an export has no discriminator
    networks.load_state_dict(source.networks.state_dict(), strict=False)
    save_stylex(paths.stylex_model, networks, {"seed": str(config.seed)})
    paths.classifier.folder.mkdir(parents=True)
    shutil.copy(REPOSITORY / "models/mnist/classifier.safetensors", paths.classifier.model)
    encode(root, name, "cpu")
    write_attributes(paths.attributes, source.attributes(), {})
    sufficiency(root, name, "cpu")
    maps(root, name, "cpu")


def content_of(root: Path, name: str) -> dict:
    """Return what the file of an experiment's frames hands to the page."""
    text = GalleryPaths(root, SUITE).frames(name).read_text()
    return json.loads(text.removeprefix("gallery.add(").removesuffix(");\n"))


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
