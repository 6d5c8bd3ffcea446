"""A mistake in the configuration or on the command line is one clear line on stderr and exit code 2."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from stylex import cli
from stylex.cli import main, options
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


def spoil(root: Path, mistake: str) -> tuple[str, list[str]]:
    file, old, new, named = MISTAKES[mistake]
    text = (root / file).read_text()
    assert old in text
    (root / file).write_text(text.replace(old, new, 1))
    return file, named


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_in_the_configuration(root, monkeypatch, capsys, mistake):
    file, named = spoil(root, mistake)
    monkeypatch.chdir(root)
    assert main(["validate"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.count("\n") == 1
    for text in named:
        assert text in line
    if mistake not in ("unknown suite", "circle"):
        assert file in line


def test_whole_process_prints_one_line_and_exits_with_2(root):
    _, named = spoil(root, "resolution")
    result = run(root, "validate")
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and all(text in result.stderr for text in named)


@pytest.mark.parametrize("arguments", [["trian", "mnist"], ["train"], ["prepare", "mnist", "--resolution", "big"]])
def test_wrong_usage_exits_with_2(root, arguments):
    result = run(root, *arguments)
    assert result.returncode == 2 and "Error: " in result.stderr and "Traceback" not in result.stderr


def test_absent_device(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="--device cuda"):
        options.select_device(options.Device.CUDA, 1)
    assert options.select_device(options.Device.AUTO, 1) == "cpu"


def test_full_disk_outside_an_atomic_write(monkeypatch, capsys):
    def full(arguments):
        raise OSError(errno.ENOSPC, "No space left on device", "results/x")

    monkeypatch.setattr(cli, "app", full)
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("error: No space left on device: results/x")


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stylex", *arguments]
    environment = {"PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=100, check=False)
