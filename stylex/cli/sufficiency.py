"""`stylex sufficiency`: do the attributes flip the decision ([L] 4.2.3)."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def command(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Measure the fraction of images whose decision the top-k attributes flip, and random lists beside them."""
    from stylex.evaluation.sufficiency import random_flips, sufficiency

    chosen = select_device(device, threads)
    sufficiency(Path(), experiment, chosen)
    random_flips(Path(), experiment, chosen)
