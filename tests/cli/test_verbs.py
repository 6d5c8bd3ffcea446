"""The verbs call the stages in the current folder; a mistake is one clear line on stderr and exit code 2."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from stylex import cli
from stylex.cli import VERBS, main
from stylex.cli.options import Device, select_device
from stylex.errors import DeviceError

REPOSITORY = Path(__file__).parents[2]
MNIST = "config/experiments/mnist.yaml"
SUITE = "config/suites/demo.yaml"

# file, old text, new text, what the line must name
MISTAKES = {
    "unknown key": (MNIST, "  training:", "  trainig:", ["stylex.trainig", "did you mean 'training'?"]),
    "wrong type": (MNIST, "title:", "seed: many\ntitle:", ["seed", "'many'", "integer"]),
    "impossible value": (MNIST, "attfind:", "attfind:\n  shift: -1", ["attfind.shift", "-1", "greater than 0"]),
    "unknown choice": (
        MNIST, "title:", "classifier: {architecture: resnet19}\ntitle:",
        ["classifier.architecture", "'resnet19'", "'resnet18'"],
    ),
    "one class": (MNIST, '["3", "5"]', '["3"]', ["dataset.classes", "['3']", "at least two"]),
    "unknown class": (MNIST, '["3", "5"]', '["3", "ten"]', ["dataset.classes", "'ten'"]),
    "unknown dataset": (MNIST, "  name: mnist", "  name: mnits", ["mnits", "mnist"]),
    "resolution": (MNIST, "  name: mnist", "  name: mnist\n  resolution: 33", ["resolution", "33", "power of two"]),
    "unknown preset": (MNIST, "extends: cpu-32", "extends: cpu-23", ["extends", "'cpu-23'", "did you mean 'cpu-32'?"]),
    "circle": ("config/presets/base.yaml", "seed: 0", "seed: 0\nextends: cpu-32", ["extends", "circle"]),
    "unknown backbone": (MNIST, "mnist-32", "mnist-23", ["perceptual_backbone", "'mnist-23'", "'mnist-32'"]),
    "backbone of another dataset": (MNIST, "mnist-32", "fashion-mnist-32", ["perceptual_backbone", "fashion_mnist"]),
    "unknown experiment": (SUITE, "- mnist", "- mnits", ["experiments", "'mnits'", "'mnist'"]),
    "unknown table": (SUITE, "- sufficiency", "- suficiency", ["tables", "'suficiency'", "'sufficiency'"]),
    "unknown suite": ("config/config.yaml", "suite: demo", "suite: dmeo", ["'dmeo'", "did you mean 'demo'?"]),
    "not YAML": (MNIST, "title:", "title: [", ["not valid YAML", "line"]),
}  # fmt: skip


@pytest.fixture
def here(root, monkeypatch) -> Path:
    monkeypatch.chdir(root)
    return root


def ended(*arguments: str) -> int:
    """Run the command line; return its exit code."""
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    return int(caught.value.code or 0)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_in_the_configuration(here, capsys, mistake):
    file, old, new, named = MISTAKES[mistake]
    text = (here / file).read_text()
    assert old in text
    (here / file).write_text(text.replace(old, new, 1))
    assert main(["validate"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.count("\n") == 1
    assert all(text in line for text in named)
    assert mistake in ("unknown suite", "circle") or file in line


@pytest.mark.parametrize(
    ("arguments", "begin"),
    [
        (["validate", "dmeo"], "error: unknown suite 'dmeo'; did you mean 'demo'? (looked in config/suites)\n"),
        (["trian", "mnist"], "Usage: "),
        (["train"], "Usage: "),
        (["prepare", "mnist", "--resolution", "big"], "Usage: "),
    ],
)
def test_whole_process_says_what_is_wrong_and_exits_with_2(root, arguments, begin):
    command, environment = [sys.executable, "-m", "stylex", *arguments], {"PYTHONPATH": str(REPOSITORY)}
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and result.stdout == "" and result.stderr.startswith(begin)
    assert "rror: " in result.stderr and "Traceback" not in result.stderr


def test_absent_device(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="--device cuda"):
        select_device(Device.CUDA, 1)
    assert select_device(Device.AUTO, 1) == "cpu"


def test_full_disk_outside_an_atomic_write(monkeypatch, capsys):
    def full(arguments):
        raise OSError(errno.ENOSPC, "No space left on device", "results/x")

    monkeypatch.setattr(cli, "app", full)
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("error: No space left on device: results/x")


def test_validate_says_what_the_suite_runs(here, capsys):
    assert ended("validate", "demo") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("suite demo: ")
    assert any(line.startswith("  mnist: mnist (3, 5), 32x32, ") for line in lines)


def test_datasets_and_schemas_are_written(here, capsys):
    assert ended("datasets") == ended("schemas") == 0
    assert "ankle-boot" in capsys.readouterr().out
    assert (here / "workflow/schemas/experiment.schema.json").is_file()


@pytest.mark.parametrize(("finished", "code"), [(True, 0), (False, 75)])
def test_unfinished_training_exits_with_75(monkeypatch, finished, code):
    import stylex.training

    calls = []
    monkeypatch.setattr(stylex.training, "train", lambda *arguments: calls.append(arguments) or finished)
    assert ended("train", "mnist", "--device", "cpu", "--time-limit", "1.5", "--tensorboard") == code
    assert calls[0][1:] == ("mnist", "cpu", 1.5, True, None)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, capsys):
    assert ended(verb, "--help") == 0
    assert VERBS[verb].__doc__.split()[0] in capsys.readouterr().out
