"""The Python API: explain images with an export or an experiment, and find attributes of any generator.

    explainer = stylex.load("models/mnist")
    explanation = explainer.explain("digit.png")
    explanation.figure()

`stylex explain` uses the same code. Images are files, PIL images, arrays of bytes or tensors; all of them are prepared
as a file of them is, and a file is prepared as those of the dataset were.
"""

from __future__ import annotations

import base64
import io
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, overload

import numpy
import pandas
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from stylex.artifacts import provenance, write_json
from stylex.attfind import explanations, selection
from stylex.attfind.engine import every_move, targets_of
from stylex.attfind.records import Direction, Effects, EffectsHeader, Method, threshold_in_logits
from stylex.config import AttFindConfig
from stylex.config.loading import unknown_name
from stylex.errors import ArtifactError, AttributesNotFoundError, ConfigError, ImageError
from stylex.export import DESCRIPTION, Source, is_export, read_experiment, read_export
from stylex.latents.encode import reconstruct
from stylex.networks.stylespace import StyleVector, move
from stylex.quantization import from_uint8, to_uint8

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

ImageLike: TypeAlias = "str | os.PathLike[str] | Image.Image | NDArray[numpy.uint8] | Tensor"
MethodName: TypeAlias = Literal["subset", "independent"]
AttributeLike: TypeAlias = "pandas.Series | tuple[str, int] | tuple[int, str]"
ORIGIN = "experiment "  # with which the provenance in a figure begins
PNG_MODES = frozenset(("1", "L", "LA", "P", "RGB", "RGBA", "I;16"))
NO_RANGE = frozenset(("I", "F"))  # modes of Pillow
BATCH = 64
MARGINS = 2.0  # of Algorithm 1, where no threshold is given: hardly any single move explains an image
ROUNDING = 1e-3  # by which a tensor may leave [-1, 1]
logger = logging.getLogger("stylex")


def load(folder: str | os.PathLike[str], device: str = "cpu") -> Explainer:
    """Return the explainer of an export, or of a project's experiment, by its folder of results/experiments.

    device: "cpu", "cuda" or "cuda:1". Raises `ArtifactError` when the folder is neither, is damaged, was written by a
    newer version, or when the experiment is not trained and encoded.

    >>> explainer = stylex.load(folder)
    >>> explainer.class_names
    ('3', '5')
    """
    path = Path(folder)
    if is_export(path):
        return Explainer(read_export(path, device), device)
    place = path.absolute()
    if (place.parent.parent.name, place.parent.name) == ("results", "experiments"):
        return Explainer(read_experiment(place.parents[2], place.name, device), device)
    raise ArtifactError(
        f"{folder} is no export, as it has no {DESCRIPTION}, and no folder of results/experiments;"
        " make one with `stylex export`"
    )


class Moved(NamedTuple):
    """A reconstruction with one coordinate moved."""

    image: Image.Image
    tensor: Tensor  # [C, H, W] in [-1, 1]
    probabilities: dict[str, float]  # the classifier's, by class


class Reconstructed(NamedTuple):
    """An image and its reconstruction: [C, H, W] in [-1, 1], and the classifier's probabilities by class."""

    image: Tensor
    reconstruction: Tensor
    styles: StyleVector  # of one image
    probabilities: dict[str, float]  # of the image
    reconstruction_probabilities: dict[str, float]

    @property
    def l1(self) -> float:
        """The error of the reconstruction: mean |x' - x| of pixels in [-1, 1]."""
        return float((self.reconstruction - self.image).abs().mean())


