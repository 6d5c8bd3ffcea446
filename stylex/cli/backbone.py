"""`stylex backbone`: the network behind perceptual and Fréchet distances."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylex.cli.options import Device, DeviceOption, ThreadsOption, select_device


def command(
    name: Annotated[str, typer.Argument(help="A file of config/backbones, without its ending.")],
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
) -> None:
    """Train a backbone on all classes of its dataset; it is never the explained classifier."""
    from stylex.classifiers import train_backbone

    train_backbone(Path(), name, select_device(device, threads))
