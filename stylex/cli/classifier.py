"""`stylex classifier`: the network to be explained."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def command(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Train the experiment's classifier and measure it on the test split."""
    from stylex.classifiers import fine_tune

    fine_tune(Path(), experiment, select_device(device, threads))
