"""Copies of the project. In most, `python -m stylex` is a stand-in that writes the declared files at once.

Planning, parameters, code inputs and records are the real ones there; only the computing is left out.
"""

import copy
import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from stylex.artifacts import read_json

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "workflow", "profiles", "slurm", "config", "environment.yml", "stylex", "docs", "dvc.yaml")
INSTALLED = str(Path(sys.executable).parent)  # the folder of the commands of this environment
TWIN = "mnist-without-cst"
VERSIONED = (".dvc", ".dvcignore", ".gitignore")

# An experiment that goes through the whole chain in a minute.
TINY_BACKBONE = {"extends": "backbone-32", "epochs": 1, "max_images": 512}
TINY_ORACLE = {"extends": "oracle-32", "epochs": 1, "max_images": 512}
NETWORKS = {f"{name}_channels": [16, 16, 8, 8] for name in ("generator", "encoder", "discriminator")}
NETWORKS |= {"latent_dim": 16, "mapping_layers": 2}
INTERVALS = {"checkpoint_interval": 512, "sample_interval": 512}
TINY_EXPERIMENT = {
    "extends": "cpu-32",
    "title": "MNIST, 4 against 9, for a test",
    "domain": "MNIST 4 / 9 (tiny)",
    "dataset": {"name": "mnist", "classes": ["4", "9"]},
    "classifier": {"epochs": 3, "batch_size": 32, "min_accuracy": 0.8},
    "stylex": {
        "perceptual_backbone": "tiny",
        "networks": NETWORKS,
        "training": {"images": 1024, "autoencoder_images": 512, "ema_half_life": 64} | INTERVALS,
    },
    "attfind": {"images": 24, "max_attributes": 3, "threshold": 0.0},
    "evaluation": {
        "sufficiency_k": [1, 3],
        "frechet_attributes": 1,
        "figure_attributes": 2,
        "ganalyze": {"steps": 20},
        "oracle": "tiny",
        "counterfactual_searches": 2,
        "baselines": {"latent_steps": 3, "ganalyze_steps": 3, "pixel_levels": 8},
    },
    "study": {"attributes": 2, "observer_draws": 4},
}


