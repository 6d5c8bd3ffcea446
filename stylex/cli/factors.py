"""`stylex factors`: which known factors do the attributes move."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def command(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Measure the known factors that each attribute, and each of some random moves, changes."""
    from stylex.evaluation.factors import factors

    factors(Path(), experiment, select_device(device, threads))
