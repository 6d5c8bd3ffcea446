"""Every command of the README and of docs/ is one that a test runs, and what these pages name exists."""

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import BaseModel

from stylex.config import ExperimentConfig, load_experiment
from stylex.project import load_project

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
EXPERIMENT_PAGE = ROOT / "docs/own-experiment.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
PARTS = (
    "Snakefile", "workflow", "profiles", "slurm", "config", "environment.yml", "stylex", "Makefile", "pyproject.toml",
    "requirements.lock",
)  # fmt: skip

OPTIONAL = {
    "weights",
    "merge",
    "convert_released",
}  # rules for what an experiment may ask for, and none of the demo does

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONFIG_FILE = re.compile(r"^`(config/\w+/[\w.-]+\.yaml)`:\n\n```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTION = re.compile(r"^\*\*(?:`([\w.]+)`)?[^\n]*\*\*\n\n((?:\|[^\n]*\n)+)", re.MULTILINE)
LINK = re.compile(r'\]\(([^)\s]+)\)|<img\s[^>]*?src="([^"]+)"')
TEST_NAME = re.compile(r"(tests/[\w/]+\.py)::(test_\w+)")
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/<>*}-])/\w[\w./-]*")


@dataclass(frozen=True)
class Copy:
    """A copy of the project, with the example of docs/own-experiment.md in its configuration."""

    root: Path

    def run(self, *command: str) -> str:
        """Run a command as in an activated environment; return what it printed. It must succeed."""
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        result = subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=100, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout


Check = Callable[[Copy], None]


def makes(*arguments: str, runs: tuple[str, ...]) -> Check:
    """The Makefile has the target, and would install the pinned versions and then run these commands."""

    def check(copy: Copy) -> None:
        printed = copy.run("make", "--dry-run", *arguments)
        places = [printed.index(text) for text in ("pip install --quiet -r requirements.lock", *runs)]
        assert places == sorted(places)

    return check


def activates(copy: Copy) -> None:
    """The environment is where the Makefile makes it, and such a one can be activated."""
    assert "$(PYTHON) -m venv .venv" in (copy.root / "Makefile").read_text()
    copy.run(sys.executable, "-m", "venv", "--without-pip", ".venv")
    assert copy.run("bash", "-c", "source .venv/bin/activate && command -v python").endswith("/.venv/bin/python\n")


def prints(*arguments: str, text: str) -> Check:
    """The console script `stylex` is what `python -m stylex` calls; that prints `text`."""

    def check(copy: Copy) -> None:
        assert 'stylex = "stylex.cli:main"' in (copy.root / "pyproject.toml").read_text()
        assert text in copy.run(sys.executable, "-m", "stylex", *arguments)

    return check


def plans(*arguments: str, without: frozenset[str] = frozenset()) -> Check:
    """Snakemake accepts the arguments and would run every stage of the demo, less some that its suite has not."""

    def check(copy: Copy) -> None:
        planned = re.findall(r"^(\w+) +\d+$", copy.run("snakemake", *arguments, "--dry-run"), re.MULTILINE)
        assert stages() - OF_LEAVES - without <= set(planned)

    return check


def copies_the_site(copy: Copy) -> None:
    """The example is a site file that validates as it is."""
    copy.run("cp", "config/site.example.yaml", "config/site.yaml")
    copy.run(sys.executable, "-m", "stylex", "validate")
    (copy.root / "config/site.yaml").unlink()


OF_LEAVES = {"regressor", "factors"}  # stages that need known factors
EXPLAIN = "tests/cli/test_explain.py::"
RELEASED = "tests/released/"
TENSORFLOW = f"{RELEASED}test_verify.py::test_conversion_is_compared_with_models_that_tensorflow_runs"
REPRO = "tests/workflow/test_sync.py::test_repro_after_snakemake_computes_nothing_and_records_the_same"
CLONE = "tests/workflow/test_sync.py::test_clone_and_pull_leave_nothing_to_do"
TRAVEL = (
    "tests/workflow/test_sync.py::test_changed_parameter_reruns_what_depends_on_it_through_either_door_and_time_travels"
)
METRICS = "tests/workflow/test_dvc.py::test_metrics_show_each_experiment_and_their_difference"
PLOTS = "tests/workflow/test_dvc.py::test_plots_are_one_page"
REMOTES = "tests/workflow/test_remotes.py::"

