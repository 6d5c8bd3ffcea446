"""The exported models that are committed."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

import stylex
from stylex.export import read_description

REPOSITORY = Path(__file__).parents[2]
MODELS = sorted(path.parent for path in (REPOSITORY / "models").glob("*/explainer.json"))


def test_both_models_are_there_and_small():
    assert [path.name for path in MODELS] == ["fashion-mnist", "mnist"]
    files = [path for path in (REPOSITORY / "models").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 5e6


@pytest.mark.parametrize("folder", MODELS, ids=lambda path: path.name)
def test_a_committed_model_turns_its_examples(folder):
    explainer, content = stylex.load(folder), read_description(folder)
    found = explainer.explain([folder / example.file for example in content.examples])
    assert len(found) == 8
    assert sum(each.flipped for each in found) >= 7
    assert sum(each.predicted == example.label for each, example in zip(found, content.examples, strict=True)) >= 7
    assert set(explainer.attributes["target_class"]) == set(explainer.class_names)


@pytest.mark.parametrize("folder", MODELS, ids=lambda path: path.name)
def test_one_image_is_explained_in_ten_seconds(folder, tmp_path):
    """Start-up included: the command of the README. Seconds of one core, as another test runs beside this one."""
    command = [sys.executable, "-m", "stylex", "explain", str(folder), str(folder / "examples/0.png")]
    start = seconds_of_children()
    subprocess.run([*command, "--device", "cpu"], cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "explanations/0.png").is_file()
    assert seconds_of_children() - start < 10


def seconds_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
