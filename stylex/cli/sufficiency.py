"""`stylex sufficiency`: do the attributes flip the decision ([L] 4.2.3)."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def command(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Measure the fraction of images whose decision the top-k attributes flip."""
    from stylex.evaluation.sufficiency import sufficiency

    sufficiency(Path(), experiment, select_device(device, threads))