# Each command: how it is run here in a cheap form, or the test that runs it.
CHECKS: dict[str, Check | str] = {
    "make demo": makes("demo", runs=("stylex validate demo", "snakemake --cores", "results/demo/index.html")),
    "make test": makes("test", runs=("python -m pytest",)),
    "make demo SUITE=leaves": makes("demo", "SUITE=leaves", runs=("stylex validate leaves", "suite=leaves")),
    "make demo SUITE=clothes": makes(
        "demo", "SUITE=clothes", runs=("stylex validate clothes", "snakemake --cores", "suite=clothes")
    ),
    "make .venv/.installed": makes(".venv/.installed", runs=()),
    "source .venv/bin/activate": activates,
    "cp config/site.example.yaml config/site.yaml": copies_the_site,
    "cat results/demo/tables/sufficiency.md": "tests/workflow/test_end_to_end.py::test_every_artifact_is_there",
    "stylex --help": prints("--help", text="Commands:"),
    "stylex datasets": prints("datasets", text="fashion_mnist: Fashion-MNIST, 70,000 garments: t-shirt"),
    "stylex validate": prints("validate", text="suite demo"),
    "stylex validate clothes": prints("validate", "clothes", text="trouser-dress: fashion_mnist (trouser, dress)"),
    "stylex explain mnist digit.png": f"{EXPLAIN}test_an_analysed_image_is_explained_from_its_file_as_in_the_analysis",
    "stylex explain mnist digit.png --target 5 --method independent --attributes 3 --output explained": (
        f"{EXPLAIN}test_options_and_files_of_any_kind"
    ),
    "stylex train NAME --checkpoint results/experiments/NAME/stylex/checkpoints/FILE": (
        "tests/training/test_taking.py::test_training_goes_on_from_it_with_its_own_rates_and_says_so_in_the_results"
    ),
    "stylex diagnose mnist": "tests/diagnosis/test_trainings.py::test_a_good_training_is_good",
    "stylex weights inception": "tests/test_pretrained.py::test_downloaded_verified_and_read",
    "stylex convert-released": f"{RELEASED}test_convert.py::test_attfind_and_sufficiency_run_on_the_artifacts",
    "snakemake --cores 2 --config suite=released": "tests/workflow/test_planning.py::test_every_suite_is_planned",
    "python3.11 -m venv .venv-tensorflow": TENSORFLOW,
    ".venv-tensorflow/bin/pip install tensorflow-cpu==2.15.1": TENSORFLOW,
    "stylex convert-released --verify .venv-tensorflow/bin/python": TENSORFLOW,
    "stylex study build mnist": "tests/study/test_build.py::test_page_and_key_are_written",
    "stylex study analyse --key results/experiments/mnist/study/key.csv answers-1.csv answers-2.csv": (
        "tests/study/test_answers.py::test_the_command_writes_people_and_words"
    ),
    "stylex study published": "tests/study/test_published.py::test_the_command_downloads_and_says_what_does_not_follow",
    "snakemake --cores 2": "tests/workflow/test_end_to_end.py::test_every_artifact_is_there",
    "snakemake --cores 8 --profile slurm": plans("--cores", "8", "--profile", "slurm"),
    "snakemake --cores 8 --profile slurm -n": plans("--cores", "8", "--profile", "slurm"),
    "snakemake --cores 8 --profile slurm --config suite=paper-256": plans(
        "--cores", "8", "--profile", "slurm", "--config", "suite=paper-256", without=frozenset({"oracle"})
    ),
    "dvc repro": REPRO,
    "dvc status": REPRO,
    "git add --all": REPRO,
    'git commit -m "Longer training"': TRAVEL,
    "git clone ../stylex": CLONE,
    "dvc pull": CLONE,
    "snakemake -n": CLONE,
    "git checkout HEAD~1": TRAVEL,
    "dvc checkout": TRAVEL,
    "dvc params diff HEAD~1": TRAVEL,
    "dvc metrics show": METRICS,
    "dvc metrics diff HEAD~1": METRICS,
    "dvc plots show": PLOTS,
    "dvc plots diff HEAD~1": PLOTS,
    "dvc remote add --default store ../stylex-store": f"{REMOTES}test_folder",
    "dvc push": f"{REMOTES}test_folder",
    "dvc remote add --force --default store ssh://someone@server.example.org/srv/stylex-store": f"{REMOTES}test_ssh",
    "dvc remote modify --local store keyfile ~/.ssh/id_ed25519": f"{REMOTES}test_ssh",
    "dvc remote add --force --default store s3://bucket/stylex": f"{REMOTES}test_s3",
    "dvc remote modify --local store endpointurl https://minio.example.org": f"{REMOTES}test_s3",
}


