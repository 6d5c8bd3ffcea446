"""Killed at any moment and started again, a training ends where one that was left alone does, bit for bit."""

import multiprocessing
import random
import shutil
import signal
import time

import pandas
import pytest
import torch

from stylex.artifacts import load_tensors, read_table
from stylex.config import ExperimentPaths
from stylex.training import train
from tests.builders import checkpoints

KILLS = 20
IMAGES, INTERVAL = 640, 16  # 80 steps, a checkpoint after every second one
PATIENCE = 300  # seconds, for a machine that is busy


@pytest.fixture
def start(monkeypatch):
    """A function that starts a training in a process of its own, on one thread; nothing outlives the test."""
    # Read once, by the server that all processes are forked from: with torch imported they start in no time.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["stylex.training.loop"])
    warm = context.Process(target=int)
    warm.start()
    warm.join()
    started = []

    def start(root):
        process = context.Process(target=train, args=(root, "tiny", "cpu"))
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def finish(process):
    process.join(PATIENCE)
    assert process.exitcode == 0


def done(folder):
    return max(checkpoints(folder), default=0)


def unfinished(folder):
    """Return the names of files that are being written, or were when their process was killed."""
    return {path.name for path in folder.glob(".*.tmp")}


def moments(seconds):
    """Return when to kill, for each kill: after so many new checkpoints and then so many seconds; None: while the next
    checkpoint is being written. `seconds`: what the whole run takes.
    """
    chance = random.Random(0)
    anywhere = [(0, chance.uniform(0, seconds / 10)) for _ in range(6)]
    training = [(chance.randint(1, 3), chance.uniform(0, seconds * INTERVAL / IMAGES)) for _ in range(6)]
    chosen = [*anywhere, *training, *[None] * (KILLS - 12)]
    chance.shuffle(chosen)
    return chosen


def wait(process, folder, moment, most):
    """Wait for the moment, but not until more than `most` images are done: all kills are to find a living process."""
    first, old, begin = done(folder), unfinished(folder), time.monotonic()
    while process.is_alive() and done(folder) < most:
        if moment is None:
            over = bool(unfinished(folder) - old)
        else:
            checkpoints, seconds = moment
            begin = time.monotonic() if done(folder) - first < checkpoints * INTERVAL else begin
            over = time.monotonic() - begin >= seconds
        if over:
            return
        time.sleep(0.0002)


@pytest.mark.slow
def test_killed_at_20_random_moments_it_finishes_with_the_same_bits_as_left_alone(
    tiny_root, experiment, tmp_path, start
):
    # A large mapping network, so that writing a checkpoint takes milliseconds.
    training = {"images": IMAGES, "checkpoint_interval": INTERVAL, "sample_interval": 160}
    experiment(tiny_root, training, networks={"latent_dim": 384, "mapping_layers": 6})
    roots = tiny_root, shutil.copytree(tiny_root, tmp_path / "killed")
    alone, killed = (ExperimentPaths(root, "tiny") for root in roots)
    begin = time.monotonic()
    finish(start(roots[0]))
    seconds = time.monotonic() - begin

    kills, torn, reached = 0, set(), set()
    for count, moment in enumerate(moments(seconds)):
        process = start(roots[1])
        wait(process, killed.checkpoints, moment, IMAGES * (count + 1) // (KILLS + 4))
        process.kill()
        process.join(PATIENCE)
        kills += process.exitcode == -signal.SIGKILL
        torn |= unfinished(killed.checkpoints)
        reached.add(done(killed.checkpoints))
        assert not killed.stylex_model.exists()
    assert kills == KILLS
    assert torn  # writing was hit
    assert len(reached) >= 4  # and so was training

    finish(start(roots[1]))
    assert list(killed.folder.rglob(".*.tmp")) == []
    assert len(list(killed.checkpoints.glob("*.pt"))) == 3
    weights, expected = load_tensors(killed.stylex_model)[0], load_tensors(alone.stylex_model)[0]
    assert [name for name, value in expected.items() if not torch.equal(weights[name], value)] == []
    assert killed.stylex_model.read_bytes() == alone.stylex_model.read_bytes()
    assert killed.stylex_samples.read_bytes() == alone.stylex_samples.read_bytes()
    clock = ["seconds", "images_per_second"]
    histories = [read_table(paths.stylex_history).drop(columns=clock) for paths in (killed, alone)]
    assert len(histories[0]) == IMAGES / 160
    pandas.testing.assert_frame_equal(*histories, check_exact=True)
