"""`stylex frechet`: Fréchet distance against the number of attributes ([V] 5.2)."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def command(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Measure how far images with 0..n attributes applied are from the dataset's."""
    from stylex.evaluation.frechet import frechet

    frechet(Path(), experiment, select_device(device, threads))
