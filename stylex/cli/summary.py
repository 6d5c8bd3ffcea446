"""`stylex summary`: what a finished suite found, in a few lines for a terminal."""

from __future__ import annotations

from pathlib import Path

import typer

from stylex.cli.options import SuiteArgument


def command(suite: SuiteArgument) -> None:
    """Say where the report is, the numbers of each experiment that matter most, and what to try next."""
    from stylex.report.writing import summary

    typer.echo("\n".join(summary(Path(), suite)))
