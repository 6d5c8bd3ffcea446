"""Fixtures that several test folders share."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from stylex.config.paths import released_folder
from stylex.datasets import download, prepare
from stylex.released.convert import EXPORT
from stylex.released.download import FILES
from tests.builders import serving

REPOSITORY = Path(__file__).parents[1]
# Of the reduced model that tests/released/savedmodels.py wrote.
TINY_CHANNELS = dict.fromkeys((f"{kind}_channels" for kind in ("generator", "encoder", "discriminator")), [8, 8, 6, 4])
TINY_RELEASED = {
    "extends": "released-age",
    "dataset": {"resolution": 32},
    "classifier": {"width": 1 / 16, "stem": "published"},
    "stylex": {"networks": {"latent_dim": 6, **TINY_CHANNELS}},
}
SLURM = "tests/workflow/slurm"
SHARED = {
    **dict.fromkeys(("test_sync.py", "test_dvc.py", "test_dvc_cache.py", "test_remotes.py"), "recorded"),
    **dict.fromkeys(("test_plan.py", "test_deployment.py"), "built"),
}
LONGEST = (
    SLURM,
    "recorded",
    "tests/workflow/test_end_to_end.py",
    "built",
    "tests/training",
    "tests/workflow/test_planning.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest begin, or one process waits for them at the end."""
    items.sort(key=lambda item: [group_of(item.nodeid) != longest for longest in LONGEST])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Tests that share fixtures run in one process: by marks (`xdist_group`), pytest 9.2 ignores it."""
    return ByGroup(config, log)


class ByGroup(LoadScopeScheduling):
    """Hands the tests of a group to one process."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """The folder below tests/ of a test; of tests/workflow a file, or some that share what takes a minute."""
    path = nodeid.split("::")[0]
    if path.startswith(f"{SLURM}/"):
        return SLURM
    if path.startswith("tests/workflow/"):
        return SHARED.get(path.removeprefix("tests/workflow/"), path)
    return "/".join(path.split("/")[:2])


@pytest.fixture(scope="session")
def preloaded() -> Iterator[Path]:
    """The folder of a `snakemake` and a `dvc` that start at once (preloaded.py)."""
    # not a folder of pytest: the address of a socket has no more than 107 characters
    with tempfile.TemporaryDirectory(prefix="preloaded") as folder:
        command = [sys.executable, str(REPOSITORY / "tests/preloaded.py"), folder]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None and server.stdout.readline() == "ready\n"
            yield Path(folder)
            assert server.stdin is not None
            server.stdin.close()  # ends it


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty project: a copy of config/ and nothing else."""
    shutil.copytree(REPOSITORY / "config", tmp_path / "config")
    return tmp_path


@pytest.fixture(scope="session")
def add_released() -> Callable[..., None]:
    """Return what gives a project a reduced released model: an experiment, and its files as if fetched.

    Sections that are given are the experiment's in place of those of the reduced model.
    """

    def add(root: Path, name: str = "tiny", **sections: Any) -> None:
        experiment = root / "config" / "experiments" / f"{name}.yaml"
        experiment.write_text(yaml.safe_dump(TINY_RELEASED | sections))
        released_folder(root).mkdir(parents=True, exist_ok=True)
        for file in (*FILES, EXPORT):
            shutil.copy(REPOSITORY / "tests/released/data" / file, released_folder(root) / file)

    return add


@pytest.fixture(scope="session")
def mnist_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the real 5,000 digits, downloaded once and prepared at 32x32: tests must not change it."""
    folder = tmp_path_factory.mktemp("mnist")
    shutil.copytree(REPOSITORY / "config", folder / "config")
    download(folder, "mnist")
    prepare(folder, "mnist", 32)
    return folder


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address, ending in a slash, at which its files are served from loopback."""
    folder = tmp_path / "server"
    folder.mkdir()
    with serving(folder) as address:
        yield folder, address
