"""A training is one at a time in its folder, as when Snakemake was killed and what it had started was not."""

import platform
import subprocess
import sys
import time

import pytest

from stylex.config import ExperimentPaths
from stylex.errors import ArtifactError
from stylex.locks import exclusive
from stylex.training import train

COMMAND = [sys.executable, "-m", "stylex", "train", "tiny", "--device", "cpu"]
PATIENCE = 240  # seconds, for a machine that is busy


@pytest.fixture
def orphan(tiny_root, experiment):
    """A training that has begun and will not end by itself."""
    experiment(tiny_root, {"images": 10**9})
    folder, end = ExperimentPaths(tiny_root, "tiny").checkpoints, time.monotonic() + PATIENCE
    with subprocess.Popen(COMMAND, cwd=tiny_root, stderr=subprocess.DEVNULL) as process:
        while not list(folder.glob("*.pt")) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        yield process
        process.kill()


def test_a_second_training_is_refused_in_one_line_and_a_killed_one_bars_nobody(tiny_root, experiment, orphan):
    second = subprocess.run(COMMAND, cwd=tiny_root, capture_output=True, text=True, timeout=PATIENCE)
    assert second.returncode == 2
    assert second.stderr == (
        f"error: 'tiny' is being trained by process {orphan.pid} on {platform.node()} already: wait for its end, or end"
        f" it there (`kill {orphan.pid}`)\n"
    )
    assert orphan.poll() is None
    orphan.kill()
    orphan.wait()
    experiment(tiny_root, {"images": 16, "checkpoint_interval": 16})
    assert train(tiny_root, "tiny")
    assert not (ExperimentPaths(tiny_root, "tiny").checkpoints / "lock").exists()


def test_several_processes_that_share_a_training_are_refused_together(tiny_root):
    with exclusive(ExperimentPaths(tiny_root, "tiny").checkpoints / "lock", "'tiny' is being trained"):
        command = [*COMMAND, "--processes", "2"]
        result = subprocess.run(command, cwd=tiny_root, capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 2
    assert result.stderr.count("error: 'tiny' is being trained by process ") == 1 and "Traceback" not in result.stderr


def test_a_training_that_cannot_begin_leaves_no_folder(tiny_root):
    paths = ExperimentPaths(tiny_root, "tiny")
    paths.classifier.model.unlink()
    with pytest.raises(ArtifactError, match="does not exist"):
        train(tiny_root, "tiny")
    assert not paths.checkpoints.parent.exists()
