"""However many processes share a training, it is the same one, and it starts and stops as one."""

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
import yaml

from stylex.artifacts import read_table
from stylex.cli import main
from stylex.config import ExperimentPaths
from stylex.errors import ConfigError, DeviceError
from stylex.networks.model import load_stylex
from stylex.training import train
from stylex.training.launch import launch_on_nodes
from stylex.training.processes import Processes, require_devices
from stylex.training.run import prepare
from stylex.training.step import Step

SCRIPT = Path(__file__).with_name("two_processes.py")
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
TRAIN = ["-m", "stylex", "train", "tiny", "--device", "cpu"]
STARTS = {"torchrun": [*TORCHRUN, *TRAIN], "--processes": [*TRAIN, "--processes", "2"]}
PATIENCE = 240  # seconds, for a machine that is busy

# Everything random is on. Narrow judges have kinks that amplify rounding: at ten times this learning rate some seeds
# reach 1e-3 after 20 steps, while in float64 all ways to divide a batch agree to 1e-15.
EVERYTHING = {
    "batch_size": 16,
    "learning_rate": 0.00002,
    "encoder_learning_rate": 0.00002,
    "beta1": 0.5,
    "max_translation": 2,
    "augment": ["translation", "cutout"],
    "counterfactuals": 0.25,
    "mixed_conditions": 0.5,
    "told": "fake",
}
LOSSES = {"classifier_noise": 0.5, "path_length": 2.0, "path_length_interval": 4, "r1_interval": 4, "r1_gamma": 1.0}
TERMS = {"d_adversarial", "g_adversarial", "r1", "path_length", "classifier", "classifier_noise"} | {
    f"reconstruction_{name}" for name in ("x", "perceptual", "w")
}


def configure(root, experiment, training, losses=None, group=4):
    """Write the tiny experiment with these keys changed."""
    experiment(root, training, losses)
    file = root / "config/experiments/tiny.yaml"
    content = yaml.safe_load(file.read_text())
    content["stylex"]["networks"] |= {"minibatch_stddev_group": group, "condition_coordinates": 3}
    file.write_text(yaml.safe_dump(content))


