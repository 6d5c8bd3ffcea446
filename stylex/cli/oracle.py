"""`stylex oracle`: the network that is asked what counterfactuals show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylex.cli.options import Device, DeviceOption, ThreadsOption, select_device


def command(
    name: Annotated[str, typer.Argument(help="A file of config/oracles, without its ending.")],
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
) -> None:
    """Train an oracle on all classes of its dataset; it is neither a backbone nor the explained classifier."""
    from stylex.classifiers import train_oracle

    train_oracle(Path(), name, select_device(device, threads))
