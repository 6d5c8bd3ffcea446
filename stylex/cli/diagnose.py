"""`stylex diagnose`: which parts of a trained model have failed, by which number, and what mends them."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def command(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Measure the trained networks on validation images, and say what has failed and how to mend it."""
    from stylex.diagnosis import write_diagnosis

    write_diagnosis(Path(), experiment, select_device(device, threads))
