"""Commands that train, convert or check networks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def backbone(
    name: Annotated[str, typer.Argument(help="The name of a file in config/backbones, without .yaml.")],
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
) -> None:
    """Train a backbone on all classes of its dataset, for perceptual and Fréchet distances."""
    from stylex.classifiers import train_backbone

    train_backbone(Path(), name, select_device(device, threads))


def oracle(
    name: Annotated[str, typer.Argument(help="The name of a file in config/oracles, without .yaml.")],
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
) -> None:
    """Train an oracle on all classes of its dataset: an independent classifier that checks counterfactuals."""
    from stylex.classifiers import train_oracle

    train_oracle(Path(), name, select_device(device, threads))


def regressor(
    name: Annotated[str, typer.Argument(help="The name of a file in config/regressors, without .yaml.")],
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
) -> None:
    """Train a network that estimates the known factors of an image, to measure what attributes move."""
    from stylex.classifiers.stages import train_regressor

    train_regressor(Path(), name, select_device(device, threads))


def classifier(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Train the experiment's classifier and measure it on the test split."""
    from stylex.classifiers import fine_tune

    fine_tune(Path(), experiment, select_device(device, threads))


def train(
    experiment: ExperimentArgument,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
    time_limit: Annotated[float | None, typer.Option(help="Minutes after which to save and exit with code 75.")] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes per machine that share every batch, each with its own GPU.")
    ] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines of this Slurm job, each with --processes processes.")] = 1,
    tensorboard: Annotated[bool, typer.Option(help="Also write the history for TensorBoard.")] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Resume from this file even if its configuration, code or data differ; this is recorded."),
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
        command = ["train", experiment, "--device", chosen, "--threads", str(threads)]
        command += [] if time_limit is None else ["--time-limit", str(time_limit)]
        command += ["--tensorboard"] if tensorboard else []
        command += [] if checkpoint is None else ["--checkpoint", str(checkpoint)]
        if nodes > 1:
            raise typer.Exit(launch_on_nodes(command, nodes, processes, threads))
        raise typer.Exit(launch(command, processes))
    ignore_repeated_signals()
    if not train(Path(), experiment, chosen, time_limit, tensorboard, checkpoint):
        raise typer.Exit(os.EX_TEMPFAIL)


def diagnose(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Measure the trained networks on validation images, and report failures and remedies."""
    from stylex.diagnosis import write_diagnosis

    write_diagnosis(Path(), experiment, select_device(device, threads))


def convert_released(
    experiment: ExperimentArgument = "released-age",
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
    tensorflow: Annotated[
        str, typer.Option(metavar="PYTHON", envvar="STYLEX_TENSORFLOW", help="A Python interpreter with TensorFlow.")
    ] = ".venv-tensorflow/bin/python",
    verify: Annotated[bool, typer.Option("--verify", help="Also compare with what TensorFlow computes.")] = False,
    tolerance: Annotated[float, typer.Option(min=0, help="Largest allowed difference of logits.")] = 0.05,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="VARIABLE", help="A variable to skip; may be repeated.")
    ] = None,
) -> None:
    """Download the released model, convert it to an experiment, and compare with what its authors measured."""
    from stylex.released.convert import Request, convert_released

    request = Request(tensorflow, verify, tolerance, tuple(ignore or ()))
    measured, *computed = convert_released(Path(), experiment, select_device(device, threads), request)
    typer.echo(f"largest differences from what the authors measured: {measured}")
    for differences in computed:
        typer.echo(f"largest differences from the SavedModels: {differences}")
