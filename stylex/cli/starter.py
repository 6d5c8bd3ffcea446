"""Verbs that begin with a folder of images: `init` writes the files of an experiment on them, `run` runs it, too."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from stylex.cli.analysis import summary
from stylex.cli.options import Device, DeviceOption, select_device
from stylex.source import ROOT

LAST_LINES = 3  # of Snakemake's log, when it has failed

ImagesOption = Annotated[Path, typer.Option(help="Folder of images: one folder per class, or see --labels.")]
LabelsOption = Annotated[
    Path | None, typer.Option(help="CSV with the columns path and label; paths are relative to it.")
]
ClassifierOption = Annotated[
    str | None,
    typer.Option(help="Your own: .pt, .pt2, .onnx, .safetensors, a folder, module:function. Default: one is trained."),
]
DeclareOption = Annotated[
    list[str] | None,
    typer.Option(metavar="KEY=VALUE", help="Of your classifier, as output=logits, inputs.range=0..1; may be repeated."),
]
MinutesOption = Annotated[float, typer.Option(min=1, help="What the whole run may take on this machine.")]
NameOption = Annotated[str | None, typer.Option(help="Of the files to write; default: the name of the folder.")]


def init(
    images: ImagesOption,
    labels: LabelsOption = None,
    classifier: ClassifierOption = None,
    declare: DeclareOption = None,
    minutes: MinutesOption = 60,
    name: NameOption = None,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Write the files of an experiment on a folder of images, with sizes and a budget measured on this machine."""
    from stylex.starter import suite_name

    suite = suite_name(name, images)
    _begin(suite, images, labels, (classifier, declare or []), minutes, device)
    typer.echo(f"Run it: stylex run --images {shlex.quote(str(images))} --name {suite}")
    typer.echo(f"    or: snakemake --cores {os.cpu_count()} --config suite={suite}")


def run(
    images: ImagesOption,
    labels: LabelsOption = None,
    classifier: ClassifierOption = None,
    declare: DeclareOption = None,
    minutes: MinutesOption = 60,
    name: NameOption = None,
    cores: Annotated[int | None, typer.Option(min=1, help="Default: all of this machine.")] = None,
    device: DeviceOption = Device.AUTO,
) -> None:
    """Do what `init` does, unless its files are there, and run the whole chain to the report; goes on where it was."""
    from stylex.starter import files_of, suite_name

    suite = suite_name(name, images)
    if all(path.is_file() for path in files_of(Path(), suite)):
        typer.echo(f"The files of '{suite}' are there already, and are used as they are")
    else:
        _begin(suite, images, labels, (classifier, declare or []), minutes, device)
    log, record = (Path("results/logs") / f"{suite}.{ending}" for ending in ("log", "txt"))
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores or os.cpu_count()), "--logger", "stylex"]
    command += ["--logger-stylex-record", str(record), "--config", f"suite={suite}"]
    # Snakemake looks for its plugins along the path, where an editable installation has not put ours.
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path}
    with log.open("w", encoding="utf-8") as messages:
        code = subprocess.run(command, env=environment, stderr=messages, check=False).returncode
    if code:
        last = log.read_text(encoding="utf-8").splitlines()[-LAST_LINES:]
        typer.echo("\n".join([*last, f"All of it: {log}"]), err=True)
        raise typer.Exit(code)
    summary(suite)


def _begin(
    suite: str, images: Path, labels: Path | None, own: tuple[str | None, list[str]], minutes: float, device: Device
) -> None:
    from stylex.errors import ConfigError
    from stylex.starter import GivenClassifier, files_of, labels_table, look_at, plan, refuse_existing, write

    root, on = Path(), select_device(device, 1)
    file, declarations = own
    refuse_existing(root, suite)
    if declarations and file is None:
        raise ConfigError("--declare says something of --classifier: give that, too")
    found = look_at(images, labels)
    typer.echo("\n".join(found.lines()))
    given = GivenClassifier.declared(root, file, declarations, found) if file else None
    if given is None and not found.class_names:
        raise ConfigError(
            f"--images {images}: nothing says what the images show; put them into one folder per class, or give"
            " --labels or --classifier"
        )
    chosen = plan(root, suite, found, minutes, on, given)
    size = chosen.preset.resolution
    typer.echo(f"{size}x{size} pixels, {chosen.images} training images: this machine does {chosen.rate:.0f} per second")
    if chosen.images < chosen.preset.needed:
        typer.echo(f"  good pictures take {chosen.preset.needed} or more: raise --minutes")
    if given:
        typer.echo("\n".join([f"The classifier {file}, on images of {size}x{size}:", *given.check(found, size, on)]))
        if not found.class_names:
            found = given.label(found, size, on, labels_table(root, suite))
            typer.echo("\n".join([f"Its decisions are the classes ({found.table}):", *found.lines()[1:]]))
    write(root, suite, found, chosen, minutes, given.section if given else None)
    typer.echo("\n".join(["Written:", *(f"  {path}" for path in files_of(root, suite))]))