def python(*arguments, cwd=None):
    """Start Python with these arguments on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, env=environment, stderr=subprocess.PIPE, text=True)


def finish(process):
    """Return the exit code and what was written to stderr."""
    try:
        _, said = process.communicate(timeout=PATIENCE)
    finally:
        process.terminate()
    return process.returncode, said


def test_a_process_alone_has_everything_and_waits_for_nobody():
    alone, value = Processes(), torch.tensor([1.0, 2.0])
    assert alone.first
    assert list(range(6))[alone.share(6)] == [0, 1, 2, 3, 4, 5]
    alone.average([value])
    assert value.tolist() == [1.0, 2.0]
    assert alone.any(True)
    assert not alone.any(False)
    assert alone.of_first("a name") == "a name"


def test_shares_are_the_batch_in_order():
    assert [list(range(12))[Processes(rank, 3).share(12)] for rank in range(3)] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9, 10, 11],
    ]
    assert [Processes(rank, 3).first for rank in range(3)] == [True, False, False]


@pytest.fixture(scope="module")
def steps(judged_root, tmp_path_factory):
    """A function that runs the steps of two_processes.py and returns what it wrote; the same run only once."""
    root, known = tmp_path_factory.mktemp("steps"), {}
    shutil.copytree(judged_root, root, dirs_exist_ok=True)
    alone = runpy.run_path(str(SCRIPT))["run_steps"]

    def steps(experiment, processes, accumulation):
        key = processes, accumulation
        if key not in known:
            configure(root, experiment, EVERYTHING | {"accumulation": accumulation}, LOSSES)
            output = root / "steps.pt"
            if processes == 1:
                alone(root, output)
            else:
                code, said = finish(python(*TORCHRUN, SCRIPT, root, output))
                assert code == 0, said
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


def test_a_share_without_a_counterfactual_is_named(tiny_root, experiment):
    configure(tiny_root, experiment, {"batch_size": 16, "accumulation": 4, "counterfactuals": 0.2})
    with pytest.raises(ConfigError, match=r"counterfactuals 0.2 makes none of the 4 samples .* at least 0.25$"):
        prepare(tiny_root, "tiny", "cpu", Processes())


@pytest.mark.parametrize(("size", "accumulation", "divisor"), [(3, 1, 12), (2, 2, 16), (4, 1, 16)])
def test_a_batch_that_cannot_be_shared_is_named(tiny_root, experiment, size, accumulation, divisor):
    configure(tiny_root, experiment, {"batch_size": 8, "accumulation": accumulation})
    line = (
        rf"batch_size 8 cannot be shared by {size} processes: make it a multiple of {divisor} \(minibatch_stddev_group"
        rf" 4 x accumulation {accumulation} x {size}\) or start fewer"
    )
    with pytest.raises(ConfigError, match=line):
        prepare(tiny_root, "tiny", "cpu", Processes(0, size))


def test_more_processes_than_gpus_is_one_clear_line():
    found = torch.cuda.device_count()
    require_devices(found)
    with pytest.raises(DeviceError, match=f"{found + 1} processes need {found + 1} GPUs, and PyTorch finds {found} on"):
        require_devices(found + 1)


def test_nodes_outside_of_a_slurm_job_are_one_clear_line(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(DeviceError, match="--nodes 2 needs a Slurm job of 2 nodes: use it there, or leave it out"):
        launch_on_nodes(["train", "tiny"], nodes=2, count=1, threads=1)


@pytest.mark.parametrize("count", ["0", "-1", "two"])
def test_an_impossible_number_of_processes_is_wrong_usage(count, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["train", "tiny", "--processes", count])
    assert "--processes" in capsys.readouterr().err


def long_training(root, experiment):
    slow = {"learning_rate": 0.00002, "encoder_learning_rate": 0.00002, "beta1": 0.5}
    configure(root, experiment, slow | {"images": 400, "checkpoint_interval": 16, "sample_interval": 200})


def children(process):
    """Return the numbers of the processes that it started and that still run."""
    return [int(each) for each in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the processes in /proc")
@pytest.mark.parametrize("start", STARTS)
def test_two_processes_stop_together_and_resume_to_the_weights_of_one(tiny_root, experiment, tmp_path, start):
    long_training(tiny_root, experiment)
    alone = shutil.copytree(tiny_root, tmp_path / "alone")
    assert train(alone, "tiny")
    paths = ExperimentPaths(tiny_root, "tiny")

    process, end = python(*STARTS[start], cwd=tiny_root), time.monotonic() + PATIENCE
    while not list(paths.checkpoints.glob("*-0000000016-*.pt")) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    for each in (*children(process), process.pid, *children(process)):  # as a scheduler does, and torchrun once more
        os.kill(each, signal.SIGTERM)
        time.sleep(0.005)
    code, said = finish(process)
    assert code == (75 if start == "--processes" else 1), said  # torchrun knows no other
    stopped = re.findall(r"SIGTERM: stopped at (\d+) of 400 images; run again to resume", said)
    assert len(stopped) == 1, said
    assert not paths.stylex_model.exists()

    code, said = finish(python(*STARTS[start], cwd=tiny_root))
    assert code == 0, said
    assert said.count(f"resumed at {stopped[0]} images") == said.count("resumed") == 1
    assert said.count("train tiny: 400/400 images") == 1
    assert read_table(paths.stylex_history)["images"].tolist() == [200, 400]
    assert paths.stylex_samples.is_file()
    expected = load_stylex(ExperimentPaths(alone, "tiny").stylex_model).state_dict()
    for name, value in load_stylex(paths.stylex_model).state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-4, msg=name)


@pytest.mark.slow
def test_a_mistake_that_all_processes_find_is_one_line_and_exit_code_2(tiny_root):
    ExperimentPaths(tiny_root, "tiny").classifier.model.unlink()
    code, said = finish(python(*STARTS["--processes"], cwd=tiny_root))
    assert code == 2
    assert said.startswith("error: results/experiments/tiny/classifier/model.safetensors does not exist")
    assert said.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds the processes in /proc")
def test_a_process_that_is_killed_ends_the_others_and_is_named(tiny_root, experiment):
    long_training(tiny_root, experiment)
    paths = ExperimentPaths(tiny_root, "tiny")
    process, end = python(*STARTS["--processes"], cwd=tiny_root), time.monotonic() + PATIENCE
    while not list(paths.checkpoints.glob("*.pt")) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    os.kill(children(process)[1], signal.SIGKILL)
    code, said = finish(process)
    assert code == 128 + signal.SIGKILL
    assert said.endswith("process 2 of 2 was ended by SIGKILL\n")


CUDA = pytest.param(
    "cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
)


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_a_step_in_bfloat16_is_close_to_one_in_float32(tiny_root, experiment, device):
    terms = {}
    for precision in ("float32", "bfloat16"):
        configure(tiny_root, experiment, EVERYTHING | {"precision": {device: precision}}, LOSSES)
        run, state = prepare(tiny_root, "tiny", device, Processes())
        step = Step(state, run.config.stylex, run.judges, run.batches.next(state.random), run.processes)
        terms[precision] = {name: float(value) for name, value in step.run().items()}
        dumped = state.dump()
        state.restore(dumped)
        assert torch.equal(state.random.get_state(), dumped["random"])
        assert state.weights["synthesis"].vector.device.type == device
    assert terms["float32"].keys() == TERMS - {"classifier_noise"}  # the first step is one of the encoder
    assert terms["bfloat16"] == pytest.approx(terms["float32"], rel=0.06, abs=0.05)  # 5.2 % seen without AMX
