"""`stylex regressor`: the network that tells the known factors of a drawn dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylex.cli.options import Device, DeviceOption, ThreadsOption, select_device


def command(
    name: Annotated[str, typer.Argument(help="A file of config/regressors, without its ending.")],
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
) -> None:
    """Train a network that tells known factors from images: the measure of what attributes move."""
    from stylex.classifiers.stages import train_regressor

    train_regressor(Path(), name, select_device(device, threads))
