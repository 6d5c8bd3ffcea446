"""`stylex explain`: explanations of single images ([L] 3.4), of the analysis or of any image file; `stylex export`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device
from stylex.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from stylex.api import Explainer

LONGEST = 255  # bytes of the name of a file
ORIGIN = "experiment "  # with which the provenance in a figure begins, as in `stylex.api`
DESCRIPTION = "explainer.json"  # by which a folder is an export, as in `stylex.export`
HEAD = 4096  # bytes of a figure in which that stands


class Method(StrEnum):
    """How coordinates are chosen; `stylex.attfind.records.Method` without torch."""

    SUBSET = "subset"
    INDEPENDENT = "independent"


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line."""

    files: list[Path]
    target: str | None
    method: Method
    attributes: int | None
    output: Path

    def outputs(self) -> list[Path]:
        """Return the figure of each file; its numbers go beside it, as JSON.

        Raises `ConfigError` when there can be no such folder, `ImageError` when a file cannot be written, or would
        overwrite another one, a file given, or one that is not an explanation.
        """
        check_folder(self.output)
        paths = [self.output / f"{file.stem}.png" for file in self.files]
        given = {file.resolve() for file in self.files}
        for file, path in zip(self.files, paths, strict=True):
            if paths.count(path) > 1:
                raise ImageError(f"{file}: two of the images would be explained in {path}; explain them one by one")
            written = (path, path.with_suffix(".json"))
            if {each.resolve() for each in written} & given:
                raise ImageError(f"{file}: its explanation would overwrite an image in {self.output}; change --output")
            if any(len(os.fsencode(each.name)) > LONGEST for each in written):
                raise ImageError(f"{file}: its name is too long to write {written[1].name} beside it; rename a copy")
            if foreign := [each for each in written if os.path.lexists(each) and not is_explanation(each)]:
                raise ImageError(
                    f"{file}: its explanation would overwrite {foreign[0]}, which is none itself; change --output"
                )
        return paths


def check_folder(folder: Path) -> None:
    """Raise `ConfigError` unless explanations can be written into `folder`, which need not exist."""
    for part in (folder, *folder.parents):
        if not os.path.lexists(part):
            continue
        if not part.is_dir():
            raise ConfigError(f"--output {folder}: {part} is no folder; name another one")
        if not os.access(part, os.W_OK | os.X_OK):
            raise ConfigError(f"--output {folder}: {part} is not writable; name another folder")
        return


def is_explanation(path: Path) -> bool:
    """Whether a file is one that `explain` has written, by what it holds."""
    try:
        content = path.read_bytes()
        if path.suffix == ".png":  # before the pixels
            return b"tEXtDescription\0" + ORIGIN.encode() in content[:HEAD]
        found = json.loads(content)
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and {"experiment", "image", "steps", "provenance"} <= found.keys()


def explain(
    model: Annotated[
        str,
        typer.Argument(
            metavar="EXPERIMENT|FOLDER", help="A file of config/experiments, without its ending; or an exported folder."
        ),
    ],
    images: Annotated[
        list[Path] | None, typer.Argument(metavar="IMAGE_FILE", help="Default: the analysed images.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Target class; default: the second most probable.")] = None,
    method: Annotated[
        Method, typer.Option(help="subset: greedy, until the flip; independent: the largest effects, each alone.")
    ] = Method.SUBSET,
    attributes: Annotated[
        int | None, typer.Option(min=1, help="Most coordinates to move; default: evaluation.explanation_steps.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder; default: results/experiments/EXPERIMENT/explanations; of a FOLDER: explanations."),
    ] = None,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
) -> None:
    """Explain single images: which style coordinates change the classifier's decision, step by step.

    Each image file gives <name>.png and <name>.json. Without image files: independent.csv and subset.csv for the first
    analysed images (evaluation.explained_images).
    """
    if images:
        output = output or default_output(model)
        explain_files(model, Request(images, target, method, attributes, output), select_device(device, threads))
        return
    if is_folder(model):
        raise ImageError(f"{model} is a folder: name the image files to explain, as `stylex explain {model} image.png`")
    if target is not None or attributes is not None or output is not None:
        raise ImageError("--target, --attributes and --output need an image file")
    from stylex.attfind.explanations import explain_analysed

    explain_analysed(Path(), model, select_device(device, threads))


def is_folder(model: str) -> bool:
    """Whether this is the folder of a model, rather than the name of an experiment."""
    return os.sep in model or Path(model, DESCRIPTION).is_file()


def default_output(model: str) -> Path:
    """Return where explanations go."""
    from stylex.config import ExperimentPaths

    return Path("explanations") if is_folder(model) else ExperimentPaths(Path(), model).folder / "explanations"


def explain_files(model: str, request: Request, device: str) -> None:
    """Explain image files; nothing is written before all of them are explained."""
    outputs, explainer = request.outputs(), load(model, device)
    found = explainer.explain(request.files, request.target, request.method.value, request.attributes)
    for path, one in zip(outputs, found, strict=True):
        one.save(path)
        typer.echo(f"{one.summary()}\n  {path}")


def load(model: str, device: str) -> Explainer:
    """Return the explainer of a folder, or of an experiment of the project in the current folder."""
    from stylex.api import Explainer, load
    from stylex.export import read_experiment

    return load(model, device) if is_folder(model) else Explainer(read_experiment(Path(), model, device), device)


def export(
    experiment: ExperimentArgument,
    output: Annotated[Path | None, typer.Option(help="Folder; default: results/experiments/EXPERIMENT/export.")] = None,
) -> None:
    """Write a folder that `stylex explain` and `stylex.load` use without the project: networks, classifier, card."""
    from stylex.export import export

    folder = export(Path(), experiment, output)
    sizes = {path.name: path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:2]
    parts = ", ".join(f"{name} {sizes[name] / 1e6:.2f} MB" for name in largest)
    typer.echo(f"{folder}: {sum(sizes.values()) / 1e6:.2f} MB ({parts})")
