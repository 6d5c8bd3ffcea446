import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from stylex.config import ExperimentPaths
from stylex.networks.model import load_stylex
from stylex.training.interruption import DEADLINE_MARGIN, SIGNALS, Interruption

COMMAND = [sys.executable, "-m", "stylex", "train", "tiny", "--device", "cpu"]
IMAGES = 480
PATIENCE = 240  # seconds, for a machine that is busy


def newest(folder):
    """Return the number of images of the newest checkpoint."""
    return max((int(path.name.split("-")[1]) for path in folder.glob("*-*.pt")), default=0)


@pytest.mark.slow
def test_each_signal_saves_and_exits_with_75_and_the_same_command_resumes(tiny_root, experiment, tmp_path):
    experiment(tiny_root, {"images": IMAGES, "checkpoint_interval": 16, "sample_interval": 240})
    alone = shutil.copytree(tiny_root, tmp_path / "alone")
    subprocess.run(COMMAND, cwd=alone, check=True, capture_output=True, timeout=PATIENCE)
    done = 0
    for each in SIGNALS:
        code, said = interrupted(tiny_root, each)
        assert code == os.EX_TEMPFAIL == 75
        stopped = re.search(rf"{each.name}: stopped at (\d+) of {IMAGES} images; run again to resume", said)
        assert stopped, said
        assert (f"resumed at {done} images" in said) == (done > 0)
        done = int(stopped[1])
        assert newest(ExperimentPaths(tiny_root, "tiny").checkpoints) == done
    last = subprocess.run(COMMAND, cwd=tiny_root, capture_output=True, text=True, timeout=PATIENCE)
    assert last.returncode == 0, last.stderr
    assert f"resumed at {done} images" in last.stderr
    weights, expected = (load_stylex(ExperimentPaths(root, "tiny").stylex_model) for root in (tiny_root, alone))
    for name, value in expected.state_dict().items():
        assert torch.equal(weights.state_dict()[name], value), name


def interrupted(root, number):
    """Start the command, send the signal after the first checkpoint of its own; return exit code and stderr."""
    folder = ExperimentPaths(root, "tiny").checkpoints
    before, end = newest(folder), time.monotonic() + PATIENCE
    with subprocess.Popen(COMMAND, cwd=root, stderr=subprocess.PIPE, text=True) as process:
        try:
            while newest(folder) <= before and process.poll() is None and time.monotonic() < end:
                time.sleep(0.005)
            process.send_signal(number)
            _, said = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return process.returncode, said


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_a_reason_to_stop(number):
    with Interruption(None) as interruption:
        assert interruption.reason() is None
        signal.raise_signal(number)
        assert interruption.reason() == number.name


def test_handlers_are_put_back_also_after_an_error():
    before = [signal.getsignal(each) for each in SIGNALS]
    with pytest.raises(ValueError, match="of the work"), Interruption(None):
        assert all(signal.getsignal(each) not in before for each in SIGNALS)
        signal.raise_signal(signal.SIGTERM)
        raise ValueError("of the work")
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_the_second_signal_of_a_kind_does_what_it_always_does():
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits "ignore"
    try:
        with Interruption(None) as interruption:
            signal.raise_signal(signal.SIGINT)
            assert interruption.reason() == "SIGINT"
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, inherited)


def test_a_first_signal_of_each_kind_is_caught():
    seen, before = [], signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    try:
        with Interruption(None):
            for each in SIGNALS:
                signal.raise_signal(each)
            assert seen == []
            signal.raise_signal(signal.SIGUSR1)
            assert seen == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_the_time_limit_leaves_a_margin_for_the_checkpoint():
    margin = DEADLINE_MARGIN / 60
    assert Interruption(margin / 2).reason() == "time limit"
    later = Interruption(margin + 0.1 / 60)
    assert later.reason() is None
    time.sleep(0.15)
    assert later.reason() == "time limit"
