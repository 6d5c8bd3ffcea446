"""However many processes share a training, it is the same one, and it starts and stops as one; signals and limits."""

import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from stylex.artifacts import read_table
from stylex.cli import main
from stylex.config import ExperimentPaths
from stylex.errors import ConfigError, DeviceError
from stylex.networks.model import load_stylex
from stylex.training import train
from stylex.training.distributed import Processes, require_devices
from stylex.training.launch import DEADLINE_MARGIN, SIGNALS, Interruption, launch_on_nodes
from stylex.training.run import prepare
from stylex.training.step import advance
from tests.builders import checkpoints

SCRIPT = Path(__file__).with_name("two_processes.py")
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
TRAIN = ["-m", "stylex", "train", "tiny", "--device", "cpu"]
STARTS = {"torchrun": [*TORCHRUN, *TRAIN], "--processes": [*TRAIN, "--processes", "2"]}
PATIENCE = 240  # seconds, for a machine that is busy

# Everything random is on. Narrow frozen networks have kinks that amplify rounding: at ten times this learning rate some
# seeds reach 1e-3 after 20 steps, while in float64 all divisions of a batch agree to 1e-15.
SLOW = {"learning_rate": 0.00002, "encoder_learning_rate": 0.00002, "beta1": 0.5}
EVERYTHING = SLOW | {
    "batch_size": 16,
    "max_translation": 2,
    "augment": ["translation", "cutout"],
    "counterfactuals": 0.25,
    "mixed_conditions": 0.5,
    "told": "fake",
}
NETWORKS = {"minibatch_stddev_group": 4, "condition_coordinates": 3}
LOSSES = {"classifier_noise": 0.5, "path_length": 2.0, "path_length_interval": 4, "r1_interval": 4, "r1_gamma": 1.0}
TERMS = {"d_adversarial", "g_adversarial", "r1", "path_length", "classifier", "classifier_noise"} | {
    f"reconstruction_{name}" for name in ("x", "perceptual", "w")
}
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the processes in /proc")


