"""`stylex train`: train the StylEx generator, encoder and discriminator, or go on where an earlier run stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def command(
    experiment: ExperimentArgument,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
    time_limit: Annotated[float | None, typer.Option(help="Minutes after which to save, stop and exit 75.")] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes on a machine that share every batch, each with a GPU of its own.")
    ] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines of this Slurm job, each with so many processes.")] = 1,
    tensorboard: Annotated[bool, typer.Option(help="Write the history for TensorBoard, too.")] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Go on from this file, though it is of another configuration, code or data; recorded."),
    ] = None,
) -> None:
    """Train StylEx for an experiment; the same command resumes. Exit code 75: saved but not finished, run it again."""
    from stylex.training import train
    from stylex.training.distributed import require_devices
    from stylex.training.launch import ignore_repeated_signals, launch, launch_on_nodes

    chosen = select_device(device, threads)
    if processes * nodes > 1:
        if chosen == Device.CUDA:
            require_devices(processes)
        options = ["--device", chosen, "--threads", str(threads)]
        options += [] if time_limit is None else ["--time-limit", str(time_limit)]
        options += ["--tensorboard"] if tensorboard else []
        options += [] if checkpoint is None else ["--checkpoint", str(checkpoint)]
        command = ["train", experiment, *options]
        if nodes > 1:
            raise typer.Exit(launch_on_nodes(command, nodes, processes, threads))
        raise typer.Exit(launch(command, processes))
    ignore_repeated_signals()
    if not train(Path(), experiment, chosen, time_limit, tensorboard, checkpoint):
        raise typer.Exit(os.EX_TEMPFAIL)