def commands(page: Path) -> list[str]:
    """The lines of the page's `sh` blocks."""
    return [line for kind, text in FENCE.findall(page.read_text()) if kind == "sh" for line in text.splitlines()]


def stages() -> set[str]:
    """The rules that the demo has."""
    texts = [path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")]
    return {name for text in texts for name in re.findall(r"^rule (\w+):", text, re.MULTILINE)} - OPTIONAL


def write_example(root: Path) -> list[str]:
    """Write the configuration files that docs/own-experiment.md shows."""
    files = CONFIG_FILE.findall(EXPERIMENT_PAGE.read_text())
    for name, text in files:
        (root / name).write_text(text)
    return [name for name, _ in files]


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Copy:
    root = tmp_path_factory.mktemp("docs") / "project"
    root.mkdir()
    for part in PARTS:
        source = ROOT / part
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, root / part, follow_symlinks=False)
    write_example(root)
    return Copy(root)


@pytest.mark.parametrize("command", sorted({command for page in PAGES for command in commands(page)}))
def test_command_works(copy, command):
    assert command in CHECKS, f"say in CHECKS how `{command}` is tested"
    check = CHECKS[command]
    if isinstance(check, str):
        assert_test_exists(*check.split("::"))
    else:
        check(copy)


def test_every_check_belongs_to_a_command():
    assert set(CHECKS) == {command for page in PAGES for command in commands(page)}
    assert {"make demo", "make test"} == set(commands(README)[:2])


def test_every_block_says_what_it_is():
    kinds = {kind for page in PAGES for kind, _ in FENCE.findall(page.read_text())}
    assert kinds <= {"sh", "bash", "yaml", "mermaid"}  # bash: a job script, to be filled in


def test_example_experiment_is_complete(root):
    assert write_example(root) == ["config/experiments/trouser-dress.yaml", "config/suites/clothes.yaml"]
    assert load_experiment(root, "trouser-dress").dataset.classes == ["trouser", "dress"]
    assert "trouser-dress" in load_project(root, "clothes").experiments


def test_every_key_of_an_experiment_is_explained():
    tables = dict(SECTION.findall(EXPERIMENT_PAGE.read_text()))
    rows = {name: re.findall(r"^\|([^|]*)\|", table, re.MULTILINE) for name, table in tables.items()}
    explained = {name: sorted(re.findall(r"`(\w+)`", " ".join(cells))) for name, cells in rows.items()}
    assert explained == keys_by_section(ExperimentConfig)


def keys_by_section(model: type[BaseModel], prefix: str = "") -> dict[str, list[str]]:
    """The keys of each section, by its dotted name, without those that are sections themselves."""
    sections: dict[str, list[str]] = {prefix: []}
    for key, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            sections |= keys_by_section(field.annotation, f"{prefix}.{key}".removeprefix("."))
        else:
            sections[prefix].append(key)
    return {name: sorted(keys) for name, keys in sections.items()}


def test_diagram_shows_the_stages_and_what_each_needs(copy):
    (diagram,) = (text for kind, text in FENCE.findall(README.read_text()) if kind == "mermaid")
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
