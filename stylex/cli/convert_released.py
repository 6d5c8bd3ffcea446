"""`stylex convert-released`: the model that the authors of StylEx released, as an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device


def command(
    experiment: ExperimentArgument = "released-age",
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
    tensorflow: Annotated[
        str, typer.Option(metavar="PYTHON", envvar="STYLEX_TENSORFLOW", help="An interpreter that has TensorFlow.")
    ] = ".venv-tensorflow/bin/python",
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare with what TensorFlow says of the models, too.")
    ] = False,
    tolerance: Annotated[float, typer.Option(min=0, help="Largest difference that is allowed, of logits.")] = 0.05,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="VARIABLE", help="A variable that has no place here; may be repeated.")
    ] = None,
) -> None:
    """Fetch the released model, compare its conversion with what its authors measured, write it as an experiment."""
    from stylex.released.convert import Request, convert_released

    request = Request(tensorflow, verify, tolerance, tuple(ignore or ()))
    measured, *computed = convert_released(Path(), experiment, select_device(device, threads), request)
    typer.echo(f"largest differences from what the authors measured: {measured}")
    for differences in computed:
        typer.echo(f"largest differences from the SavedModels: {differences}")
