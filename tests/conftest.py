"""Fixtures that several test folders share."""

import shutil
from pathlib import Path

import pytest

from stylex.datasets import download, prepare

REPOSITORY = Path(__file__).parents[1]
SLURM = "workflow/slurm"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that share a folder's fixtures in one of several processes (`--dist loadgroup`)."""
    groups = {}
    for item in items:
        parts = item.path.relative_to(REPOSITORY / "tests").parts
        groups[item] = SLURM if item.path.is_relative_to(REPOSITORY / "tests" / SLURM) else parts[0]
        item.add_marker(pytest.mark.xdist_group(groups[item]))
    items.sort(key=lambda item: (groups[item] != SLURM, groups[item] != "workflow"))  # the longest begin


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
