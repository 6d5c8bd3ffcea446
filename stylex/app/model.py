"""What the app explains, and what it computes for a page: an image looked at, its moved reconstruction, a search."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image

from stylex.api import AttributeLike, Explainer, Reconstructed, load, pil_images
from stylex.app.limits import CLASSES, SLIDERS
from stylex.app.pictures import check_picture
from stylex.config import experiment_paths, load_experiment
from stylex.errors import ArtifactError, ImageError, StylexError
from stylex.export import EXAMPLES, is_export, read_description, read_experiment
from stylex.latents.table import read_latents

POOR = 2.0  # times the error that the analysed images have
OPPOSITE = {"to_min": "to_max", "to_max": "to_min"}


class Example(NamedTuple):
    """An analysed image of an export."""

    file: Path
    label: str


@dataclass(frozen=True)
class Attribute:
    """A coordinate with a slider."""

    number: int  # 1 is the first
    target_class: str
    style_index: int
    layer: int
    channel: int
    direction: str  # to_min or to_max, which raises the target class
    name: str  # what people call it, or empty

    @property
    def label(self) -> str:
        """What the slider is called."""
        return f"{self.name or f'Attribute {self.number}'}: raises {self.target_class}"

    @property
    def place(self) -> str:
        """Where the coordinate is."""
        return f"layer {self.layer}, channel {self.channel}"

    def at(self, position: float) -> tuple[AttributeLike, float]:
        """Return the move of a position: 1 is the extreme that raises the target class, -1 the other one."""
        direction = self.direction if position >= 0 else OPPOSITE[self.direction]
        return (self.style_index, direction), abs(position)


class Frame(NamedTuple):
    """A reconstruction with some attributes moved."""

    image: Image.Image
    probabilities: dict[str, float]


class Found(NamedTuple):
    """The result of a search: what `Explanation.save` writes, and its table."""

    summary: str
    rows: list[tuple[str, ...]]  # step, layer, channel, direction, P before, P after
    target: str
    figure: bytes  # PNG
    numbers: bytes  # JSON
    name: str  # of the files, without ending


@dataclass(frozen=True)
class Model:
    """One classifier with what explains it."""

    explainer: Explainer
    title: str
    attributes: tuple[Attribute, ...]
    missing: str  # why there is no attribute; empty where there are some
    examples: tuple[Example, ...]
    usual_error: float  # mean L1 of the reconstructions of the analysed images; NaN where unknown

    def look_at(self, file: Path, name: str) -> Reconstructed:
        """Read an image; raise `ImageError`, which calls it `name`, when it is none, too large or damaged."""
        check_picture(file, name)
        try:
            return self.explainer.look_at(file)
        except ImageError as error:
            raise ImageError(str(error).replace(str(file), name)) from None

    def frame(self, seen: Reconstructed, positions: Sequence[float]) -> Frame:
        """Move each attribute to its position, in [-shift, shift]; 0 is where it is."""
        moves = [each.at(position) for each, position in zip(self.attributes, positions, strict=True) if position]
        moved = self.explainer.move_styles(seen.styles, moves)
        return Frame(moved.image, moved.probabilities)

    def search(
        self, seen: Reconstructed, name: str, method: Literal["subset", "independent"], target: str,
        progress: Callable[[float], None],
    ) -> Found:  # fmt: skip
        """Search what turns the decision on an image; raise `StylexError` when nothing does."""
        try:
            found = self.explainer.explain(seen.image, target, method, progress=progress)
        except StylexError as error:
            raise type(error)(str(error).replace("image 0", name)) from None
        found = replace(found, image=name)
        stem = Path(name).stem or "image"
        with tempfile.TemporaryDirectory(prefix="stylex-") as folder:
            path = Path(folder) / "explanation.png"
            found.save(path)
            figure, numbers = path.read_bytes(), path.with_suffix(".json").read_bytes()
        rows = [
            (str(row.step), str(row.layer), str(row.channel), str(row.direction), f"{row.probability_before:.3f}",
             f"{row.probability_after:.3f}")
            for row in found.steps.itertuples()
        ]  # fmt: skip
        return Found(found.summary().splitlines()[0], rows, target, figure, numbers, f"{stem}-{method}")

    def shown_classes(self, seen: Reconstructed) -> list[str]:
        """Return the most probable classes of an image and its reconstruction, in the order of the classifier."""
        both = seen.probabilities, seen.reconstruction_probabilities
        names = self.explainer.class_names
        likely = sorted(names, key=lambda name: -max(each[name] for each in both))[:CLASSES]
        return [name for name in names if name in likely]

    def doubts(self, seen: Reconstructed) -> list[str]:
        """Return why what the page shows may not hold for this image, in sentences."""
        said, again = decision(seen.probabilities), decision(seen.reconstruction_probabilities)
        sentences = []
        if said != again:
            sentences.append(
                f"The classifier decides the reconstruction differently: {again} instead of {said}."
                " What is shown here explains the reconstruction, not the image."
            )
        if seen.l1 > POOR * self.usual_error:
            sentences.append(
                f"The reconstruction is poor: its error is {seen.l1:.3f}, that of the analysed images"
                f" {self.usual_error:.3f} on average. The image may be unlike the images that were learned from."
            )
        return sentences


def decision(probabilities: dict[str, float]) -> str:
    """Return the most probable class."""
    return max(probabilities, key=probabilities.__getitem__)


def pictures_of(seen: Reconstructed) -> tuple[Image.Image, Image.Image]:
    """Return the image and its reconstruction."""
    image, reconstruction = pil_images(seen.image[None]) + pil_images(seen.reconstruction[None])
    return image, reconstruction


def read_model(folder: Path | None, experiment: str, device: str) -> Model:
    """Read an exported folder; or, where `folder` is None, an experiment of the project in the current folder."""
    if folder is not None and is_export(folder):
        description = read_description(folder)
        errors = [row.value for row in description.quality if row.measure == "reconstruction_l1"]
        examples = tuple(Example(folder / EXAMPLES / Path(each.file).name, each.label) for each in description.examples)
        return _model(load(folder, device), description.title, examples, errors[0] if errors else float("nan"))
    if folder is not None:  # of results/experiments, or an error that says what it lacks
        return _model(load(folder, device), folder.name, (), float("nan"))
    explainer = Explainer(read_experiment(Path(), experiment, device), device)
    latents = read_latents(experiment_paths(Path(), experiment).latents)
    error = float(latents.reconstruction_l1.nanmean())
    return _model(explainer, load_experiment(Path(), experiment).title, (), error)


def _model(explainer: Explainer, title: str, examples: tuple[Example, ...], usual_error: float) -> Model:
    try:
        attributes, missing = top_attributes(explainer), ""
    except ArtifactError as error:
        attributes, missing = (), str(error)
    present = tuple(each for each in examples if each.file.is_file())
    return Model(explainer, title, attributes, missing, present, usual_error)


def top_attributes(explainer: Explainer) -> tuple[Attribute, ...]:
    """Return the first different coordinates of all target classes, merged by rank as in the figure of attributes."""
    table = explainer.attributes
    if table.empty:
        raise ArtifactError("AttFind found no attribute")
    order, ascending = ["rank", "mean_effect", "style_index"], [True, False, True]
    first = table.sort_values(order, ascending=ascending, kind="stable").drop_duplicates("style_index")[:SLIDERS]
    columns = ["target_class", "style_index", "layer", "channel", "direction", "name"]
    rows = zip(*(first[column].tolist() for column in columns), strict=True)
    return tuple(Attribute(number, *row) for number, row in enumerate(rows, 1))
