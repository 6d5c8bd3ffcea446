"""The private cluster itself: it runs jobs, and leaves nothing behind, even when who started it is killed."""

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def test_job_runs_on_two_nodes_with_a_gpu_of_its_own(slurm):
    script = 'echo "$SLURMD_NODENAME $CUDA_VISIBLE_DEVICES"'
    said = slurm("srun", "--nodes=2", "--ntasks-per-node=1", "--gpus-per-node=1", "sh", "-c", script)
    nodes = [line.split()[0] for line in said.splitlines()]
    assert len(set(nodes)) == 2
    if any((slurm.folder / "gpu").iterdir()):
        assert [line.split()[1:] for line in said.splitlines()] == [["0"], ["0"]]


def test_killed_session_leaves_no_process_and_no_file(slurm, tmp_path):
    """A parent like a test session starts a cluster of its own, and a job in it escapes into a session of its own."""
    folder = Path(tempfile.mkdtemp(prefix="slurm", dir="/tmp"))
    folder.chmod(0o755)
    keeper = [sys.executable, str(Path(__file__).parent / "cluster.py"), str(folder)]
    start = (
        "import subprocess, sys; subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True).wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", start, *keeper], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None and parent.stdout.readline() == "ready\n"
    path = f"{folder / 'bin'}:{slurm.environment['PATH']}"
    own = dataclasses.replace(slurm, folder=folder, environment=slurm.environment | {"PATH": path})
    started = tmp_path / "started"
    own("sbatch", "-o", "/dev/null", "--wrap", f"setsid sleep 4321 & echo $! > {started}; sleep 1234")
    slurm.wait_until(lambda: started.is_file() and started.read_text() != "", 30)
    with parent:
        parent.kill()
    slurm.wait_until(lambda: not folder.exists(), 60)
    assert not Path(f"/proc/{started.read_text().strip()}").exists()
    assert subprocess.run(["pgrep", "--full", str(folder)], capture_output=True).returncode == 1
