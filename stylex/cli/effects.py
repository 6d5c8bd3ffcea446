"""`stylex effects`: AttFind, the measuring half."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def command(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Move every style coordinate of every analysed image and record the classifier's answer."""
    from stylex.attfind.engine import compute_effects

    compute_effects(Path(), experiment, select_device(device, threads))
