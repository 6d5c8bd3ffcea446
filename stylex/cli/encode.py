"""`stylex encode`: images to latents and styles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device
from stylex.errors import ConfigError


def command(
    experiment: ExperimentArgument,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
    shard: Annotated[
        int | None, typer.Option(min=0, help="Only one of the attfind.encode_shards parts of the images.")
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Encode nothing: make latents.parquet of the parts.")] = False,
) -> None:
    """Encode the analysed images into latents.parquet."""
    from stylex.latents.encode import encode, merge_shards

    if not merge:
        encode(Path(), experiment, select_device(device, threads), shard)
    elif shard is None:
        merge_shards(Path(), experiment)
    else:
        raise ConfigError(f"--shard {shard} with --merge: a merge takes all shards; leave one of them out")
