"""The house rules that a reader can check: who imports whom, how long a file is, what importing costs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "stylex").rglob("*.py"))
FOUNDATION = {"errors", "config", "artifacts", "progress", "protocols", "quantization", "source"}
EVERYTHING = FOUNDATION | {
    "datasets", "classifiers", "networks", "losses", "diagnosis", "training", "latents", "attfind", "evaluation",
    "figures", "report", "released", "study", "cli", "distances", "failures", "memory", "precision", "pretrained",
    "project", "__init__",
}  # fmt: skip

# A name allows a package with all its modules, a dotted name one module.
MAY_IMPORT = {
    "__init__": set(),
    "__main__": {"cli"},
    "errors": set(),
    "config": {"errors", "protocols"},
    "artifacts": {"errors"},
    "progress": set(),
    "protocols": set(),
    "quantization": set(),
    "source": set(),
    "datasets": FOUNDATION | {"memory"},
    "classifiers": FOUNDATION | {"datasets", "pretrained"},
    "networks": FOUNDATION,
    "losses": set(),
    "distances": set(),
    "failures": set(),
    "memory": set(),
    "precision": set(),
    "pretrained": FOUNDATION | {"datasets"},
    "project": FOUNDATION | {"datasets"},
    "diagnosis": FOUNDATION | {"networks", "classifiers", "datasets"},
    "training": FOUNDATION
    | {"networks", "losses", "classifiers", "datasets", "distances", "precision", "pretrained", "diagnosis"},
    "latents": FOUNDATION | {"networks", "classifiers", "datasets"},
    "attfind": FOUNDATION | {"networks", "classifiers", "latents.table", "precision"},
    "evaluation": FOUNDATION
    | {"networks", "classifiers", "datasets", "distances", "pretrained", "latents.table"}
    | {"attfind.engine", "attfind.explanations", "attfind.maps", "attfind.records"},
    "figures": FOUNDATION
    | {"networks", "classifiers", "datasets.split", "latents.table", "attfind.maps", "attfind.records"},
    "study": FOUNDATION
    | {"networks", "classifiers", "datasets.pins", "datasets.transfer", "latents.table", "attfind.records"}
    | {"evaluation.intervals", "figures.examples"},
    "released": FOUNDATION
    | {"networks", "classifiers", "datasets.extraction", "datasets.pins", "datasets.transfer", "latents.table"}
    | {"attfind.engine", "attfind.records"},
    "report": FOUNDATION
    | {"latents.table", "attfind.records", "figures.names", "evaluation.intervals", "evaluation.paired"}
    | {"diagnosis.verdicts"},
    "cli": EVERYTHING,
}
LIGHT = (
    "errors",
    "config",
    "artifacts",
    "cli",
    "project",
    "figures.names",
    "config.schema",
    "failures",
    "pretrained",
)


def unit(path: Path) -> str:
    """The package of stylex/ that a file belongs to, or the module itself."""
    part = path.relative_to(ROOT / "stylex").parts[0]
    return part.removesuffix(".py")


def imports(path: Path) -> set[str]:
    """What a file imports of ours, wherever in the file, as dotted names without `stylex.`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            # `from stylex.figures import make` imports a module; `from stylex.config import paths` may do so too.
            found |= {node.module} if node.module != "stylex" else {f"stylex.{alias.name}" for alias in node.names}
    return {name.removeprefix("stylex.") for name in found if name and name.startswith("stylex.")}


def allowed(name: str, allowance: set[str]) -> bool:
    return any(name == each or name.startswith(f"{each}.") for each in allowance)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_follow_the_table(path):
    allowance = MAY_IMPORT[unit(path)] | {unit(path)}
    assert not [name for name in imports(path) if not allowed(name, allowance)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_reads_the_explained_classifier_asks_whose_it_is(path):
    text = path.read_text(encoding="utf-8")
    if unit(path) != "config" and "paths.classifier" in text:
        assert "ExperimentPaths(root" not in text, "use experiment_paths: classifier_of may name another experiment"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_is_short_and_says_what_it_is(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 350, "two concepts: make it two files"
    assert ast.get_docstring(ast.parse(text)), "a file opens with its purpose"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_fit_on_a_screen(path):
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, functions):
            assert node.end_lineno and node.end_lineno - node.lineno < 40, node.name


@pytest.mark.parametrize("module", LIGHT)
def test_importing_stays_light(module):
    program = f"import sys, stylex.{module}; sys.exit(int('torch' in sys.modules or 'matplotlib' in sys.modules))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
