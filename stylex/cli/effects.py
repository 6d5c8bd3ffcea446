"""`stylex effects`: AttFind, the measuring half."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylex.cli.options import (
    Device,
    DeviceOption,
    ExperimentArgument,
    ProtocolOption,
    ThreadsOption,
    select_device,
)


def command(
    experiment: ExperimentArgument,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
    shard: Annotated[int, typer.Option(min=0, help="Which of the attfind.shards parts of the images.")] = 0,
    protocol: ProtocolOption = None,
) -> None:
    """Move every style coordinate of every searched image and record the classifier's answer."""
    from stylex.attfind.effects import compute_effects

    compute_effects(Path(), experiment, select_device(device, threads), shard, protocol)
