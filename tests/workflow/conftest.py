"""Copies of the project. In most, `python -m stylex` is a stand-in that writes the declared files at once.

Planning, parameters, code inputs and records are the real ones there; only the computing is left out.
"""

import copy
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "workflow", "profiles", "slurm", "config", "environment.yml", "stylex", "dvc.yaml", ".dvcignore")

# An experiment that goes through the whole chain in a minute.
TINY_BACKBONE = {"extends": "backbone-32", "dataset": "mnist", "epochs": 1, "max_images": 512}
TINY_EXPERIMENT = {
    "extends": "cpu-32",
    "title": "MNIST, 4 against 9, for a test",
    "domain": "MNIST 4 / 9 (tiny)",
    "dataset": {"name": "mnist", "classes": ["4", "9"]},
    "classifier": {"epochs": 3, "batch_size": 32, "min_accuracy": 0.8},
    "stylex": {
        "perceptual_backbone": "tiny",
        "networks": {
            "latent_dim": 16,
            "mapping_layers": 2,
            "generator_channels": [16, 16, 8, 8],
            "encoder_channels": [16, 16, 8, 8],
            "discriminator_channels": [16, 16, 8, 8],
        },
        "training": {"images": 1024, "ema_half_life": 64, "checkpoint_interval": 512, "sample_interval": 512},
    },
    "attfind": {"images": 24, "max_attributes": 3, "threshold": 0.0},
    "evaluation": {"sufficiency_k": [1, 3], "frechet_attributes": 1, "figure_attributes": 2, "ganalyze": {"steps": 20}},
    "study": {"attributes": 2, "observer_draws": 4},
}


class Project:
    """A project folder and the commands a user runs in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=500, check=False
        )

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Run a command beside the test, and no longer than that; what it says goes into the file `said`."""
        bound = ("setpriv", "--pdeathsig", "TERM", *command)
        with (self.root / "said").open("w") as file:
            return subprocess.Popen(
                bound, cwd=self.root, env=self.environment, stdout=file, stderr=subprocess.STDOUT, text=True
            )

    def said(self) -> str:
        """What the command that was started last has said."""
        return (self.root / "said").read_text()

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("snakemake", "--cores", "2", *arguments)

    def planned(self, *arguments: str) -> dict[str, int]:
        """Count the jobs of each rule that `snakemake -n` would run."""
        result = self.snakemake("-n", *arguments)
        assert result.returncode == 0, result.stderr
        if "Nothing to be done" in result.stdout + result.stderr:
            return {}
        lines = (result.stdout + result.stderr).split("Job stats:")[-1].splitlines()
        rows = [line.split() for line in lines[3:]]
        counts = {row[0]: int(row[1]) for row in rows[: rows.index([])] if len(row) == 2}
        return {rule: count for rule, count in counts.items() if rule not in ("default", "total")}

    def executed(self) -> list[str]:
        """Return the verbs run since the last call, sorted."""
        log = self.root / "verbs.log"
        verbs = sorted(log.read_text().split()) if log.is_file() else []
        log.unlink(missing_ok=True)
        return verbs

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))

    def configure_tiny(self, suite: dict[str, Any], changes: dict[str, Any] | None = None) -> None:
        """Make a suite of the tiny experiment the default; `changes`: values of its keys, by dotted name."""
        experiment = copy.deepcopy(TINY_EXPERIMENT)
        for name, value in (changes or {}).items():
            *sections, key = name.split(".")
            functools.reduce(dict.__getitem__, sections, experiment)[key] = value
        for kind, content in {"backbones": TINY_BACKBONE, "experiments": experiment, "suites": suite}.items():
            (self.root / "config" / kind / "tiny.yaml").write_text(yaml.safe_dump(content))
        (self.root / "config/config.yaml").write_text("suite: tiny\n")


def copy_project(target: Path) -> Project:
    for part in PARTS:
        source = ROOT / part
        if source.is_symlink() or source.is_file():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / part, follow_symlinks=False)
        else:
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target / part, symlinks=True, ignore=ignore)
    return Project(target)


@pytest.fixture(scope="module")
def computing(tmp_path_factory) -> Project:
    """A project with the real package: its verbs compute. Shared by the tests of a file."""
    return copy_project(tmp_path_factory.mktemp("computing") / "project")


@pytest.fixture(scope="session")
def standing_in(tmp_path_factory) -> Project:
    """A project in which nothing has run. Shared by all tests that ask for it."""
    return with_stand_in(copy_project(tmp_path_factory.mktemp("standing_in") / "project"))


@pytest.fixture
def virgin(tmp_path) -> Project:
    """A project in which nothing has run."""
    return with_stand_in(copy_project(tmp_path / "project"))


@pytest.fixture(scope="session")
def built_once(tmp_path_factory) -> Project:
    """A project whose demo suite is complete; shared, so copy it before changing anything."""
    project = with_stand_in(copy_project(tmp_path_factory.mktemp("built") / "project"))
    result = project.snakemake()
    assert result.returncode == 0, result.stderr
    return project


@pytest.fixture
def built(built_once, tmp_path) -> Project:
    """A project of its own whose demo suite is complete."""
    shutil.copytree(built_once.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def with_stand_in(project: Project) -> Project:
    shutil.copy(Path(__file__).parent / "stand_in.py", project.root / "stylex" / "__main__.py")
    return project
