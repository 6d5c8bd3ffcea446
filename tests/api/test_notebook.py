"""docs/explain.ipynb runs, from its first cell to its last."""

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).parents[2] / "docs"
MODEL = DOCS.parent / "models/mnist"


def test_the_notebook_runs_within_two_minutes(folder, monkeypatch):
    notebook = nbformat.read(DOCS / "explain.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not committed"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))  # the kernel imports what this test does
    if not MODEL.is_dir():
        monkeypatch.setenv("STYLEX_MODEL", str(folder))
    start = time.monotonic()
    NotebookClient(notebook, timeout=110, kernel_name="python3", resources={"metadata": {"path": str(DOCS)}}).execute()
    assert time.monotonic() - start < 120
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    shown = [output["data"] for output in outputs if "data" in output]
    assert sum("<img " in data.get("text/html", "") for data in shown) == 2, "two explanations"
    assert sum("image/png" in data and "text/html" not in data for data in shown) == 1, "the strip of a move"
    assert "bright" in shown[-1]["text/html"] and "dark" in shown[-1]["text/html"]
