"""`stylex study observe`: what a machine answers."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def command(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Let the machine observer answer the questions of part 1: observer.csv."""
    from stylex.study.observer import observe

    observe(Path(), experiment, select_device(device, threads))
