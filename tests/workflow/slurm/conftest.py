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
        result = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60)
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
