"""`stylex study build`: the questionnaire of an experiment."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def command(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Write the questionnaire page study/index.html and its answer key study/key.csv."""
    from stylex.study.questionnaire import build

    build(Path(), experiment, select_device(device, threads))
