"""Snakemake is killed and its Slurm jobs are not: `stylex resume` goes on, and no file is written by two jobs."""

import collections
import signal
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

MODEL, LATENTS = "results/experiments/mnist/stylex/model.safetensors", "results/experiments/mnist/latents.parquet"
SNAKEMAKE = ["--cores", "2", "--profile", "slurm", "--slurm-init-seconds-before-status-checks", "1"]


class Killed:
    """A project whose training of mnist is due, and a Snakemake that submitted it and was killed."""

    def __init__(self, project, slurm, target):
        self.project, self.slurm, self.target = project, slurm, target
        project.environment |= slurm.environment | {"PATH": f"{slurm.folder / 'bin'}:{project.environment['PATH']}"}
        project.edit("config/experiments/mnist.yaml", "    images: 48000", "    images: 64000")
        (project.root / "config/site.yaml").write_text("max_memory_mb: 4000\nmax_minutes: 60\n")
        (project.root / target).unlink()
        project.executed()
        (project.root / "writes.log").unlink()
        (project.root / "hold-train").touch()
        driver = self.start("snakemake", *SNAKEMAKE, target)
        slurm.wait_until(lambda: self.jobs() != [] or driver.poll() is not None, 60)
        assert driver.poll() is None
        self.driver = driver

    def start(self, *command):
        return subprocess.Popen(
            command, cwd=self.project.root, env=self.project.environment, stderr=subprocess.PIPE, text=True
        )

    def kill(self):
        with self.driver:
            self.driver.send_signal(signal.SIGKILL)
        assert list(self.project.root.glob(".snakemake/locks/*.lock"))

    def resume(self, mode):
        return self.start(sys.executable, "-m", "stylex", "resume", mode, *SNAKEMAKE, self.target)

    def jobs(self):
        return [job for job in self.slurm.jobs() if job.get("WorkDir") == str(self.project.root)]

    def wait_for(self, state):
        self.slurm.wait_until(lambda: [job["JobState"] for job in self.jobs()] == [state], 60)

    def release(self):
        (self.project.root / "hold-train").unlink()

    def end(self, process):
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said
        return said

    def writers(self):
        """Return which job wrote each file; fail when a file was written twice."""
        rows = [line.split(" ", 1) for line in (self.project.root / "writes.log").read_text().splitlines()]
        counts = collections.Counter(path for _, path in rows)
        assert max(counts.values()) == 1, counts
        return {path: job for job, path in rows}


@pytest.fixture
def killed(built, slurm):
    """A function that starts what is to be killed; what lives at the end of the test is."""
    started = []

    def start(target):
        started.append(Killed(built, slurm, target))
        return started[0]

    yield start
    for each in started:
        each.driver.kill()
        each.driver.wait()


@pytest.fixture
def queue(slurm):
    """A function that closes the queue of the cluster (jobs stay pending), or opens it; open at the end."""

    def state(name):
        slurm("scontrol", "update", "PartitionName=main", f"State={name}")

    yield state
    state("UP")


def test_wait_for_a_running_job(built, killed, slurm):
    """What a job finishes with no Snakemake there counts, with a record of what it ran with."""
    run = killed(LATENTS)
    run.wait_for("RUNNING")
    slurm.wait_until((built.root / "verbs.log").is_file, 60)
    run.kill()
    assert built.snakemake(LATENTS).returncode == 1  # Snakemake's own lock
    process = run.resume("--wait")
    assert process.stderr is not None
    while "waiting for jobs of an earlier run" not in (line := process.stderr.readline()):
        assert line, "it ended without waiting"
    run.release()
    run.end(process)
    assert built.executed() == ["encode", "train"]
    assert [job["JobState"] for job in run.jobs()] == ["COMPLETED"] * 2
    assert len(set(run.writers().values())) == 2
    assert built.planned(LATENTS) == {}
    built.edit("config/experiments/mnist.yaml", "    images: 64000", "    images: 80000")
    assert set(built.planned(LATENTS)) == {"train", "encode"}


def test_a_job_that_ended_before_anyone_looked_counts(built, killed, slurm):
    run = killed(MODEL)
    run.kill()
    run.release()
    run.wait_for("COMPLETED")
    (built.root / ".snakemake/driver").write_text("elsewhere 4711 999999\n")  # as a job of its own, which is over
    assert "no job of an earlier run is left" in run.end(run.resume("--wait"))
    assert built.executed() == ["train"]
    assert len(run.jobs()) == 1
    assert built.planned(MODEL) == {}


def test_wait_for_a_pending_job(built, killed, slurm, queue):
    queue("DOWN")
    run = killed(MODEL)
    run.wait_for("PENDING")
    run.kill()
    run.release()
    process = run.resume("--wait")
    assert process.stderr is not None
    while "(pending)" not in (line := process.stderr.readline()):
        assert line, "it ended without waiting"
    queue("UP")
    run.end(process)
    assert built.executed() == ["train"]
    assert [job["JobState"] for job in run.jobs()] == ["COMPLETED"]
    assert run.writers()[MODEL] == run.jobs()[0]["JobId"]


@pytest.mark.parametrize("state", ["RUNNING", "PENDING"])
def test_cancel(built, killed, slurm, queue, state):
    queue("DOWN" if state == "PENDING" else "UP")
    run = killed(MODEL)
    run.wait_for(state)
    if state == "RUNNING":
        slurm.wait_until((built.root / "verbs.log").is_file, 60)
    run.kill()
    process = run.resume("--cancel")
    slurm.wait_until(lambda: run.jobs()[0]["JobState"] == "CANCELLED", 60)
    run.release()
    queue("UP")
    run.end(process)
    assert [job["JobState"] for job in run.jobs()] == ["CANCELLED", "COMPLETED"]
    assert run.writers()[MODEL] == run.jobs()[1]["JobId"]
    assert built.executed() == ["train"] * (2 if state == "RUNNING" else 1)
    assert built.planned(MODEL) == {}


def test_a_driver_that_lives_is_refused(built, killed, slurm):
    run = killed(MODEL)
    refused = run.resume("--cancel")
    _, said = refused.communicate(timeout=60)
    assert refused.returncode == 2
    assert f"Snakemake runs here as process {run.driver.pid} on " in said and said.count("\n") == 1
    run.release()
    run.end(run.driver)
    assert [job["JobState"] for job in run.jobs()] == ["COMPLETED"]
