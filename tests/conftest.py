"""Fixtures that several test folders share."""

import shutil
from pathlib import Path

import pytest

from stylex.datasets import download, prepare

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty project: a copy of config/ and nothing else."""
    shutil.copytree(REPOSITORY / "config", tmp_path / "config")
    return tmp_path


@pytest.fixture(scope="session")
def mnist_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the real 5,000 digits, downloaded once and prepared at 32x32: tests must not change it."""
    folder = tmp_path_factory.mktemp("mnist")
    shutil.copytree(REPOSITORY / "config", folder / "config")
    download(folder, "mnist")
    prepare(folder, "mnist", 32)
    return folder