def python(*arguments, cwd=None):
    """Start Python with these arguments on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, env=environment, stderr=subprocess.PIPE, text=True)


def finish(process):
    """Return the exit code and what was written to stderr."""
    try:
        _, stderr = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    return process.returncode, stderr


def wait_for(folder, images, process):
    """Wait for a checkpoint of more than so many images, or the end of the process."""
    end = time.monotonic() + PATIENCE
    while max(checkpoints(folder), default=-1) <= images and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


@pytest.fixture(scope="module")
def steps(trained_root, tmp_path_factory):
    """A function that runs the steps of two_processes.py and returns what it wrote; the same run only once."""
    root, known = tmp_path_factory.mktemp("steps"), {}
    shutil.copytree(trained_root, root, dirs_exist_ok=True)
    alone = runpy.run_path(str(SCRIPT))["run_steps"]

    def steps(experiment, processes, accumulation):
        key = processes, accumulation
        if key not in known:
            experiment(root, EVERYTHING | {"accumulation": accumulation}, LOSSES, NETWORKS)
            output = root / "steps.pt"
            if processes == 1:
                alone(root, output)
            else:
                code, stderr = finish(python(*TORCHRUN, SCRIPT, root, output))
                assert code == 0, stderr
            known[key] = torch.load(output)
        return known[key]

    return steps


@pytest.mark.parametrize(
    ("processes", "accumulation"),
    [(1, 2), pytest.param(1, 4, marks=pytest.mark.slow), pytest.param(2, 1, marks=pytest.mark.slow), (2, 2)],
)
def test_a_divided_batch_gives_the_same_losses_for_20_steps(steps, experiment, processes, accumulation):
    whole, divided = steps(experiment, 1, 1), steps(experiment, processes, accumulation)
    assert (whole["processes"], divided["processes"]) == (1, processes)
    assert len(whole["history"]) == len(divided["history"]) == 20
    assert set().union(*whole["history"]) == TERMS
    for step, (expected, terms) in enumerate(zip(whole["history"], divided["history"], strict=True)):
        assert terms == pytest.approx(expected, rel=1e-5, abs=1e-5), step
    for name, weights in whole["weights"].items():
        torch.testing.assert_close(divided["weights"][name], weights, rtol=0, atol=1e-5, msg=name)
    assert len(whole["moments"]) == 8
    for name, moment in whole["moments"].items():
        assert (divided["moments"][name] - moment).norm() <= 1e-3 * moment.norm(), name


@pytest.mark.parametrize(
    ("size", "training", "message"),
    [
        (1, {"batch_size": 16, "accumulation": 4, "counterfactuals": 0.2}, r"none of the 4 samples .* at least 0.25$"),
        *(
            (
                size,
                {"batch_size": 8, "accumulation": accumulation},
                rf"batch_size 8 cannot be shared by {size} processes: make it a multiple of {divisor}"
                rf" \(minibatch_stddev_group 4 x accumulation {accumulation} x {size}\) or start fewer",
            )
            for size, accumulation, divisor in ((3, 1, 12), (2, 2, 16), (4, 1, 16))
        ),
    ],
)
def test_a_batch_that_cannot_be_divided_is_named(tiny_root, experiment, size, training, message):
    experiment(tiny_root, training, {}, NETWORKS)
    with pytest.raises(ConfigError, match=message):
        prepare(tiny_root, "tiny", "cpu", Processes(0, size))


def test_processes_that_cannot_be_started_are_one_clear_line(monkeypatch, capsys):
    found = torch.cuda.device_count()
    require_devices(found)
    with pytest.raises(DeviceError, match=f"{found + 1} processes need {found + 1} GPUs, and PyTorch finds {found} on"):
        require_devices(found + 1)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(DeviceError, match="--nodes 2 needs a Slurm job of 2 nodes: use it there, or leave it out"):
        launch_on_nodes(["train", "tiny"], nodes=2, count=1, threads=1)
    for count in ("0", "-1", "two"):
        with pytest.raises(SystemExit, match="2"):
            main(["train", "tiny", "--processes", count])
        assert "--processes" in capsys.readouterr().err


def children(process):
    """Return the numbers of the processes that it started and that still run."""
    return [int(each) for each in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.fixture
def long_root(tiny_root, experiment):
    experiment(tiny_root, SLOW | {"images": 400, "checkpoint_interval": 16, "sample_interval": 200}, {}, NETWORKS)
    return tiny_root


@linux
@pytest.mark.slow
@pytest.mark.parametrize("start", STARTS)
def test_two_processes_stop_together_and_resume_to_the_weights_of_one(long_root, tmp_path, start):
    alone = shutil.copytree(long_root, tmp_path / "alone")
    assert train(alone, "tiny")
    paths = ExperimentPaths(long_root, "tiny")
    process = python(*STARTS[start], cwd=long_root)
    wait_for(paths.checkpoints, 0, process)
    for each in (*children(process), process.pid, *children(process)):  # as a scheduler does, and torchrun once more
        os.kill(each, signal.SIGTERM)
        time.sleep(0.005)
    code, stderr = finish(process)
    assert code == (75 if start == "--processes" else 1), stderr  # torchrun knows no other
    stopped = re.findall(r"SIGTERM: stopped at (\d+) of 400 images; run again to resume", stderr)
    assert len(stopped) == 1, stderr
    assert not paths.stylex_model.exists()

    code, stderr = finish(python(*STARTS[start], cwd=long_root))
    assert code == 0, stderr
    assert stderr.count(f"resumed at {stopped[0]} images") == stderr.count("resumed") == 1
    assert stderr.count("train tiny: 400/400 images") == 1
    assert read_table(paths.stylex_history)["images"].tolist() == [200, 400]
    assert paths.stylex_samples.is_file()
    expected = load_stylex(ExperimentPaths(alone, "tiny").stylex_model).state_dict()
    for name, value in load_stylex(paths.stylex_model).state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-4, msg=name)


@linux
@pytest.mark.slow
def test_a_process_that_is_killed_or_finds_a_mistake_ends_the_others(long_root):
    paths, process = ExperimentPaths(long_root, "tiny"), python(*STARTS["--processes"], cwd=long_root)
    wait_for(paths.checkpoints, -1, process)
    os.kill(children(process)[1], signal.SIGKILL)
    code, stderr = finish(process)
    assert code == 128 + signal.SIGKILL
    assert stderr.endswith("process 2 of 2 was ended by SIGKILL\n")
    paths.classifier.model.unlink()
    code, stderr = finish(python(*STARTS["--processes"], cwd=long_root))
    assert code == 2 and stderr.count("\n") == 1
    assert stderr.startswith("error: results/experiments/tiny/classifier/model.safetensors does not exist")


CUDA = pytest.param(
    "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
)


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_a_step_in_bfloat16_is_close_to_one_in_float32(tiny_root, experiment, device):
    terms = {}
    for precision in ("float32", "bfloat16"):
        experiment(tiny_root, EVERYTHING | {"precision": {device: precision}}, LOSSES, NETWORKS)
        run, state = prepare(tiny_root, "tiny", device, Processes())
        found = advance(state, run.config.stylex, run.frozen, run.sampler, run.processes)
        terms[precision] = {name: float(value) for name, value in found.items()}
        dumped = state.dump()
        state.restore(dumped)
        assert torch.equal(state.random.get_state(), dumped["random"])
        assert state.weights["synthesis"].vector.device.type == device
    assert terms["float32"].keys() == TERMS - {"classifier_noise"}  # the first step is one of the encoder
    assert terms["bfloat16"] == pytest.approx(terms["float32"], rel=0.06, abs=0.05)  # 5.2 % seen without AMX


@pytest.mark.slow
def test_each_signal_saves_and_exits_with_75_and_the_same_command_resumes(tiny_root, experiment):
    experiment(tiny_root, {"images": 480, "checkpoint_interval": 16, "sample_interval": 240})
    folder, done = ExperimentPaths(tiny_root, "tiny").checkpoints, 0
    for each in SIGNALS:
        process = python(*TRAIN, cwd=tiny_root)
        wait_for(folder, done, process)
        process.send_signal(each)
        code, stderr = finish(process)
        assert code == os.EX_TEMPFAIL == 75
        stopped = re.search(rf"{each.name}: stopped at (\d+) of 480 images; run again to resume", stderr)
        assert stopped, stderr
        assert (f"resumed at {done} images" in stderr) == (done > 0)
        done = int(stopped[1])
        assert checkpoints(folder)[-1] == done


def test_a_signal_is_a_reason_to_stop_and_handlers_are_put_back_also_after_an_error():
    before = [signal.getsignal(each) for each in SIGNALS]
    for each in SIGNALS:
        with pytest.raises(ValueError, match="of the work"), Interruption(None) as interruption:
            assert interruption.reason() is None
            signal.raise_signal(each)
            assert interruption.reason() == each.name
            raise ValueError("of the work")
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_the_second_signal_of_a_kind_does_what_it_always_does():
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits "ignore"
    try:
        with Interruption(None):
            for each in SIGNALS:  # the first of each kind is caught
                signal.raise_signal(each)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, inherited)


def test_the_time_limit_leaves_a_margin_for_the_checkpoint():
    margin = DEADLINE_MARGIN / 60
    assert Interruption(margin / 2).reason() == "time limit"
    later = Interruption(margin + 0.1 / 60)
    assert later.reason() is None
    time.sleep(0.15)
    assert later.reason() == "time limit"
