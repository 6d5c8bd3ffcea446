"""`stylex samples`: of which classes the generator makes images ([L] 4.2.3)."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def command(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Count the classifier's decisions on random samples, beside those on the analysed images."""
    from stylex.evaluation.samples import samples

    samples(Path(), experiment, select_device(device, threads))
