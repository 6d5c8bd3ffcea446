"""The catalog of figures: every entry is drawn by a function of an experiment, whose code the stage depends on."""

import inspect
import shutil
import subprocess
import sys

import pytest

from stylex import source
from stylex.figures.catalog import ANIMATION_NAMES, COPIES, FIGURE_NAMES, FIGURES, figure_files
from stylex.figures.make import MODULES, drawing
from stylex.source import code_digest


@pytest.mark.parametrize("name", FIGURE_NAMES)
def test_an_entry_names_a_function_of_an_experiment(name):
    function = drawing(name)
    assert list(inspect.signature(function).parameters) == ["experiment"]
    assert function.__module__ == f"stylex.figures.{FIGURES[name].draw.partition('.')[0]}"
    assert FIGURES[name].experiments in ("all", "with images", "trained")


def test_the_modules_are_those_of_the_catalog():
    assert MODULES.keys() == {entry.draw.partition(".")[0] for entry in FIGURES.values()}


@pytest.mark.parametrize("edited", [*(f"{name}.py" for name in MODULES), "animations.py", "catalog.yaml"])
def test_an_edit_of_what_draws_changes_the_digest_of_the_stage(edited, tmp_path, monkeypatch):
    caches = (source._tree, source._definitions, source._code, source._imports, source._content_digest)
    shutil.copytree(source.ROOT / "stylex", tmp_path / "stylex", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(source, "ROOT", tmp_path)
    before = code_digest("stylex.cli.figures")
    with (tmp_path / "stylex" / "figures" / edited).open("a") as file:
        file.write("changed: {}\n" if edited.endswith(".yaml") else "CHANGED = True\n")
    for cache in caches:
        cache.cache_clear()
    assert code_digest("stylex.cli.figures") != before


def test_names_are_of_files_that_differ_and_cost_nothing_to_import():
    files = figure_files()
    assert len(files) == len(set(files)) == 2 * len(FIGURE_NAMES) + 3 * len(ANIMATION_NAMES) + len(COPIES)
    heavy = "{'torch', 'matplotlib', 'pandas', 'pydantic'}"
    code = f"import sys, stylex.figures.catalog; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
