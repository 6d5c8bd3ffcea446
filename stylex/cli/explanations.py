"""`stylex explain`: explanations of single images ([L] 3.4), of the analysis or of any image file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device
from stylex.errors import ArtifactError, AttributesNotFoundError, ConfigError, ImageError

if TYPE_CHECKING:
    import torch

    from stylex.attfind.explanations import Explainer, Step
    from stylex.config import ExperimentConfig
    from stylex.networks.stylespace import StyleVector


LONGEST = 255  # bytes of the name of a file
ORIGIN = "experiment "  # with which the provenance in a figure begins
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
    experiment: ExperimentArgument,
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
        Path | None, typer.Option(help="Folder; default: results/experiments/EXPERIMENT/explanations.")
    ] = None,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
) -> None:
    """Explain single images: which style coordinates change the classifier's decision, step by step.

    Each image file gives <name>.png and <name>.json. Without image files: independent.csv and subset.csv for the first
    analysed images (evaluation.explained_images).
    """
    from stylex.config import ExperimentPaths

    if images:
        output = output or ExperimentPaths(Path(), experiment).folder / "explanations"
        request = Request(images, target, method, attributes, output)
        explain_files(Path(), experiment, request, select_device(device, threads))
        return
    if target is not None or attributes is not None or output is not None:
        raise ImageError("--target, --attributes and --output need an image file")
    from stylex.attfind.explanations import explain_analysed

    explain_analysed(Path(), experiment, select_device(device, threads))


def explain_files(root: Path, experiment: str, request: Request, device: str) -> None:
    """Explain image files; nothing is written before all of them are explained."""
    import torch

    from stylex.artifacts import provenance, write_json
    from stylex.attfind import records
    from stylex.attfind.explanations import Explainer
    from stylex.classifiers import load_classifier, load_perceptual
    from stylex.config import experiment_paths, load_experiment
    from stylex.latents.encode import encode_images
    from stylex.latents.table import read_latents
    from stylex.networks.model import load_stylex

    config, paths, outputs = load_experiment(root, experiment), experiment_paths(root, experiment), request.outputs()
    latents = read_latents(paths.latents).under(config.attfind.protocol)
    networks = load_stylex(paths.stylex_model, device)
    classifier = load_classifier(paths.classifier.model, device)
    explainer = Explainer(networks, classifier, latents, config.attfind, device)
    images = read_images(root, config, request.files, networks.image_channels).to(device)
    perceptual = load_perceptual(root, config.stylex, device)
    parts = [encode_images(networks, classifier, perceptual, part) for part in images.split(config.attfind.batch_size)]
    columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    targets = targets_of_files(request, columns["reconstruction_logits"], latents.class_names)
    limit = request.attributes or config.evaluation.explanation_steps
    found = explainer.explain(styles_of(columns), targets, records.Method(request.method), limit)
    explained = []
    for number, (file, target, steps) in enumerate(zip(request.files, targets.tolist(), found, strict=True)):
        row = {name: values[number : number + 1] for name, values in columns.items()}
        explained.append(Explained(file, images[number], row, latents.class_names, target, steps, request.method))
    caption = f"{ORIGIN}{experiment}, config {config.digest()}, seed {config.seed}"
    origin = provenance(config.digest(), config.seed, device)
    for path, one in zip(outputs, explained, strict=True):
        one.draw(path, explainer, caption)
        write_json(path.with_suffix(".json"), {"experiment": experiment, **one.content(), "provenance": origin})
        typer.echo(one.summary(path))


def styles_of(columns: dict[str, torch.Tensor]) -> StyleVector:
    """Return the styles that `encode_images` gives."""
    from stylex.networks.stylespace import StyleVector

    return StyleVector(columns["styles"], columns["to_rgb_styles"])


@dataclass(frozen=True)
class Explained:
    """One image file and its explanation; raises `AttributesNotFoundError` when nothing raises the target class."""

    file: Path
    image: torch.Tensor  # [C, H, W] in [-1, 1], as the classifier sees it
    columns: dict[str, torch.Tensor]  # what `encode_images` says of it, [1, …]
    class_names: Sequence[str]
    target: int
    steps: list[Step]
    method: Method

    def __post_init__(self) -> None:
        if not self.steps:
            raise AttributesNotFoundError(
                f"{self.file}: no style coordinate brings it nearer to '{self.class_names[self.target]}'; choose"
                " another --target or raise attfind.shift"
            )

    def probabilities(self, column: str) -> dict[str, float]:
        """Return the probability of each class; column: `logits` of the image or `reconstruction_logits`."""
        return dict(zip(self.class_names, self.columns[column].softmax(dim=1)[0].tolist(), strict=True))

    @property
    def flips(self) -> int:
        """How many steps end with the target class: by `SUBSET` one at the most, by `INDEPENDENT` each alone."""
        return sum(step.flipped for step in self.steps)

    @property
    def predicted(self) -> str:
        """The classifier's decision on the reconstruction."""
        return self.class_names[int(self.columns["reconstruction_logits"].argmax())]

    def content(self) -> dict[str, Any]:
        """Return what the JSON file holds."""
        return {
            "image": str(self.file),
            "method": self.method.value,
            "target_class": self.class_names[self.target],
            "flipped": self.flips > 0,
            "probabilities": self.probabilities("logits"),
            "reconstruction_probabilities": self.probabilities("reconstruction_logits"),
            "reconstruction_l1": float(self.columns["reconstruction_l1"]),
            "steps": [step.record() for step in self.steps],
        }

    def summary(self, path: Path) -> str:
        """Return the lines that are printed."""
        target = self.class_names[self.target]
        end = "the decision flips" if self.flips else "the decision does not flip"
        if self.method is Method.INDEPENDENT:
            end = f"{self.flips} of {len(self.steps)} coordinates flip the decision, each moved alone"
        rows = [("step", "layer", "channel", "direction", f"P({target})")]
        rows.append(("0", "", "", "", f"{self.steps[0].probability_before:.3f}"))
        for step in self.steps:
            place = str(step.step), str(step.layer), str(step.channel), step.direction.label
            rows.append((*place, f"{step.probability_after:.3f}"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  " + "  ".join(map(str.rjust, row, widths)) for row in rows]
        return "\n".join(
            [f"{self.file}: {self.predicted} to {target}, {self.method.value}: {end}", *lines, f"  {path}"]
        )

    def draw(self, path: Path, explainer: Explainer, provenance: str) -> None:
        """Write the figure."""
        from stylex.attfind import records
        from stylex.figures.explanations import Tile, assemble, images_of_steps, save_explanation

        target, selection = self.class_names[self.target], records.Method(self.method)
        steps = [step.record() for step in self.steps]
        shift, styles = explainer.options.shift, styles_of(self.columns)
        images = images_of_steps(explainer.synthesis, styles, explainer.extremes, shift, steps, selection)
        original = Tile(self.image.permute(1, 2, 0).cpu().numpy(), "original", self.probabilities("logits")[target])
        save_explanation(path, assemble(self.predicted, target, original, images, steps, selection), provenance)


def read_images(root: Path, config: ExperimentConfig, files: Sequence[Path], channels: int) -> torch.Tensor:
    """Return the images of the files, float32 [N, C, H, W] in [-1, 1], prepared as those of the experiment's dataset.

    channels: of a released model, whose dataset is not here: the central square is taken.
    """
    from stylex.datasets import read_files
    from stylex.datasets.single import read_squares
    from stylex.quantization import from_uint8

    if config.runs("train"):
        return from_uint8(read_files(root, config.dataset, files))
    return from_uint8(read_squares(files, channels, config.dataset.resolution))


def targets_of_files(request: Request, logits: torch.Tensor, class_names: Sequence[str]) -> torch.Tensor:
    """Return the target class of each file [N]; logits [N, classes] of the reconstructions."""
    import torch

    from stylex.attfind.explanations import runners_up
    from stylex.config.loading import unknown_name

    if request.target is None:
        return runners_up(logits)
    if request.target not in class_names:
        raise ConfigError(f"--target: {unknown_name('class', request.target, list(class_names))}")
    target = class_names.index(request.target)
    for file, decision in zip(request.files, logits.argmax(dim=1).tolist(), strict=True):
        if decision == target:
            raise ArtifactError(f"{file}: the classifier already says '{request.target}'; choose another --target")
    return torch.full((len(logits),), target, device=logits.device)
