"""`stylex figures`: the figures of one experiment in a suite."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import (
    Device,
    DeviceOption,
    ExperimentArgument,
    SuiteArgument,
    ThreadsOption,
    select_device,
)


def command(
    suite: SuiteArgument,
    experiment: ExperimentArgument,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
) -> None:
    """Draw the experiment's figures into results/<suite>/figures."""
    from stylex.figures.make import experiment_figures

    experiment_figures(Path(), suite, experiment, select_device(device, threads))