class Project:
    """A project folder and the commands a user runs in it; `snakemake` and `dvc` are preloaded (tests/preloaded.py)."""

    preloaded: Path

    def __init__(self, root: Path) -> None:
        self.root = root
        search = os.pathsep.join([str(self.preloaded), INSTALLED, os.environ["PATH"]])
        who = {f"GIT_{role}_{key}": "tester@localhost" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
        alone = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "DVC_NO_ANALYTICS": "1"}
        compiled = {"PYTHONDONTWRITEBYTECODE": ""}  # many processes run the same files
        self.environment = os.environ | {"PATH": search} | who | alone | compiled

    def with_installed_commands(self) -> "Project":
        """Have `snakemake` and `dvc` start as a user's do, where that is what is tested."""
        self.environment["PATH"] = f"{INSTALLED}{os.pathsep}{os.environ['PATH']}"
        return self

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=500, check=False
        )

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Run an installed command beside the test, and no longer than that; what it says goes into the file `said`."""
        bound = ("setpriv", "--pdeathsig", "TERM", *command)
        # A fork of the preloaded process has its name, and a driver is known by its command line.
        environment = self.environment | {"PATH": f"{INSTALLED}{os.pathsep}{self.environment['PATH']}"}
        with (self.root / "said").open("w") as file:
            return subprocess.Popen(
                bound, cwd=self.root, env=environment, stdout=file, stderr=subprocess.STDOUT, text=True
            )

    def said(self) -> str:
        """What the command that was started last has said."""
        return (self.root / "said").read_text()

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("snakemake", "--cores", "2", *arguments)

    def compute(self, *arguments: str) -> None:
        """Run a Snakemake that must succeed."""
        self.done("snakemake", "--cores", "2", *arguments)

    def done(self, *command: str) -> str:
        """Run a command that must succeed; return what it printed."""
        result = self.run(*command)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def commit(self, message: str) -> None:
        """Commit everything that git does not ignore."""
        self.done("git", "add", "--all")
        self.done("git", "commit", "--quiet", "--message", message)

    def clone_to(self, target: Path) -> "Project":
        """Return what `git clone` makes of this repository."""
        self.done("git", "clone", "--quiet", str(self.root), str(target))
        return Project(target)

    def under_git(self) -> "Project":
        """Make a repository of the project; what a run leaves here for the tests is ignored."""
        copy_parts(self.root, VERSIONED)
        with (self.root / ".gitignore").open("a") as file:
            file.write("/verbs.log\n/writes.log\n")
        self.done("git", "init", "--quiet")
        self.commit("Project")
        return self

    def planned(self, *arguments: str) -> dict[str, int]:
        """Count the jobs of each rule that `snakemake -n` would run."""
        result = self.snakemake("-n", *arguments)
        assert result.returncode == 0, result.stderr
        said = result.stdout + result.stderr
        rows = [line.split() for line in said.partition("Job stats:\n")[2].partition("\n\n")[0].splitlines()[2:]]
        assert rows or "Nothing to be done" in said
        return {rule: int(count) for rule, count in rows if rule not in ("default", "total")}

    def assert_in_step(self) -> None:
        """Neither Snakemake nor DVC has anything to do, and neither computes to find out."""
        assert self.planned() == {}
        assert self.done("dvc", "status").strip() == "Data and pipelines are up to date."
        assert self.executed() == []

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
        dataset = {"dataset": experiment["dataset"]["name"]}
        networks = {"backbones": TINY_BACKBONE | dataset, "oracles": TINY_ORACLE | dataset}
        for kind, content in {**networks, "experiments": experiment, "suites": suite}.items():
            self.write_config(f"{kind}/tiny", content)
        self.write_config("config", {"suite": "tiny"})

    def read_config(self, name: str) -> dict[str, Any]:
        return yaml.safe_load((self.root / f"config/{name}.yaml").read_text())

    def write_config(self, name: str, content: dict[str, Any]) -> None:
        (self.root / f"config/{name}.yaml").write_text(yaml.safe_dump(content))


def copy_project(target: Path) -> Project:
    copy_parts(target, PARTS)
    return Project(target)


def with_twin(project: Project) -> Project:
    """Add the twin of MNIST without classifier-specific training to the demo suite, over which DVC iterates.

    Both are measured by both protocols, so that there is a job of each rule.
    """
    project.edit("config/experiments/mnist.yaml", "protocols: [held_out]", "protocols: [held_out, same_images]")
    project.edit("config/suites/demo.yaml", "  - mnist\n", f"  - mnist\n  - {TWIN}\n")
    return project


def copy_parts(target: Path, parts: tuple[str, ...]) -> None:
    for part in parts:
        source = ROOT / part
        if source.is_symlink() or source.is_file():
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / part, follow_symlinks=False)
        else:
            ignore = shutil.ignore_patterns("__pycache__", "tmp", "cache", "config.local")
            shutil.copytree(source, target / part, symlinks=True, ignore=ignore)


@pytest.fixture(scope="session", autouse=True)
def commands(preloaded) -> None:
    Project.preloaded = preloaded


@pytest.fixture(scope="module")
def computing(tmp_path_factory) -> Project:
    """A project with the real package and commands: its verbs compute. Shared by the tests of a file."""
    return copy_project(tmp_path_factory.mktemp("computing") / "project").with_installed_commands()


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
    """A project whose demo suite, with a twin, is complete; shared, so copy it before changing anything."""
    project = with_twin(with_stand_in(copy_project(tmp_path_factory.mktemp("built") / "project")))
    project.compute()
    return project


@pytest.fixture
def built(built_once, tmp_path) -> Project:
    """A project of its own whose demo suite, with a twin, is complete."""
    shutil.copytree(built_once.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def with_stand_in(project: Project) -> Project:
    shutil.copy(Path(__file__).parent / "stand_in.py", project.root / "stylex" / "__main__.py")
    return project


class Recorded(NamedTuple):
    """A repository after `dvc repro`, what Snakemake had planned before, and the verbs that ran."""

    project: Project
    planned: dict[str, int]
    executed: list[str]


@pytest.fixture
def unrecorded(tmp_path) -> Project:
    """A git repository with MNIST and its twin, in which nothing has run."""
    return repository(tmp_path / "project")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory) -> Recorded:
    """The same after `dvc repro`, committed and pushed to a folder; shared, so clone it before changing anything."""
    folder = tmp_path_factory.mktemp("recorded")
    project = repository(folder / "project")
    project.done("dvc", "remote", "add", "--default", "store", str(folder / "store"))
    planned = project.planned()
    project.done("dvc", "repro")
    executed = project.executed()
    project.commit("Results")
    project.done("dvc", "push")
    return Recorded(project, planned, executed)


@pytest.fixture
def clone(recorded, tmp_path) -> Project:
    """What a colleague has after `git clone` and `dvc pull`."""
    project = recorded.project.clone_to(tmp_path / "clone")
    project.done("dvc", "pull")
    return project


def repository(target: Path) -> Project:
    """Make a repository with MNIST and its twin without classifier-specific training, and a stand-in for the verbs."""
    project = with_twin(with_stand_in(copy_project(target)))
    for name in ("config/suites/demo.yaml", "dvc.yaml"):
        lines = (target / name).read_text().splitlines(keepends=True)
        (target / name).write_text("".join(line for line in lines if "fashion" not in line))
    return project.under_git()


class Rule(NamedTuple):
    """A verb, as the command line has it, and the code that the rule declares: modules, and what it leaves out."""

    verb: str
    modules: tuple[str, ...]
    without: tuple[str, ...]


RULES = """
import json, sys
sys.path.insert(0, "")
from types import SimpleNamespace
from stylex import source
source.code_digest = lambda *modules, without=(): json.dumps([modules, without])
include: "{root}/Snakefile"
told = {{
    f"{{each.name}} {{dataset}}".strip(): [
        dict(each.params.items()).get("verb") or each.shellcmd.split("stylex ")[1].split(" {{")[0],
        each.params.code(SimpleNamespace(dataset=dataset)),
    ]
    for each in workflow.rules
    for dataset in (["mnist", "leaves", "cub-200-2011"] if each.name == "prepare" else [""])
    if each.shellcmd
}}
Path("{target}").write_text(json.dumps(told))
"""


@pytest.fixture(scope="session")
def rules(standing_in, tmp_path_factory) -> dict[str, Rule]:
    """All rules that run a verb, by name; those of `prepare` with the name of a dataset behind it."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "Snakefile").write_text(RULES.format(root=standing_in.root, target=folder / "rules.json"))
    standing_in.done("snakemake", "--list-rules", "--snakefile", str(folder / "Snakefile"))
    told = read_json(folder / "rules.json")
    declared = {name: (verb, *json.loads(code)) for name, (verb, code) in told.items()}
    return {name: Rule(verb, tuple(modules), tuple(without)) for name, (verb, modules, without) in declared.items()}
