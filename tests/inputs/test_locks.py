"""Two at once are not: the second says who is at work, and whoever was killed bars nobody."""

import errno
import fcntl
import os
import platform
import subprocess
import sys
import threading

import pytest

from stylex import locks
from stylex.errors import AtWorkError, StorageError
from stylex.locks import exclusive, locked

HOLD = """
import sys
from pathlib import Path
from stylex.locks import exclusive
with exclusive(Path(sys.argv[1]), "'a' is being trained"):
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


def refusal(path):
    with pytest.raises(AtWorkError) as caught, exclusive(path, "'a' is being trained"):
        raise AssertionError("the lock was taken twice")
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("job", ["", "4711"])
def test_the_second_says_who_is_at_work_and_where(path, hold, job):
    process = hold(path, SLURM_JOB_ID=job)
    remedy = "`scancel 4711`" if job else f"`kill {process.pid}`"
    assert refusal(path) == (
        f"'a' is being trained by process {process.pid} on {platform.node()} already: wait for its end, or end it there"
        f" ({remedy})"
    )
    assert path.is_file() and process.poll() is None


def test_whoever_was_killed_bars_nobody_though_its_file_is_there(path, hold):
    process = hold(path)
    process.kill()
    process.wait()
    assert path.read_text().split() == [platform.node(), str(process.pid)]
    with exclusive(path, "it is being done"):
        assert path.read_text().split() == [platform.node(), str(os.getpid())]
    assert not path.exists()


def test_at_its_end_nothing_is_left_and_the_next_one_may(path, hold):
    process = hold(path)
    process.communicate()
    assert process.returncode == 0 and not path.parents[1].exists()
    with exclusive(path, "it is being done"):
        (path.parent / "checkpoint.pt").touch()
    assert [each.name for each in path.parent.iterdir()] == ["checkpoint.pt"]


def test_a_process_that_the_holder_has_started_does_not_keep_the_lock(path):
    with exclusive(path, "it is being done"):
        child = subprocess.Popen(["sleep", "60"])
    with exclusive(path, "it is being done"):
        assert path.is_file()
    child.kill()
    child.wait()


def test_a_holder_on_another_machine_is_waited_for_as_its_server_may_not_know_yet_that_it_is_gone(
    path, hold, monkeypatch
):
    process = hold(path)
    path.write_text("elsewhere 12 ")
    monkeypatch.setattr(locks, "POLL_INTERVAL", 0.01)
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    assert "by process 12 on elsewhere already" in refusal(path)
    monkeypatch.setattr(locks, "PATIENCE", 60.0)
    threading.Timer(0.2, process.kill).start()
    with exclusive(path, "it is being done"):
        assert path.read_text().split()[1] == str(os.getpid())


def test_a_file_system_without_locks(path, monkeypatch, caplog):
    """What goes on where it stopped goes on with a warning; what would mix two downloads is refused."""

    def without(*arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", without)
    with exclusive(path, "it is being done"):
        assert "cannot lock" in caplog.text and "do not start the same a second time" in caplog.text
    message = "cannot lock .*: No locks available; use a file system with file locks"
    with pytest.raises(StorageError, match=message), locked(path):
        raise AssertionError
