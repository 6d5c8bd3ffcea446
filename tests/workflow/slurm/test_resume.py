"""Snakemake is killed and its Slurm jobs are not: `stylex resume` goes on, and no file is written by two jobs."""

import collections
import sys

import pytest

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1800)]  # on a busy machine

MODEL, LATENTS = "results/experiments/mnist/stylex/model.safetensors", "results/experiments/mnist/latents.parquet"
SNAKEMAKE = ["--cores", "2", "--profile", "slurm"]


class Killed:
    """A project whose training of mnist is due, and a Snakemake that submits it, to be killed."""

    def __init__(self, project, slurm, target):
        self.project, self.slurm, self.target = project, slurm, target
        project.edit("config/experiments/mnist.yaml", "    images: 24000", "    images: 64000")
        (project.root / "config/site.yaml").write_text("max_memory_mb: 4000\nmax_minutes: 60\n")
        (project.root / target).unlink()
        project.executed()
        (project.root / "writes.log").unlink()
        (project.root / "hold-train").touch()
        self.driver = project.start("snakemake", *SNAKEMAKE, target)
        slurm.wait_until(lambda: self.jobs() != [] or self.driver.poll() is not None, 300)
        assert self.driver.poll() is None, project.said()

    def kill(self):
        self.driver.kill()
        self.driver.wait()
        assert list(self.project.root.glob(".snakemake/locks/*.lock"))

    def resume(self, mode, until=""):
        """Start it; return when it has said `until`."""
        process = self.project.start(sys.executable, "-m", "stylex", "resume", mode, *SNAKEMAKE, self.target)
        self.slurm.wait_until(lambda: until in self.project.said() or process.poll() is not None, 300)
        assert until in self.project.said(), self.project.said()
        return process

    def jobs(self):
        return [job for job in self.slurm.jobs() if job.get("WorkDir") == str(self.project.root)]

    def wait_for(self, *states):
        self.slurm.wait_until(lambda: [job["JobState"] for job in self.jobs()] == [*states], 300)

    def release(self):
        (self.project.root / "hold-train").unlink()

    def end(self, process):
        assert process.wait(500) == 0, self.project.said()
        assert self.project.planned(self.target) == {}

    def writers(self):
        """Return which job wrote each file; fail when a file was written twice."""
        rows = [line.split(" ", 1) for line in (self.project.root / "writes.log").read_text().splitlines()]
        counts = collections.Counter(path for _, path in rows)
        assert max(counts.values()) == 1, counts
        return {path: job for job, path in rows}


@pytest.fixture
def killed(built, slurm, connect):
    """A function that starts what is to be killed; what lives at the end of the test is."""
    started = []

    def start(target):
        started.append(Killed(connect(built), slurm, target))
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
    slurm.wait_until((built.root / "verbs.log").is_file, 300)
    run.kill()
    assert built.snakemake(LATENTS).returncode == 1  # Snakemake's own lock
    process = run.resume("--wait", until="(running)")
    run.release()
    run.end(process)
    assert built.executed() == ["encode", "train"]
    assert [job["JobState"] for job in run.jobs()] == ["COMPLETED"] * 2
    assert len(set(run.writers().values())) == 2
    built.edit("config/experiments/mnist.yaml", "    images: 64000", "    images: 96000")
    assert set(built.planned(LATENTS)) == {"train", "encode"}


def test_a_job_that_ended_before_anyone_looked_counts(built, killed, slurm):
    run = killed(MODEL)
    run.kill()
    run.release()
    run.wait_for("COMPLETED")
    (built.root / ".snakemake/driver").write_text("elsewhere 4711 999999\n")  # as a job of its own, which is over
    run.end(run.resume("--wait", until="no job of an earlier run is left"))
    assert built.executed() == ["train"]
    assert len(run.jobs()) == 1


def test_wait_for_a_pending_job(built, killed, slurm, queue):
    queue("DOWN")
    run = killed(MODEL)
    run.wait_for("PENDING")
    run.kill()
    run.release()
    process = run.resume("--wait", until="(pending)")
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
        slurm.wait_until((built.root / "verbs.log").is_file, 300)
    run.kill()
    process = run.resume("--cancel", until="cancelling the jobs")
    slurm.wait_until(lambda: run.jobs()[0]["JobState"] == "CANCELLED", 300)
    run.release()
    queue("UP")
    run.end(process)
    assert [job["JobState"] for job in run.jobs()] == ["CANCELLED", "COMPLETED"]
    assert run.writers()[MODEL] == run.jobs()[1]["JobId"]
    assert built.executed() == ["train"] * (2 if state == "RUNNING" else 1)


def test_a_driver_that_lives_is_refused(built, killed, slurm):
    run = killed(MODEL)
    refused = built.run(sys.executable, "-m", "stylex", "resume", "--cancel", *SNAKEMAKE, MODEL)
    assert refused.returncode == 2
    assert f"Snakemake runs here as process {run.driver.pid} on " in refused.stderr and refused.stderr.count("\n") == 1
    run.release()
    run.end(run.driver)
    assert [job["JobState"] for job in run.jobs()] == ["COMPLETED"]
