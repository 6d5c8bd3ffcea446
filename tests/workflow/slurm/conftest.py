"""The private Slurm cluster of a test session."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

NEEDED = ("slurmctld", "slurmd", "munged", "setpriv")


@dataclass(frozen=True)
class Slurm:
    """A running cluster, and the environment in which Slurm's commands reach it."""

    folder: Path
    environment: dict[str, str]

    def __call__(self, *command: str) -> str:
        """Run a command of Slurm and return what it says."""
        result = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def jobs(self) -> list[dict[str, str]]:
        """All jobs that the controller knows, also those that have ended, as `scontrol show job` describes them."""
        lines = self("scontrol", "--oneliner", "show", "job").splitlines()
        return [dict(pair.split("=", 1) for pair in line.split() if "=" in pair) for line in lines]

    @staticmethod
    def wait_until(what: Callable[[], bool], seconds: float) -> None:
        """Wait for something that Slurm or a job will do; fail when it has not been done in time."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, f"waited {seconds} seconds in vain"
            time.sleep(0.2)


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A private cluster; it stops when this process ends, however it ends (cluster.py)."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if os.geteuid() or missing:
        pytest.skip(f"a private Slurm needs root and slurm-wlm, munge (missing: {', '.join(missing) or 'root'})")
    folder = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))
    folder.chmod(0o755)  # munge refuses a socket that not everyone can reach
    outside = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    keeper = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "cluster.py"), str(folder)],
        env=outside,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with keeper:
        assert keeper.stdout is not None and keeper.stdout.readline() == "ready\n", "Slurm did not start: see stderr"
        yield Slurm(folder, outside | {"PATH": f"{folder / 'bin'}{os.pathsep}{outside['PATH']}"})


# Between two looks at its jobs Snakemake waits 10 seconds longer each time. Here it looks every second.
POLLING = """
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
RemoteExecutor.next_seconds_between_status_checks = property(lambda self: 1, lambda self, seconds: None)
"""


@pytest.fixture(scope="session")
def connect(slurm: Slurm) -> Callable[[Any], Any]:
    """Lets the Snakemake of a copied project use the private cluster."""

    def connected(project: Any) -> Any:
        project.environment = slurm.environment | {"PATH": f"{Path(sys.executable).parent}:{slurm.environment['PATH']}"}
        with (project.root / "Snakefile").open("a") as file:
            file.write(POLLING)
        return project

    return connected


# What the verbs of the stand-in do before they write their files: `once` is true in the first attempt only.
TRAPS = """
import os, subprocess, sys, time
from pathlib import Path
def once():
    marker = Path("-".join(["tried", *sys.argv[1:3]]))
    return not marker.exists() and (marker.touch() or True)
def fill(megabytes):
    block = bytearray(b"x") * (megabytes << 20)
    time.sleep(60)
match sys.argv[1:3]:
    case ["classifier", "mnist"] if once():
        subprocess.run(["scancel", os.environ["SLURM_JOB_ID"]])
        time.sleep(1000)
    case ["prepare", "fashion_mnist"] if once():
        time.sleep(1000)
    case ["backbone", "mnist-32"]:
        fill(900) if once() else None
    case ["sufficiency", "mnist"]:
        fill(4000)
"""
# Memory: the second attempt of the backbone gets twice as much; a group shares the most that a node allows, always.
SITE = {
    "account": "lab",
    "partition": "spare",
    "gpu_partition": "main",
    "gpu_type": "fake",
    "sbatch": ["--nice=7"],
    "max_memory_mb": 4800,
    "stages": {"backbone": {"memory_mb": 1000}, "prepare": {"minutes": 1}},
}
GOALS = (
    "results/experiments/mnist/classifier/model.safetensors",
    "results/backbones/mnist-32/model.safetensors",
    "data/processed/fashion_mnist/32/manifest.json",
    "results/experiments/mnist/sufficiency.csv",
)


@pytest.fixture(scope="session")
def failing(standing_in: Any, connect: Callable[[Any], Any]) -> Iterator[Any]:
    """A project and the Snakemake that runs there, whose jobs fail; it takes more than the minute of a time limit."""
    project = connect(standing_in)
    project.write_config("site", SITE)
    main = project.root / "stylex/__main__.py"
    main.write_text(main.read_text().replace("import json\n", f"{TRAPS}import json\n", 1))
    with project.start("snakemake", "--cores", "8", "--profile", "slurm", "--retries", "2", *GOALS) as run:
        yield project, run
        run.terminate()