class Explainer:
    """Explains the decisions of one classifier.

    >>> explainer = stylex.load(folder)
    >>> list(explainer.attributes.columns[:6])
    ['target_class', 'rank', 'style_index', 'layer', 'channel', 'direction']
    >>> explanation = explainer.explain(image, method="independent", attributes=2)
    >>> len(explanation.steps), len(explanation.images)
    (2, 4)
    """

    def __init__(self, source: Source, device: str = "cpu") -> None:
        """`load` makes one; source: on `device`."""
        self._source, self.device = source, device
        self._search = explanations.Explainer(
            source.networks, source.classifier, source.extremes, source.options, device
        )

    @property
    def name(self) -> str:
        """The name of the experiment."""
        return self._source.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the classifier's outputs."""
        return self._source.class_names

    @property
    def shift(self) -> float:
        """How far coordinates move in explanations: 0 is where they are, 1 their extreme over the searched images."""
        return self._source.options.shift

    @cached_property
    def attributes(self) -> pandas.DataFrame:
        """The coordinates that AttFind chose, by target class and rank: the columns of attributes.csv.

        direction: to_min or to_max; mean_effect: in logits; name: what people call it, or empty. Raises `ArtifactError`
        when an experiment has none yet.
        """
        found, names = self._source.attributes(), self._source.names()
        rows = [
            asdict(each) | {"direction": each.direction.label, "name": names.get(each.style_index, "")}
            for each in found
        ]
        return pandas.DataFrame(rows)

    @overload
    def explain(
        self, images: str | os.PathLike[str] | Image.Image, target: str | None = None, method: MethodName = "subset",
        attributes: int | None = None, progress: Callable[[float], None] | None = None,
    ) -> Explanation: ...  # fmt: skip
    @overload
    def explain(
        self, images: Sequence[ImageLike], target: str | None = None, method: MethodName = "subset",
        attributes: int | None = None, progress: Callable[[float], None] | None = None,
    ) -> list[Explanation]: ...  # fmt: skip
    @overload
    def explain(
        self, images: NDArray[numpy.uint8] | Tensor, target: str | None = None, method: MethodName = "subset",
        attributes: int | None = None, progress: Callable[[float], None] | None = None,
    ) -> Any: ...  # fmt: skip
    def explain(
        self, images: ImageLike | Sequence[ImageLike], target: str | None = None, method: MethodName = "subset",
        attributes: int | None = None, progress: Callable[[float], None] | None = None,
    ) -> Explanation | list[Explanation]:  # fmt: skip
        """Say which coordinates turn the classifier's decision on an image; a list of images gives a list.

        images: a path, a PIL image, bytes [H, W] or [H, W, C], a tensor [C, H, W] in [-1, 1]; or several: a list of
        these, bytes [N, H, W, C], a tensor [N, C, H, W]. target: the class to turn into; default: of each image the
        second most probable. method: "subset", greedy, until the decision flips; or "independent", the coordinates
        with the largest effects, each moved alone. attributes: at most so many; default: the experiment's. progress: is
        told, in the thread that searches, the part of the images classified that can be needed, 0 to 1; what it raises
        ends the search.

        Raises `ImageError` for an image that cannot be read, `ConfigError` for an unknown target or method,
        `ArtifactError` when an image is of the target already, `AttributesNotFoundError` when nothing brings it nearer.
        """
        given = self._prepared(images)
        chosen = _method(method)
        if attributes is not None and attributes < 1:
            raise ConfigError(f"attributes = {attributes}: at least one coordinate moves; leave it out for the default")
        columns = self._reconstructed(given.tensor)
        targets = self._targets(given.names, columns["reconstruction_logits"], target)
        limit = attributes or self._source.options.steps
        styles = StyleVector(columns["styles"], columns["to_rgb_styles"])
        found = self._searching(chosen, limit, len(targets), progress).explain(styles, targets, chosen, limit)
        results = []
        for row, (name, label, steps) in enumerate(zip(given.names, targets.tolist(), found, strict=True)):
            if not steps:
                raise AttributesNotFoundError(
                    f"{name}: no style coordinate brings it nearer to '{self.class_names[label]}'; choose another"
                    " target or raise attfind.shift"
                )
            shown = self._images_of_steps(styles.select(slice(row, row + 1)), steps, chosen)
            answers = columns["logits"][[row]], columns["reconstruction_logits"][[row]]
            results.append(Explanation(
                self._source, self.device, name, chosen, label, tuple(steps),
                tensors=torch.cat([given.tensor[[row]].cpu(), shown]),
                logits=torch.cat([*answers, self._logits(shown[1:].to(self.device))]).cpu(),
                reconstruction_l1=float((columns["reconstruction"][row] - given.tensor[row]).abs().mean()),
            ))  # fmt: skip
        return results[0] if given.single else results

    def _searching(
        self, method: Method, limit: int, images: int, progress: Callable[[float], None] | None
    ) -> explanations.Explainer:
        """Return the search of `images` images, which tells its progress."""
        if progress is None:
            return self._search
        moves = 2 * self._search.synthesis.layout.size
        most = images * (moves * limit if method is Method.SUBSET else moves + limit)
        counted = _counted(self._source.classifier, most, progress)
        return explanations.Explainer(
            self._source.networks, counted, self._search.extremes, self._source.options, self.device
        )

    def _images_of_steps(self, styles: StyleVector, steps: Sequence[explanations.Step], method: Method) -> Tensor:
        """Return the reconstruction and the image of each step, [1 + S, C, H, W] on the CPU; styles: of one image."""
        from stylex.figures.explanations import images_of_steps

        records = [step.record() for step in steps]
        found = images_of_steps(self._search.synthesis, styles, self._search.extremes, self.shift, records, method)
        return torch.from_numpy(found).permute(0, 3, 1, 2)

    def move(self, image: ImageLike, attribute: AttributeLike, shift: float | None = None) -> Moved:
        """Move one coordinate of an image's reconstruction.

        attribute: a row of `attributes`; a class and a rank, as ("3", 1); or a coordinate and a direction, as
        (17, "to_max"). shift: any number; 0 is the reconstruction, 1 the coordinate's extreme over the searched images;
        default: that of explanations. Raises `ConfigError` for an unknown attribute.

        >>> moved = stylex.load(folder).move(image, (0, "to_max"), shift=0.5)
        >>> sorted(moved.probabilities)
        ['3', '5']
        """
        return self.move_styles(self.encode([image]), [(attribute, self.shift if shift is None else shift)])

    def move_styles(self, styles: StyleVector, moves: Iterable[tuple[AttributeLike, float]]) -> Moved:
        """Move any number of coordinates of one image, whose styles are `encode`'s: each by its own shift, as `move`.

        >>> explainer = stylex.load(folder)
        >>> moved = explainer.move_styles(explainer.encode(image), [((0, "to_max"), 0.5), ((1, "to_min"), 1.0)])
        >>> moved.tensor.shape
        torch.Size([1, 32, 32])
        """
        space = styles.space
        for attribute, shift in moves:
            index, direction = self._coordinate(attribute)
            extreme = self._search.extremes[direction, [index]]
            space = move(space, torch.tensor([index], device=space.device), extreme, shift)
        tensor = self.render(styles._replace(space=space))
        (picture,) = pil_images(tensor)
        return Moved(picture, tensor[0].cpu(), *self._answers(self._logits(tensor)))

    def look_at(self, image: ImageLike) -> Reconstructed:
        """Reconstruct one image, and say what the classifier makes of both.

        >>> seen = stylex.load(folder).look_at(image)
        >>> seen.reconstruction.shape, sorted(seen.probabilities)
        (torch.Size([1, 32, 32]), ['3', '5'])
        """
        given = self._prepared([image]).tensor
        columns = self._reconstructed(given)
        styles = StyleVector(columns["styles"], columns["to_rgb_styles"])
        answers = self._answers(torch.cat([columns["logits"], columns["reconstruction_logits"]]))
        return Reconstructed(given[0].cpu(), columns["reconstruction"][0].cpu(), styles, *answers)

    def _answers(self, logits: Tensor) -> list[dict[str, float]]:
        """Return the probabilities of each image by class."""
        answers = logits.softmax(dim=1).tolist()
        return [dict(zip(self.class_names, answer, strict=True)) for answer in answers]

    def encode(self, images: ImageLike | Sequence[ImageLike]) -> StyleVector:
        """Return the styles of images: `space` [N, K], the coordinates that move, and `to_rgb` [N, R].

        >>> stylex.load(folder).encode(image).space.shape
        torch.Size([1, 56])
        """
        columns = self._reconstructed(self._prepared(images).tensor)
        return StyleVector(columns["styles"], columns["to_rgb_styles"])

    def reconstruct(self, images: ImageLike | Sequence[ImageLike]) -> Tensor:
        """Return the reconstructions, float32 [N, C, H, W] in [-1, 1], one row an image.

        >>> stylex.load(folder).reconstruct(image).shape
        torch.Size([1, 1, 32, 32])
        """
        return self._reconstructed(self._prepared(images).tensor)["reconstruction"].cpu()

    @torch.no_grad()
    def render(self, styles: StyleVector) -> Tensor:
        """Return the images of styles, float32 [N, C, H, W] in [-1, 1], as an image file holds them."""
        batches = torch.arange(len(styles.space), device=styles.space.device).split(self._source.options.batch_size)
        return torch.cat([self._search.synthesis.render(styles.select(rows)) for rows in batches])

    @torch.no_grad()
    def _logits(self, images: Tensor) -> Tensor:
        return torch.cat([self._source.classifier(part) for part in images.split(self._source.options.batch_size)])

    def _reconstructed(self, images: Tensor) -> dict[str, Tensor]:
        networks, classifier = self._source.networks, self._source.classifier
        parts = [reconstruct(networks, classifier, part) for part in images.split(self._source.options.batch_size)]
        columns = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return columns | {"reconstruction_logits": self._logits(columns["reconstruction"])}

    def _prepared(self, images: ImageLike | Sequence[ImageLike]) -> _Given:
        several = _several(images)
        listed: list[Any] = [images] if several is None else several
        if not listed:
            raise ImageError("no image is given")
        with tempfile.TemporaryDirectory(prefix="stylex-") as folder:
            files = [_file(each, Path(folder) / f"image-{number}.png") for number, each in enumerate(listed)]
            tensor = from_uint8(self._source.read(files)).to(self.device)
        names = [_name(each, number) for number, each in enumerate(listed)]
        return _Given(names, tensor, several is None)

    def _targets(self, names: Sequence[str], logits: Tensor, target: str | None) -> Tensor:
        """Return the target class of each image [N]; logits [N, classes] of the reconstructions."""
        if target is None:
            return explanations.runners_up(logits)
        if target not in self.class_names:
            raise ConfigError(f"target: {unknown_name('class', target, list(self.class_names))}")
        label = self.class_names.index(target)
        for name, decision in zip(names, logits.argmax(dim=1).tolist(), strict=True):
            if decision == label:
                raise ArtifactError(f"{name}: the classifier already says '{target}'; choose another target")
        return torch.full((len(logits),), label, device=logits.device)

    def _coordinate(self, attribute: AttributeLike) -> tuple[int, Direction]:
        given: Any = attribute
        if not isinstance(given, pandas.Series) and isinstance(given[0], str):
            table = self.attributes
            rows = table[(table["target_class"] == given[0]) & (table["rank"] == given[1])]
            if rows.empty:
                raise ConfigError(f"attribute {given}: there is no such class and rank in `attributes`")
            given = rows.iloc[0]
        place: Any = (given["style_index"], given["direction"]) if isinstance(given, pandas.Series) else given
        index, label = place
        size, labels = self._search.synthesis.layout.size, [direction.label for direction in Direction]
        if not 0 <= index < size or label not in labels:
            raise ConfigError(f"attribute {(index, label)}: coordinates are 0 to {size - 1}, directions {labels}")
        return int(index), Direction(labels.index(label))


