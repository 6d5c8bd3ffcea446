"""The house rules that no linter of `make check` has: how long files and functions are, and what importing costs."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIGHT = ("errors", "config", "artifacts", "cli", "project", "figures.names", "config.schema", "failures", "pretrained")


def offences(path: Path) -> Iterator[str]:
    text = path.read_text(encoding="utf-8")
    if len(text.splitlines()) > 350:
        yield "two concepts: make it two files"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno >= 40:
            yield f"{node.name} does not fit on a screen"
    inside = path.relative_to(ROOT / "stylex").parts[0]
    if inside != "config" and "paths.classifier" in text and "ExperimentPaths(root" in text:
        yield "use experiment_paths: classifier_of may name another experiment"


def test_files_and_functions_are_short_and_whose_classifier_is_read_is_asked():
    files = sorted((ROOT / "stylex").rglob("*.py"))
    assert len(files) > 200
    assert [f"{path.relative_to(ROOT)}: {offence}" for path in files for offence in offences(path)] == []


def test_importing_stays_light():
    heavy = "sorted({'torch', 'matplotlib'} & set(sys.modules))"
    program = "\n".join(
        ["import sys", *(f"import stylex.{name}\nif {heavy}: sys.exit('{name} is heavy')" for name in LIGHT)]
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
