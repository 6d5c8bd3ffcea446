"""`stylex tables`: the tables of a suite."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import SuiteArgument


def command(suite: SuiteArgument) -> None:
    """Write results/<suite>/tables as CSV, Markdown and LaTeX, with the published figures beside ours, and metrics."""
    from stylex.report import tables

    tables(Path(), suite)