def _counted(
    classifier: Callable[[Tensor], Tensor], most: int, progress: Callable[[float], None]
) -> Callable[[Tensor], Tensor]:
    """Return the classifier, which tells the part of `most` images that it has seen."""
    seen = 0

    def logits(images: Tensor) -> Tensor:
        nonlocal seen
        found = classifier(images)
        seen += len(images)
        progress(min(seen / most, 1.0))
        return found

    return logits


class _Given(NamedTuple):
    names: list[str]
    tensor: Tensor  # [N, C, H, W] in [-1, 1], on the device
    single: bool


@dataclass(frozen=True)
class Explanation:
    """One image and what turns the classifier's decision on it.

    >>> explanation = stylex.load(folder).explain(image)
    >>> list(explanation.probabilities.index[:2]), list(explanation.probabilities.columns)
    (['original', 'reconstruction'], ['3', '5'])
    >>> explanation.images[0].size, explanation.tensors.shape[1:]
    ((32, 32), torch.Size([1, 32, 32]))
    """

    source: Source
    device: str
    image: str  # the file, or which of the images given
    method: Method
    label: int  # the target class, as a position
    records: tuple[explanations.Step, ...]
    tensors: Tensor
    """The original, its reconstruction and the image of each step, [2 + steps, C, H, W] in [-1, 1]."""
    logits: Tensor
    """The classifier's answers to these, [2 + steps, classes]."""
    reconstruction_l1: float  # mean |x' - x| of pixels in [-1, 1]

    @property
    def target(self) -> str:
        """The class that the image is turned into."""
        return self.source.class_names[self.label]

    @property
    def predicted(self) -> str:
        """The classifier's answer to the reconstruction."""
        return self.source.class_names[int(self.logits[1].argmax())]

    @property
    def steps(self) -> pandas.DataFrame:
        """The coordinates, one row each; probability_before and _after are those of the target class.

        By "subset" a step has those before it moved, too; by "independent" it is alone.
        """
        return pandas.DataFrame([step.record() for step in self.records])

    @property
    def probabilities(self) -> pandas.DataFrame:
        """The classifier's probabilities: rows original, reconstruction, 1, 2, … (steps); a column a class."""
        index = ["original", "reconstruction", *range(1, len(self.records) + 1)]
        return pandas.DataFrame(self.logits.softmax(dim=1).tolist(), index=index, columns=list(self.source.class_names))

    @property
    def images(self) -> list[Image.Image]:
        """The original, its reconstruction and the image of each step, in their own size."""
        return pil_images(self.tensors)

    @property
    def flips(self) -> int:
        """How many steps end with the target class: by "subset" one at the most, by "independent" each alone."""
        return sum(step.flipped for step in self.records)

    @property
    def flipped(self) -> bool:
        """Whether a step ends with the target class."""
        return self.flips > 0

    def figure(self) -> Figure:
        """Draw the original, the reconstruction and the steps, with the probability of the target class."""
        from stylex.figures.explanations import draw_explanations

        return draw_explanations([self._block()])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the figure to `path`, which ends in .png, and the numbers beside it, as JSON."""
        from stylex.figures.explanations import save_explanation

        path, source = Path(path), self.source
        if path.suffix != ".png":
            raise ConfigError(f"{path}: an explanation is saved as PNG; name a file that ends in .png")
        caption = f"{ORIGIN}{source.name}, config {source.config_digest}, seed {source.seed}"
        save_explanation(path, self._block(), caption)
        origin = provenance(source.config_digest, source.seed, self.device)
        write_json(path.with_suffix(".json"), {"experiment": source.name, **self.content(), "provenance": origin})

    def content(self) -> dict[str, Any]:
        """Return what the JSON file holds, but for its provenance."""
        answers = self.probabilities
        return {
            "image": self.image,
            "method": self.method.value,
            "target_class": self.target,
            "flipped": self.flipped,
            "probabilities": answers.loc["original"].to_dict(),
            "reconstruction_probabilities": answers.loc["reconstruction"].to_dict(),
            "reconstruction_l1": self.reconstruction_l1,
            "steps": [step.record() for step in self.records],
        }

    def summary(self) -> str:
        """Return the steps in lines of text."""
        end = "the decision flips" if self.flipped else "the decision does not flip"
        if self.method is Method.INDEPENDENT:
            end = f"{self.flips} of {len(self.records)} coordinates flip the decision, each moved alone"
        rows = [("step", "layer", "channel", "direction", f"P({self.target})")]
        rows.append(("0", "", "", "", f"{self.records[0].probability_before:.3f}"))
        for step in self.records:
            place = str(step.step), str(step.layer), str(step.channel), step.direction.label
            rows.append((*place, f"{step.probability_after:.3f}"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  " + "  ".join(map(str.rjust, row, widths)) for row in rows]
        return "\n".join([f"{self.image}: {self.predicted} to {self.target}, {self.method.value}: {end}", *lines])

    def _block(self) -> Any:
        from stylex.figures.explanations import Tile, assemble

        shown = self.tensors.permute(0, 2, 3, 1).numpy()
        original = Tile(shown[0], "original", float(self.probabilities.loc["original", self.target]))
        steps = [step.record() for step in self.records]
        return assemble(self.predicted, self.target, original, shown[1:], steps, self.method)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_png_(self) -> bytes:
        from stylex.figures.style import DPI

        drawn = io.BytesIO()
        self.figure().savefig(drawn, format="png", dpi=DPI)
        return drawn.getvalue()

    def _repr_html_(self) -> str:
        """Return the figure and the table of steps."""
        picture = base64.b64encode(self._repr_png_()).decode()
        title = escape(self.summary().splitlines()[0])
        table = self.steps.to_html(index=False, float_format="{:.3f}".format)
        return f'<p>{title}</p><img alt="{title}" src="data:image/png;base64,{picture}">{table}'


def pil_images(images: Tensor) -> list[Image.Image]:
    """Return images [N, C, H, W] in [-1, 1], C = 1 or 3, as PIL images."""
    pixels = to_uint8(images).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(each[..., 0] if each.shape[2] == 1 else each) for each in pixels]


def find_attributes(
    render: Callable[[Tensor], Tensor],
    classifier: Callable[[Tensor], Tensor],
    styles: Tensor,
    *,
    class_names: Sequence[str] | None = None,
    extremes: Tensor | None = None,
    shift: float = 1.0,
    max_attributes: int = 10,
    threshold: float | None = None,
    tolerance: float = 0.0,
    against: str | None = None,
    batch_size: int = BATCH,
) -> pandas.DataFrame:
    """Run Algorithm 1 of Lang et al. on any generator: every move of every image is rendered and classified.

    render: styles [n, K] -> images, in whatever form `classifier` takes them; classifier: images -> logits
    [n, classes]; styles: float [N, K] of the analysed images. class_names: default "0", "1", …; extremes [2, K]: where
    coordinates move to, default their minima and maxima over `styles`; shift: how far, 1 is the extreme. An image whose
    logit rises by more than `threshold` is explained and leaves the search: default, twice the median margin of the
    classifier's decisions; `tolerance`, `against`: as in `attfind` of
    an experiment. 2 N K images are rendered.

    Returns target_class, rank, style_index, direction, mean_effect (logits) and images_explained. Raises `ConfigError`
    for impossible values and outputs, `AttributesNotFoundError` when no move raises any class.

    >>> styles = torch.tensor([[0.0, 0.5], [1.0, 0.5], [0.2, 0.1]])
    >>> logits = lambda images: torch.stack([images[:, 0], 1 - images[:, 0]], dim=1)
    >>> stylex.find_attributes(lambda styles: styles, logits, styles)[["target_class", "style_index", "direction"]]
      target_class  style_index direction
    0            0            0    to_max
    1            1            0    to_min
    """
    _check_styles(styles, extremes)
    extremes = torch.stack([styles.amin(0), styles.amax(0)]) if extremes is None else extremes.to(styles)
    try:
        options = AttFindConfig.model_validate({
            "split": "test", "images": len(styles), "shift": shift, "max_attributes": max_attributes,
            "threshold": 0.0 if threshold is None else threshold, "tolerance": tolerance, "against": against,
            "threshold_margins": MARGINS if threshold is None else None, "batch_size": batch_size,
        })  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{first['loc'][0]} = {first['input']!r}: {first['msg']}") from None
    base, effect = _measured(render, classifier, styles, extremes, options)
    options = options.model_copy(update={"threshold": threshold_in_logits(options, base)})
    names = tuple(map(str, range(base.shape[1]))) if class_names is None else tuple(class_names)
    if len(names) != base.shape[1]:
        raise ConfigError(f"class_names has {len(names)} names, the classifier {base.shape[1]} outputs; name each")
    size = styles.shape[1]
    minima, maxima = extremes.tolist()
    header = EffectsHeader(names, shift, "float32", minima, maxima, [0] * size, list(range(size)), {})
    effects = Effects([str(row) for row in range(len(styles))], base, effect, header)
    found = []
    for target in selection.targets(effects, against):
        try:
            found += selection.select_attributes(effects, target, options).attributes
        except AttributesNotFoundError as error:
            logger.info("%s", error)
    if not found:
        raise AttributesNotFoundError("no move raises any class; raise shift, or give more styles")
    rows = [asdict(each) | {"direction": each.direction.label} for each in found]
    return pandas.DataFrame(rows).drop(columns=["layer", "channel"])


def _check_styles(styles: Tensor, extremes: Tensor | None) -> None:
    if styles.dim() != 2 or not styles.is_floating_point() or not styles.numel() or not styles.isfinite().all():
        raise ConfigError(f"styles: {styles.dtype} {list(styles.shape)}; give finite floats [N, K]")
    if extremes is not None and extremes.shape != (2, styles.shape[1]):
        raise ConfigError(f"extremes: {list(extremes.shape)}; give minima and maxima, [2, {styles.shape[1]}]")


@torch.no_grad()
def _measured(
    render: Callable[[Tensor], Tensor],
    classifier: Callable[[Tensor], Tensor],
    styles: Tensor,
    extremes: Tensor,
    options: AttFindConfig,
) -> tuple[Tensor, Tensor]:
    """Return logits [N, classes] and their changes [N, 2, K, classes], on the CPU."""

    def logits(rows: Tensor) -> Tensor:
        found = classifier(render(rows))
        if found.dim() != 2 or len(found) != len(rows) or found.shape[1] < 2 or not found.isfinite().all():
            shape = f"{list(found.shape)}{'' if found.isfinite().all() else ', not all finite'}"
            raise ConfigError(f"classifier: {shape} for {len(rows)} images; it has to give finite logits [n, classes]")
        return found.float().cpu()

    base = torch.cat([logits(part) for part in styles.split(options.batch_size)])
    targets = targets_of(styles, extremes, options.shift)
    moves, parts = every_move(targets), []
    for rows in torch.arange(targets.numel(), device=styles.device).split(options.batch_size):
        some = moves.select(rows)
        moved = styles[some.image]
        moved[torch.arange(len(rows), device=styles.device), some.index] = some.value
        parts.append(logits(moved) - base[some.image.cpu()])
    return base, torch.cat(parts).reshape(*targets.shape, -1)


def _method(name: str) -> Method:
    if name not in [each.value for each in Method]:
        raise ConfigError(f"method: {unknown_name('method', name, [each.value for each in Method])}")
    return Method(name)


def _several(images: ImageLike | Sequence[ImageLike]) -> list[Any] | None:
    """Return the images one by one; None: it is one image."""
    if isinstance(images, str | os.PathLike | Image.Image):
        return None
    if isinstance(images, numpy.ndarray | Tensor):
        return list(images) if images.ndim == 4 else None
    return list(images)


def _name(image: ImageLike, number: int) -> str:
    return str(image) if isinstance(image, str | os.PathLike) else f"image {number}"


def _file(image: ImageLike, path: Path) -> Path:
    """Return the file of an image; what is none yet is written to `path`, without loss."""
    if isinstance(image, str | os.PathLike):
        return Path(image)
    if isinstance(image, Tensor):
        image = _picture_of_tensor(image, path.stem)
    elif isinstance(image, numpy.ndarray):
        image = _picture_of_bytes(image, path.stem)
    elif not isinstance(image, Image.Image):
        raise ImageError(f"{type(image).__name__} is no image; give a path, a PIL image, bytes or a tensor")
    if image.mode in NO_RANGE:
        raise ImageError(f"{path.stem}: pixels of mode {image.mode} have no fixed range; convert it to 8 bits")
    whole = image if image.mode in PNG_MODES else image.convert("RGB")
    whole.save(path, exif=image.getexif())  # with the orientation
    return path


def _picture_of_tensor(image: Tensor, name: str) -> Image.Image:
    if image.dim() != 3 or image.shape[0] not in (1, 3) or not image.is_floating_point():
        raise ImageError(f"{name}: a tensor {image.dtype} {list(image.shape)}; give floats [1 or 3, H, W] in [-1, 1]")
    if not image.numel() or not image.isfinite().all() or image.abs().max() > 1 + ROUNDING:
        raise ImageError(f"{name}: a tensor with values outside of [-1, 1]; scale it first")
    return pil_images(image[None])[0]


def _picture_of_bytes(image: NDArray[numpy.uint8], name: str) -> Image.Image:
    channels = image.shape[2] if image.ndim == 3 else 1
    if image.dtype != numpy.uint8 or image.ndim not in (2, 3) or channels not in (1, 3, 4) or not image.size:
        raise ImageError(f"{name}: an array {image.dtype} {list(image.shape)}; give uint8 [H, W] or [H, W, 1, 3 or 4]")
    return Image.fromarray(image[..., 0] if image.ndim == 3 and channels == 1 else image)
