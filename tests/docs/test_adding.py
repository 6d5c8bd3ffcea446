"""docs/adding: each addition is a patch of at most three files, and its own test passes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PATCHES = sorted((REPOSITORY / "docs" / "adding").glob("*.patch"))
TESTS = "beginning_of_a_name or edges_are or every_class_is_drawn or margins_count or catalog or claims_are_complete"


def patched_files(patch: Path) -> list[str]:
    return [line.removeprefix("+++ b/") for line in patch.read_text().splitlines() if line.startswith("+++ ")]


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_an_addition_takes_three_files_one_of_which_is_a_test(patch):
    files = patched_files(patch)
    assert len(files) == 3 and sum(name.startswith("tests/") for name in files) == 1


@pytest.mark.slow
def test_the_additions_work(tmp_path):
    assert [patch.stem for patch in PATCHES] == ["claim", "figure", "layout", "loss"]
    for name in ("stylex", "tests", "config"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    for patch in PATCHES:
        subprocess.run(["git", "apply", "--unsafe-paths", f"--directory={tmp_path}", patch], cwd=tmp_path, check=True)
    files = [name for patch in PATCHES for name in patched_files(patch) if name.startswith("tests/")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", TESTS, *files]
    command.append("tests/figures/test_catalog.py")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.rsplit(" passed", 1)[0].split()[-1]) >= len(PATCHES)
