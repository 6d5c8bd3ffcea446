"""The list of what waits for the device is whole, and nothing in it is out of date."""

import ast

import pytest

from tests.devices import waits
from tests.devices.simulated import PACKAGE

CALLS = ("cpu", "item", "numpy")


def calls(path):
    """Yield the function or method of each call of `CALLS` in a file."""

    def visit(node, names):
        for child in ast.iter_child_nodes(node):
            inside = isinstance(child, ast.FunctionDef | ast.ClassDef)
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute) and child.func.attr in CALLS:
                yield f"{path.relative_to(PACKAGE)}:{'.'.join(names)}"
            yield from visit(child, [*names, child.name] if inside else names)

    yield from visit(ast.parse(path.read_text()), [])


@pytest.fixture(scope="module")
def called():
    files = [
        file for name in waits.HOT for file in ([PACKAGE / name] if "." in name else (PACKAGE / name).rglob("*.py"))
    ]
    return {place for file in files for place in calls(file)}


@pytest.fixture(scope="module")
def counted():
    steps = (waits.STEP, waits.MIXED, waits.BATCH, waits.EPOCH, waits.VALIDATION, waits.TRAINING, waits.CLASSIFIER)
    return {waits.function(place) for table in (*steps, *waits.STAGES.values()) for place, _ in table}


def test_each_call_in_the_hot_code_has_its_reason(called):
    assert "training/sampler.py:BatchSampler.next" in called  # so the search finds some
    assert not called - waits.REASONS.keys()


def test_each_count_has_its_reason_and_each_reason_its_place(called, counted):
    assert waits.REASONS.keys() == called | counted


def test_a_step_computes_without_any(called):
    assert not [place for place in called if place.startswith(("training/step", "training/losses", "training/state"))]
