"""`stylex maps`: where the top attributes change the images."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def command(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Map the mean change of each pixel by each of the top attributes."""
    from stylex.evaluation.maps import maps

    maps(Path(), experiment, select_device(device, threads))
