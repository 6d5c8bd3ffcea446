"""Every command of the README and of docs/ runs here or is accepted by its program, and what the pages name exists."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer
import yaml
from dvc.cli import parse_args

from stylex.cli import app
from stylex.config import load_experiment
from stylex.config.loading import parse_overrides
from stylex.pretrained import WEIGHTS
from stylex.project import load_project

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
EXPERIMENT_PAGE = ROOT / "docs/own-experiment.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PARTS = (
    "Snakefile", "workflow", "profiles", "slurm", "config", "environment.yml", "stylex", "Makefile", "pyproject.toml",
    "requirements.lock",
)  # fmt: skip

OPTIONAL = {
    "weights",
    "merge",
    "convert_released",
    "import_classifier",
}  # rules for what none of the demo's experiments asks for

# Rules that are made in loops; those of workflow/stages.yaml besides.
LOOPED = {"attributes", "baseline", "classifier", "backbone", "oracle", "regressor", "figures"}

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONFIG_FILE = re.compile(r"^`(config/\w+/[\w.-]+\.yaml)`:\n\n```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r'\]\(([^)\s]+)\)|<img\s[^>]*?src="([^"]+)"')
TEST_NAME = re.compile(r"(tests/[\w/]+\.py)::(test_\w+)")
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/<>*}-])/\w[\w./-]*")


@dataclass(frozen=True)
class Copy:
    """A copy of the project, with the example of docs/own-experiment.md in its configuration."""

    root: Path
    preloaded: Path

    def run(self, *command: str) -> str:
        """Run a command as in an activated environment; return what it printed. It must succeed."""
        search = os.pathsep.join([str(self.preloaded), str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = os.environ | {"PATH": search}
        result = subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=100, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


def makes(copy: Copy, *targets: str) -> None:
    """The Makefile has the targets: it installs the pinned versions, and its programs accept what it runs."""
    installing, _, running = copy.run("make", "--dry-run", *targets).partition("touch .venv/.installed\n")
    assert ".venv/bin/pip install --quiet -r requirements.lock" in installing
    found = re.findall(r"\.venv/bin/(?:python -m )?(stylex|snakemake|pytest) ([^|>;\n\\]*)", running)
    assert found or targets == (".venv/.installed",)
    for program, words in found:
        if program != "pytest":
            accepted(copy, [program, *words.removesuffix(" 2").split()])


def activates(copy: Copy) -> None:
    """The environment is where the Makefile makes it, and such a one can be activated."""
    (made,) = re.findall(r"^\S+ -m venv (\S+)$", copy.run("make", "--dry-run", ".venv/.installed"), re.MULTILINE)
    copy.run(sys.executable, "-m", "venv", "--without-pip", made)
    assert copy.run("bash", "-c", "source .venv/bin/activate && command -v python").endswith("/.venv/bin/python\n")
    shutil.rmtree(copy.root / made)


def copies_the_site(copy: Copy) -> None:
    """The example is a site file that validates as it is."""
    copy.run("cp", "config/site.example.yaml", "config/site.yaml")
    copy.run(sys.executable, "-m", "stylex", "validate")
    (copy.root / "config/site.yaml").unlink()


def installs_tensorflow(copy: Copy) -> None:
    """Continuous integration makes the environment of the documentation, in which a test compares the conversion."""
    shown = [line for line in commands(ROOT / "docs/released-model.md") if line.startswith((".venv-t", "python3"))]
    assert [line.replace("python3.11 ", "").replace(" install ", " install --quiet ") for line in shown] == [
        *re.findall(r"-m venv \.venv-tensorflow", CI),
        *re.findall(r"\.venv-tensorflow/bin/pip install \S+ tensorflow-cpu==\S+ safetensors", CI),
    ]


def prints(*arguments: str, text: str) -> Callable[[Copy], None]:
    """What pyproject.toml makes the console script `stylex` prints `text`."""

    def check(copy: Copy) -> None:
        scripts = tomllib.loads((copy.root / "pyproject.toml").read_text())["project"]["scripts"]
        module, _, function = scripts["stylex"].partition(":")
        script = f"import sys; from {module} import {function}; sys.exit({function}())"
        assert text in copy.run(sys.executable, "-c", script, *arguments)

    return check


CI = (ROOT / ".ci/run").read_text()
# The commands that are run here; `accepted` looks at the arguments of all others.
CHECKS: dict[str, Callable[[Copy], None]] = {
    "source .venv/bin/activate": activates,
    "cp config/site.example.yaml config/site.yaml": copies_the_site,
    "cat results/demo/tables/sufficiency.md": lambda copy: accepted(
        copy, ["snakemake", "--cores", "2", "results/demo/tables/sufficiency.md"]
    ),
    "stylex --help": prints("--help", text="Commands:"),
    "stylex keys r1_gamma": prints("keys", "r1_gamma", text="R1 penalty"),
    "stylex validate": prints("validate", text="suite demo"),
    "stylex validate clothes": prints("validate", "clothes", text="trouser-dress: fashion_mnist (trouser, dress)"),
    "python3.11 -m venv .venv-tensorflow": installs_tensorflow,
    ".venv-tensorflow/bin/pip install tensorflow-cpu==2.15.1 safetensors": installs_tensorflow,
}


def accepted(copy: Copy, words: list[str]) -> None:
    """The program takes these arguments, and the experiments and weights that they name are there."""
    match words:
        case ["make", *targets]:
            makes(copy, *targets)
        case ["snakemake", *arguments]:
            copy.run("snakemake", *arguments, "--dry-run")
        case ["dvc", *arguments]:
            parse_args(arguments)
        case ["stylex", *arguments]:
            values = parsed(typer.main.get_command(app), arguments)
            experiment = values.get("experiment")
            assert experiment in (None, "NAME") or (copy.root / f"config/experiments/{experiment}.yaml").is_file()
            assert arguments[0] != "weights" or values["name"] in WEIGHTS
        case ["git", "add" | "commit" | "clone" | "checkout", *_]:
            pass
        case _:
            pytest.fail(f"say in CHECKS how `{shlex.join(words)}` is tested")


def parsed(command: Any, arguments: list[str]) -> dict[str, Any]:
    """The values of the parameters of a verb, or of one of a group; an error of usage is raised."""
    if verbs := getattr(command, "commands", None):
        while arguments[0] == "--set":
            json.loads(parse_overrides([arguments[1]]))
            arguments = arguments[2:]
        return parsed(verbs[arguments[0]], arguments[1:])
    return command.make_context(command.name, list(arguments)).params


def commands(page: Path) -> list[str]:
    """The lines of the page's `sh` blocks."""
    return [line for kind, text in FENCE.findall(page.read_text()) if kind == "sh" for line in text.splitlines()]


