"""Two at once are not: the second says who is at work, and whoever was killed bars nobody."""

import errno
import fcntl
import os
import platform
import signal
import subprocess
import sys
import threading

import pytest

from stylex import alone as module
from stylex.alone import alone
from stylex.errors import AtWorkError

HOLD = """
import sys
from pathlib import Path
from stylex.alone import alone
with alone(Path(sys.argv[1]), "'a' is being trained"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def hold():
    """Return a function that starts a process that holds a lock until its standard input ends."""
    started = []

    def start(path, **environment):
        command = [sys.executable, "-c", HOLD, str(path)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "stylex/checkpoints/lock"


def refused(path):
    with pytest.raises(AtWorkError) as caught, alone(path, "'a' is being trained"):
        raise AssertionError("the lock was taken twice")
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_the_second_says_who_is_at_work_and_where(path, hold):
    process = hold(path)
    said = refused(path)
    assert said == (
        f"'a' is being trained by process {process.pid} on {platform.node()} already: wait for its end, or end it there"
        f" (`kill {process.pid}`)"
    )
    assert path.is_file() and process.poll() is None


def test_of_a_slurm_job_the_second_names_the_job(path, hold):
    hold(path, SLURM_JOB_ID="4711")
    assert refused(path).endswith("(`scancel 4711`)")


def test_whoever_was_killed_bars_nobody_though_its_file_is_there(path, hold):
    process = hold(path)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert path.read_text().split() == [platform.node(), str(process.pid)]
    with alone(path, "it is being done"):
        assert path.read_text().split() == [platform.node(), str(os.getpid())]
    assert not path.exists()


def test_at_its_end_nothing_is_left_and_the_next_one_may(path, hold):
    process = hold(path)
    process.communicate()
    assert process.returncode == 0 and not path.parents[1].exists()
    with alone(path, "it is being done"):
        (path.parent / "checkpoint.pt").touch()
    assert [each.name for each in path.parent.iterdir()] == ["checkpoint.pt"]


def test_a_process_that_the_holder_has_started_does_not_keep_the_lock(path):
    with alone(path, "it is being done"):
        child = subprocess.Popen(["sleep", "60"])
    try:
        with alone(path, "it is being done"):
            assert path.is_file()
    finally:
        child.kill()
        child.wait()


def test_what_another_machine_holds_is_waited_for_as_its_server_may_not_know_yet_that_it_is_gone(
    path, hold, monkeypatch
):
    process = hold(path)
    path.write_text("elsewhere 12 ")
    monkeypatch.setattr(module, "GLANCE", 0.01)
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    assert "by process 12 on elsewhere already" in refused(path)
    monkeypatch.setattr(module, "PATIENCE", 60.0)
    threading.Timer(0.2, process.kill).start()
    with alone(path, "it is being done"):
        assert path.read_text().split()[1] == str(os.getpid())


def test_a_file_system_without_locks_is_said_and_no_hindrance(path, monkeypatch, caplog):
    def without(*arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", without)
    with alone(path, "it is being done"):
        assert "cannot lock" in caplog.text and "do not start the same a second time" in caplog.text
