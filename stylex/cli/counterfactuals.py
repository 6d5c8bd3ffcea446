"""`stylex counterfactuals`: do flipped images look like the class that they are flipped to."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def command(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Measure the counterfactuals of every method: an oracle's answer, distances to real images, what was changed."""
    from stylex.evaluation.quality import counterfactuals

    counterfactuals(Path(), experiment, select_device(device, threads))