def stages() -> set[str]:
    """The rules that the demo has."""
    texts = [path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")]
    written = {name for text in texts for name in re.findall(r"^rule (\w+):", text, re.MULTILINE)}
    return (written | LOOPED | set(yaml.safe_load((ROOT / "workflow/stages.yaml").read_text())["measures"])) - OPTIONAL


def write_example(root: Path) -> list[str]:
    """Write the configuration files that docs/own-experiment.md shows."""
    files = CONFIG_FILE.findall(EXPERIMENT_PAGE.read_text())
    for name, text in files:
        (root / name).write_text(text)
    return [name for name, _ in files]


@pytest.fixture(scope="module")
def copy(tmp_path_factory, preloaded) -> Copy:
    root = tmp_path_factory.mktemp("docs") / "project"
    root.mkdir()
    for part in PARTS:
        source = ROOT / part
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, root / part, follow_symlinks=False)
    write_example(root)
    return Copy(root, preloaded)


@pytest.mark.parametrize("command", sorted({command for page in PAGES for command in commands(page)}))
def test_command_works(copy, command):
    if check := CHECKS.get(command):
        check(copy)
    else:
        accepted(copy, shlex.split(command))


def test_every_check_belongs_to_a_command():
    assert CHECKS.keys() <= {command for page in PAGES for command in commands(page)}
    assert {"make demo", "make test"} == set(commands(README)[:2])


def test_every_block_says_what_it_is():
    kinds = {kind for page in PAGES for kind, _ in FENCE.findall(page.read_text())}
    # bash: a job script, to be filled in; python: tests/api/test_page.py runs api.md's, the rest
    # is done elsewhere; text: what a command prints; latex: tests/report/test_latex.py sets it
    assert kinds <= {"sh", "bash", "yaml", "mermaid", "python", "text", "latex"}


def test_example_experiment_is_complete(root):
    assert write_example(root) == ["config/experiments/trouser-dress.yaml", "config/suites/clothes.yaml"]
    assert load_experiment(root, "trouser-dress").dataset.classes == ["trouser", "dress"]
    assert "trouser-dress" in load_project(root, "clothes").experiments


def test_diagram_shows_the_stages_and_what_each_needs(copy):
    (diagram,) = (text for kind, text in FENCE.findall((ROOT / "docs/outputs.md").read_text()) if kind == "mermaid")
    chains = [line.split(" --> ") for line in map(str.strip, diagram.splitlines()) if " --> " in line]
    drawn = {edge for chain in chains for edge in zip(chain, chain[1:], strict=False)}
    real = set()
    for suite in ("demo", "leaves"):  # leaves: the stages that need known factors
        graph = copy.run("snakemake", "--rulegraph", "--config", f"suite={suite}")
        names = dict(re.findall(r'(\d+)\[label = "(\w+)"', graph))
        real |= {(names[a], names[b]) for a, b in re.findall(r"(\d+) -> (\d+)", graph)}
    real = {edge for edge in real if set(edge) <= stages()}
    assert drawn <= real
    assert closure(drawn) == closure(real), "the diagram lacks a dependency"
    assert {name for edge in drawn for name in edge} == stages()


def closure(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    while longer := {(a, d) for a, b in edges for c, d in edges if b == c} - edges:
        edges = edges | longer
    return edges


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_exists(page):
    text = page.read_text()
    targets = [urlsplit(link or image) for link, image in LINK.findall(text)]
    missing = [each.path for each in targets if not each.scheme and not (page.parent / each.path).exists()]
    assert not missing
    for file, name in TEST_NAME.findall(text):
        assert_test_exists(file, name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_path_of_one_machine(page):
    assert not ABSOLUTE_PATH.findall(FENCE.sub("", page.read_text())) + ABSOLUTE_PATH.findall("\n".join(commands(page)))


def assert_test_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file} has no {name}"
