"""`stylex plan`: counted on tensors without values, it is what a real step takes."""

import re
from pathlib import Path

import pytest
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stylex.cli import main
from stylex.config import load_experiment
from stylex.training.footprint import Footprint
from stylex.training.plan import PEAKS, SHARE, plan
from stylex.training.state import initial_state

ROOT = Path(__file__).parents[2]
PAPER = {
    "losses": {"path_length": 2.0, "path_length_interval": 4, "r1_gamma": 1.0, "r1_interval": 8},
    "training": {"acceleration": {"fused_adam": False}, "cache_mib": 0},
}


def test_memory_and_operations_are_those_of_real_steps(trained_root, setting, experiment):
    """Of a period of 8 steps with R1 and path lengths; the frozen networks of both are alike."""
    experiment(trained_root, PAPER["training"], PAPER["losses"])
    found = plan(trained_root, load_experiment(trained_root, "tiny"), 1, "h100")
    tiny = setting(**PAPER)
    with Footprint() as real:
        state = initial_state(tiny.config, 32, 1, 2, 0, "cpu")
        assert real.now == pytest.approx(found.state, rel=0.01)
        tiny.state, before = state, real.now
        real.peak, real.operations = before, 0
        for _ in range(8):
            tiny.step().run()
    assert found.operations == pytest.approx(real.operations / (8 * 8), rel=0.02)
    frozen = (tiny.frozen.classifier, tiny.frozen.backbone)  # there before anything was counted
    there = sum(values.nbytes for network in frozen for values in network.state_dict().values())
    assert found.peak == pytest.approx(real.peak + there, rel=0.02)
    assert found.parameters == {
        name: sum(p.numel() for p in getattr(state.networks, name).parameters()) for name in found.parameters
    }
    peak = PEAKS["h100"][found.precision == "bfloat16"]
    assert found.seconds == pytest.approx(96 * found.operations / (SHARE * peak))


def test_a_share_of_the_batch_and_recomputing_take_less_memory():
    config = load_experiment(ROOT, "ffhq-age-256")
    whole, shared = (plan(ROOT, config, processes, "h100") for processes in (1, 8))
    assert shared.state == whole.state and shared.share == 8
    assert shared.operations == pytest.approx(whole.operations, rel=0.01)
    assert shared.peak - shared.state < 0.2 * (whole.peak - whole.state)
    training = config.stylex.training
    acceleration = training.acceleration.model_copy(update={"recompute": True})
    stylex = config.stylex.model_copy(update={"training": training.model_copy(update={"acceleration": acceleration})})
    again = plan(ROOT, config.model_copy(update={"stylex": stylex}), 8, "h100")
    assert again.peak < 0.9 * shared.peak and again.operations > 1.1 * shared.operations


def planned(capsys, *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["plan", *arguments])
    assert not caught.value.code
    return capsys.readouterr().out


def test_the_verb_says_what_to_ask_for(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = planned(capsys, "ffhq-gender-64-model1", "--gpu", "a100")
    assert text.startswith("ffhq-gender-64-model1: 2,400,000 images, 1 x A100\n  parameters  encoder 14.3 M, mapping")
    assert re.search(r"GPU memory  \d\.\d GiB in each process \(16 images at a time", text)
    assert re.search(r"stages: \{train: \{minutes: \d+\}\}", text) and "(not measured)" in text
    suite = planned(capsys, "mnist", "--suite")
    assert suite.count(" images, 1 x H100\n") == 2 and suite.endswith(" GPU hours in all\n")
    assert planned(capsys, "mnist").startswith("mnist: 24,000 images")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mnist", "--gpu", "tpu"], "--gpu tpu: unknown; choose one of v100, a100, h100, h200"),
        (["mnist", "--processes", "3"], "--processes 3: stylex.training.batch_size 16 cannot be shared by 3"),
        (["nothing"], "unknown experiment 'nothing'"),
    ],
)
def test_a_mistake_is_one_line(capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(ROOT)
    assert main(["plan", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_released_models_have_nothing_to_plan(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["plan", "released-age"]) == 2
    assert "trains nothing" in capsys.readouterr().err


class Allocated(TorchDispatchMode):
    """Notes the largest storage (bytes) that an operation returns elsewhere than on `meta`, and how many are there."""

    def __init__(self):
        super().__init__()
        self.largest, self.on_meta = 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        returned = func(*args, **(kwargs or {}))
        for each in tree_leaves(returned):
            if isinstance(each, Tensor):
                self.on_meta += each.is_meta
                self.largest = max(self.largest, 0 if each.is_meta else each.untyped_storage().nbytes())
        return returned


def test_nothing_is_allocated():
    """But numbers by the sample or the layer: the smallest network has more weights, and so has a batch of images."""
    with Allocated() as seen:
        found = plan(ROOT, load_experiment(ROOT, "ffhq-age-256"), 1, "h100")
    assert seen.on_meta > 10_000 and found.state > 1 << 30
    assert seen.largest <= 1024
