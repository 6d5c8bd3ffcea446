"""Options of `training.acceleration`, and bfloat16: what holds without them holds with each of them.

Digits of 8x8 pixels: to compile the generator takes the longer the more layers it has.
"""

import copy
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import yaml
from torch.utils._pytree import tree_leaves_with_path

from stylex.cli import main
from stylex.config import ExperimentPaths, backbone_paths
from stylex.datasets import prepare as prepare_images
from stylex.training.checkpoint import restore_checkpoint, save_checkpoint, training_key
from stylex.training.distributed import Processes
from stylex.training.run import prepare
from stylex.training.state import AVERAGED
from stylex.training.step import advance
from tests.builders import save_random_network
from tests.training.conftest import write_experiment

SIDE, STEPS, SAVED = 8, 6, 3
# With rates so small, rounding does not grow (test_distributed.py). R1 and path lengths at steps 0 and 4.
TRAINING = {
    "batch_size": 8, "learning_rate": 0.00002, "encoder_learning_rate": 0.00002, "beta1": 0.5, "ema_half_life": 16,
    "accumulation": 2,
}  # fmt: skip
LOSSES = {"path_length": 2.0, "path_length_interval": 4, "r1_interval": 4, "r1_gamma": 1.0}
NETWORKS = {f"{name}_channels": [4, 4] for name in ("generator", "encoder", "discriminator")}
DIGITS = {"dataset": {"name": "mnist", "classes": ["4", "9"], "resolution": SIDE}}
COMPILER = shutil.which(os.environ.get("CXX", "g++"))
COMPILED = (
    pytest.mark.slow,
    pytest.mark.skipif(COMPILER is None, reason="torch.compile needs a C++ compiler (g++)"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),  # of torch._dynamo itself
)
LOW = {"precision": {"cpu": "bfloat16"}}
# Largest relative difference of Adam's moments between divisions of a batch, or ways to compute it.
FLOAT32, BFLOAT16, COMPILED_BFLOAT16 = 1e-4, 0.02, 0.1


def case(name, *values, compiled=False):
    return pytest.param(*values, marks=COMPILED if compiled else (), id=name)


def accelerated(**options):
    return {"acceleration": options}


PLAIN = accelerated(fused_adam=False)
COMPILING = accelerated(compile=True)
WAYS = [
    case("plain", PLAIN, FLOAT32),
    case("fused Adam", accelerated(fused_adam=True), FLOAT32),
    case("bfloat16", LOW, BFLOAT16),
    case("compiled", COMPILING, FLOAT32, compiled=True),
    case("compiled in bfloat16", LOW | COMPILING, COMPILED_BFLOAT16, compiled=True),
]
CHANGES = [
    case("to fused Adam", PLAIN, accelerated(fused_adam=True)),
    case("from fused Adam", accelerated(fused_adam=True), PLAIN),
    case("to readers and recompute", PLAIN, accelerated(readers=2, recompute=True)),
    case("from readers and recompute", accelerated(readers=2, recompute=True), PLAIN),
    case("to one part", PLAIN, PLAIN | {"accumulation": 1}),
    case("to compiled", PLAIN, COMPILING, compiled=True),
    case("from compiled", COMPILING, PLAIN, compiled=True),
]


class Taken(NamedTuple):
    """A training after its steps."""

    state: dict[str, Any]  # as `TrainingState.dump` gives it
    averages: dict[str, torch.Tensor]  # what they should be, by the weights after each step
    saved: Path  # the checkpoint after `SAVED` steps


@pytest.fixture(scope="module")
def project(mnist_root, tmp_path_factory):
    """A project with real digits and random networks, whose compiled code lies in a folder of its own."""
    root = tmp_path_factory.mktemp("acceleration") / "project"
    shutil.copytree(mnist_root, root)
    prepare_images(root, "mnist", SIDE)
    backbone = yaml.safe_load((root / "config/backbones/mnist-32.yaml").read_text()) | {"resolution": SIDE}
    (root / "config/backbones/tiny.yaml").write_text(yaml.safe_dump(backbone))
    save_random_network(ExperimentPaths(root, "tiny").classifier.model, "classifier", ("4", "9"), resolution=SIDE)
    save_random_network(backbone_paths(root, "tiny").model, "backbone", "0123456789", seed=1, resolution=SIDE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(root.parent / "compiled"))
        yield root


def opened(root, training):
    """The training at step 0; what was compiled is at hand on the disk alone, as in a new process."""
    if training.get("acceleration", {}).get("compile"):
        torch.compiler.reset()
    write_experiment(root, TRAINING | training, LOSSES, NETWORKS, **DIGITS)
    return prepare(root, "tiny", "cpu", Processes())


def resumed(root, training, saved):
    """The training from a checkpoint."""
    run, state = opened(root, training)
    take(run, state, 1)  # nothing of what was there may shine through
    shutil.rmtree(run.paths.checkpoints, ignore_errors=True)
    run.paths.checkpoints.mkdir(parents=True)
    shutil.copy(saved, run.paths.checkpoints)
    assert restore_checkpoint(run, state) == saved.name
    assert_same(state.dump(), torch.load(saved, weights_only=True)["state"])
    return run, state


def take(run, state, steps):
    """Take steps; return what the averages should be then."""
    averages = {name: state.averages[name].vector.detach().clone() for name in AVERAGED}
    weight = 1 - 0.5 ** (TRAINING["batch_size"] / TRAINING["ema_half_life"])
    for _ in range(steps):
        advance(state, run.config.stylex, run.frozen, run.sampler, run.processes)
        for name, average in averages.items():
            average.lerp_(state.weights[name].vector.detach(), weight)
    return averages


