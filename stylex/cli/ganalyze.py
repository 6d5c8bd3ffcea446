"""`stylex ganalyze`: one direction in W that moves the classifier, to compare with ([L] figure 2)."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def command(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Learn the direction in W that changes the classifier's answer the way GANalyze does."""
    from stylex.evaluation.baselines import ganalyze

    ganalyze(Path(), experiment, select_device(device, threads))
