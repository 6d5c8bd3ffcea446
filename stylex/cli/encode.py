"""`stylex encode`: images to latents and styles."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def command(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Encode the analysed images into latents.parquet."""
    from stylex.latents.encode import encode

    encode(Path(), experiment, select_device(device, threads))