@pytest.fixture(scope="module")
def taken(project):
    """A function that takes all steps of a training; the same training only once."""
    known = {}

    def taken(training):
        key = yaml.safe_dump(training)
        if key not in known:
            run, state = opened(project, training)
            shutil.rmtree(run.paths.checkpoints, ignore_errors=True)
            take(run, state, SAVED)
            save_checkpoint(run, state)
            (file,) = run.paths.checkpoints.glob("*.pt")
            kept = project.parent / str(len(known))
            kept.mkdir()
            saved = Path(shutil.copy(file, kept))
            averages = take(run, state, STEPS - SAVED)
            known[key] = Taken(copy.deepcopy(state.dump()), averages, saved)
        return known[key]

    return taken


def assert_same(ours, theirs):
    """Compare the tensors of two states bit for bit."""
    ours, theirs = tensors(ours), tensors(theirs)
    assert ours.keys() == theirs.keys()
    assert not [name for name, value in ours.items() if not torch.equal(value, theirs[name])]


def tensors(state):
    """All tensors of a dumped state by their place: weights, averages, moments, noise, random state; counters, too."""
    leaves = {f"counters.{name}": torch.tensor(value) for name, value in state["counters"].items()}
    return leaves | {str(where): value for where, value in tree_leaves_with_path(state) if torch.is_tensor(value)}


def distance(ours, theirs):
    """The largest relative difference of Adam's moments, which are many and know the scale of the gradients."""
    found = []
    for optimizer in ("generator_optimizer", "discriminator_optimizer"):
        for number, moments in theirs[optimizer]["state"].items():
            for name in ("exp_avg", "exp_avg_sq"):
                difference = ours[optimizer]["state"][number][name] - moments[name]
                found.append(float(difference.norm() / moments[name].norm()))
    assert len(found) == 8
    return max(found)


@pytest.mark.parametrize(("training", "tolerance"), WAYS)
def test_a_batch_in_two_parts_gives_the_same_weights(taken, training, tolerance):
    """As a whole one by the plain step, which is the textbook's (test_step.py), and by the same step."""
    divided = taken(training).state
    references = [{**training, **PLAIN}]
    if tolerance != COMPILED_BFLOAT16:  # to compile takes long
        references.append(training)
    for reference in references:
        whole = taken(reference | {"accumulation": 1}).state
        assert distance(divided, whole) < tolerance
        if tolerance == FLOAT32:
            for name, weights in whole["weights"].items():
                torch.testing.assert_close(divided["weights"][name], weights, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("training", "tolerance"), WAYS)
def test_averages_are_those_of_the_weights_of_each_step(taken, training, tolerance):
    state, expected, _ = taken(training)
    for name, average in expected.items():
        assert torch.equal(state["averages"][name], average)
        assert (average - state["weights"][name]).abs().max() > TRAINING["learning_rate"] / 2


@pytest.mark.parametrize(("training", "tolerance"), WAYS)
def test_the_same_training_gives_the_same_weights(taken, project, training, tolerance):
    run, state = opened(project, training)
    torch.manual_seed(7)  # which has no say in it
    take(run, state, STEPS)
    assert_same(state.dump(), taken(training).state)


@pytest.mark.parametrize(("training", "tolerance"), WAYS)
def test_a_training_goes_on_from_its_checkpoint_bit_for_bit(taken, project, training, tolerance):
    expected = taken(training)
    run, state = resumed(project, training, expected.saved)
    take(run, state, STEPS - SAVED)
    assert_same(state.dump(), expected.state)


@pytest.mark.parametrize(("before", "after"), CHANGES)
def test_options_may_change_within_a_training(taken, project, before, after):
    expected = taken(before)
    run, state = resumed(project, after, expected.saved)
    take(run, state, STEPS - SAVED)
    assert distance(state.dump(), expected.state) < FLOAT32
    assert not torch.equal(state.dump()["random"], torch.load(expected.saved, weights_only=True)["state"]["random"])


def test_tf32_is_of_gpus_alone_and_decides_weights_there(taken, project):
    keys = {}
    for tf32 in (True, False):  # the last one leaves it off
        run, state = opened(project, accelerated(fused_adam=False, tf32=tf32))
        assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is tf32
        keys[tf32] = [training_key(run.config, run.paths, device) for device in ("cpu", "cuda:0")]
        if tf32:
            take(run, state, STEPS)
            with_tf32 = state.dump()
    assert_same(with_tf32, taken(PLAIN).state)
    assert keys[True][0] == keys[False][0] and keys[True][1] != keys[False][1]


@pytest.mark.parametrize(
    ("options", "compiler", "message"),
    [
        (
            {"compile": True, "cuda_graphs": True},
            None,
            "stylex.training.acceleration.cuda_graphs: true needs a GPU, and this training runs on a CPU: set it to"
            " false",
        ),
        ({"cuda_graphs": True}, None, "cuda_graphs records what compile makes: set compile: true, or"),
        (
            {"compile": True},
            "no-such-compiler",
            "stylex.training.acceleration.compile: true needs a C++ compiler on a CPU: install g++ or set it to false",
        ),
    ],
)
def test_what_this_machine_cannot_do_is_one_line(project, monkeypatch, capsys, options, compiler, message):
    if compiler is None:
        monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    else:
        monkeypatch.setenv("CXX", compiler)
    write_experiment(project, TRAINING | accelerated(**options), LOSSES, NETWORKS, **DIGITS)
    before = sorted(project.rglob("*"))
    monkeypatch.chdir(project)
    assert main(["train", "tiny", "--device", "cpu"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert message in line
    assert [path for path in sorted(project.rglob("*")) if path not in before and path.suffix == ".pt"] == []
