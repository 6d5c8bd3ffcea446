"""Commands for a finished suite: its figures, tables, page and summary."""

from __future__ import annotations

from pathlib import Path

import typer

from stylex.cli.options import (
    Device,
    DeviceOption,
    ExperimentArgument,
    SuiteArgument,
    ThreadsOption,
    select_device,
)


def figures(
    suite: SuiteArgument,
    experiment: ExperimentArgument,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
) -> None:
    """Draw the experiment's figures into results/<suite>/figures."""
    from stylex.figures.make import experiment_figures

    experiment_figures(Path(), suite, experiment, select_device(device, threads))


def tables(suite: SuiteArgument) -> None:
    """Write results/<suite>/tables (CSV, Markdown and LaTeX, with published figures beside ours), and metrics."""
    from stylex.report import tables

    tables(Path(), suite)


def report(suite: SuiteArgument) -> None:
    """Write results/<suite>/index.html, one self-contained file."""
    from stylex.report import render

    render(Path(), suite)


def summary(suite: SuiteArgument) -> None:
    """Print the main numbers of each experiment, where the report is, and a next command."""
    from stylex.report.writing import summary

    typer.echo("\n".join(summary(Path(), suite)))
