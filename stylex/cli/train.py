"""`stylex train`: train the StylEx generator, encoder and discriminator, or go on where an earlier run stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def command(
    experiment: ExperimentArgument,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
    time_limit: Annotated[float | None, typer.Option(help="Minutes after which to save, stop and exit 75.")] = None,
) -> None:
    """Train StylEx for an experiment; the same command resumes. Exit code 75: saved but not finished, run it again."""
    from stylex.training import train

    if not train(Path(), experiment, select_device(device, threads), time_limit):
        raise typer.Exit(os.EX_TEMPFAIL)
