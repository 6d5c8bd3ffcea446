"""`stylex report`: the one page of a suite."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import SuiteArgument


def command(suite: SuiteArgument) -> None:
    """Write results/<suite>/index.html, one self-contained file."""
    from stylex.report import render

    render(Path(), suite)
