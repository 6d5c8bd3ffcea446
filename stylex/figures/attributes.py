"""The figure of the top attributes, as figure 4 of [L], of all classes or of one.

Its caption (catalog.yaml) says which attributes and images it shows. A row is one attribute. It has a block for each
class: the reconstruction of an image, and beside it, framed, the counterfactual in which this one style coordinate is
moved: on an image of another class to raise the target class, on an image of that class the opposite way. The map on
the right is the mean change of each pixel over all images measured; all maps of a figure share one scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stylex.attfind.records import Attribute, Direction, Effects, read_maps, top_attributes
from stylex.errors import AttributesNotFoundError
from stylex.figures.experiment import AnalysedExperiment, opposite
from stylex.figures.style import (
    LOWERED,
    MARGIN,
    RAISED,
    Board,
    Image,
    common,
    edge,
    frame_of,
    note,
    show,
    squares,
    styled,
)
from stylex.latents.table import Latents

LABEL_WIDTH, PAIR_GAP, BLOCK_GAP, ROW_GAP = 0.74, 0.05, 0.1, 0.09  # inches
HEADER, BLOCK_TITLE, FOOTER, BAR = 0.4, 0.13, 0.27, 0.05  # inches
MAP_COLOURS = colormaps["magma"]  # perceptually uniform; black: no change


@dataclass(frozen=True)
class Example:
    """One block of a row: an image (row of the latents), moved one way, to raise or to lower the target class."""

    image: int
    direction: Direction
    raises: bool
    predicted: int


@dataclass(frozen=True)
class Pair:
    """An image and its counterfactual; images are float [H, W, C] in [-1, 1], C = 1 or 3."""

    class_name: str  # what the classifier makes of the reconstruction
    raises: bool  # the counterfactual is meant to raise the target class
    reconstruction: Image
    counterfactual: Image
    before: float  # probability of the target class for the reconstruction
    after: float  # and for the counterfactual


@dataclass(frozen=True)
class AttributeRow:
    """One attribute, with a pair for each of the two blocks (None: no analysed image is of that kind)."""

    number: int
    target_class: str
    details: str
    pairs: tuple[Pair | None, Pair | None]
    change: NDArray[numpy.float32]
    """[H, W] in [0, 2]: mean change of each pixel, over the channels and the images measured; NaN: there are none."""


def attributes_figure(experiment: AnalysedExperiment) -> Figure:
    """Return the top attributes of all classes, as figure 4 of [L]; raise `AttributesNotFoundError` without any."""
    attributes = top_attributes(experiment.attributes, experiment.config.evaluation.figure_attributes)
    if not attributes:
        path = experiment.paths.attributes
        raise AttributesNotFoundError(f"{path} holds no attribute; lower attfind.threshold or train longer")
    return draw_attributes(render_attributes(experiment, attributes))


def class_figure(experiment: AnalysedExperiment) -> Figure:
    """Return the top attributes of one class, as figure 6 of [L]."""
    shown = experiment.config.evaluation.figure_attributes
    attributes = experiment.attributes.get(experiment.class_name, [])[:shown]
    if not attributes:
        return note(f"AttFind found no attribute that raises P({experiment.class_name}).")
    return draw_attributes(render_attributes(experiment, attributes))


def choose_examples(
    attributes: Iterable[Attribute], effects: Effects, latents: Latents
) -> list[tuple[Example | None, Example | None]]:
    """Choose the two blocks of each attribute (None: no image of that kind).

    Two classes: blocks in the order of the classes. More: first an image of another class, then one of the target.
    """
    rows, shown = latents.rows(effects.ids).tolist(), set[int]()
    chosen = []
    for attribute in attributes:
        pair = []
        for raises in (True, False):
            ranked = _ranked(attribute, raises, effects, latents, shown)
            if not ranked:
                pair.append(None)
                continue
            shown.add(ranked[0])
            direction = attribute.direction if raises else opposite(attribute.direction)
            predicted = int(effects.base_logits[ranked[0]].argmax())
            pair.append(Example(rows[ranked[0]], direction, raises, predicted))
        by_class = len(effects.header.class_names) == 2 and effects.header.class_names[0] == attribute.target_class
        chosen.append((pair[1], pair[0]) if by_class else (pair[0], pair[1]))
    return chosen


def strongest(attribute: Attribute, raises: bool, effects: Effects, latents: Latents, count: int) -> list[int]:
    """Return the rows of at most `count` images of one side by the rule of `choose_examples`, best first."""
    rows = latents.rows(effects.ids).tolist()
    return [rows[index] for index in _ranked(attribute, raises, effects, latents, set())[:count]]


def _ranked(attribute: Attribute, raises: bool, effects: Effects, latents: Latents, shown: set[int]) -> list[int]:
    """Return the rows of `effects` that can be shown, best first."""
    target = effects.header.class_names.index(attribute.target_class)
    base = effects.base_logits
    direction = attribute.direction if raises else opposite(attribute.direction)
    moved = base + effects.effect[:, direction, attribute.style_index]
    change = moved.softmax(1)[:, target] - base.softmax(1)[:, target]  # in [-1, 1]
    candidates = base.argmax(1).ne(target) if raises else base.argmax(1).eq(target)
    candidates &= ~change.isnan()  # a screened search measures some images only
    if not candidates.any():
        return []
    rows = latents.rows(effects.ids)
    error = latents.reconstruction_l1[rows]
    near = error.isnan() | (error <= error[candidates].median())  # NaN: of a released model, without the images
    faithful = (latents.labels[rows] == base.argmax(1)) & near
    seen = torch.zeros(len(rows), dtype=torch.bool)
    seen[list(shown)] = True
    # Steps larger than the range of a change make the preferences come before the size of the change.
    score = (change if raises else -change) + 2 * faithful - 4 * seen
    order = score.masked_fill(~candidates, -torch.inf).argsort(descending=True, stable=True)
    return order[: int(candidates.sum())].tolist()


def render_attributes(experiment: AnalysedExperiment, attributes: Sequence[Attribute]) -> list[AttributeRow]:
    """Render reconstructions and counterfactuals, classify the very images that are shown; read the maps."""
    chosen = choose_examples(attributes, experiment.effects, experiment.latents)
    maps, rows = read_maps(experiment.paths.maps, attributes), []
    for attribute, (first, second), change in zip(attributes, chosen, maps, strict=True):
        pairs = _rendered(experiment, attribute, first), _rendered(experiment, attribute, second)
        details = f"layer {attribute.layer}\nchannel {attribute.channel}"
        rows.append(AttributeRow(len(rows) + 1, attribute.target_class, details, pairs, change.numpy()))
    return rows


def _rendered(experiment: AnalysedExperiment, attribute: Attribute, example: Example | None) -> Pair | None:
    if example is None:
        return None
    names, moves = experiment.latents.class_names, [(attribute.style_index, example.direction)]
    images, chances = experiment.rendered([experiment.styles(example.image), experiment.styles(example.image, moves)])
    before, after = chances[:, names.index(attribute.target_class)].tolist()
    return Pair(names[example.predicted], example.raises, images[0], images[1], before, after)


@styled()
def draw_attributes(rows: Sequence[AttributeRow]) -> Figure:
    """Draw one row per attribute, at least one."""
    side, lefts = squares([PAIR_GAP, BLOCK_GAP, PAIR_GAP, BLOCK_GAP], LABEL_WIDTH - MARGIN)
    blocks = [(lefts[0], lefts[1]), (lefts[2], lefts[3])]
    heads = [common(pair.class_name for row in rows if (pair := row.pairs[block]) is not None) for block in (0, 1)]
    title = 0.0 if all(heads) else BLOCK_TITLE  # one heading per column, or one per block when the classes differ
    board = Board(HEADER + len(rows) * (side + title + ROW_GAP) + FOOTER)
    scale = Normalize(0, largest_change(rows))
    for index, row in enumerate(rows):
        top = HEADER + index * (side + title + ROW_GAP) + title
        _label(board, row, top + side / 2)
        for (left, right), pair in zip(blocks, row.pairs, strict=True):
            first, second = board.axes(left, top, side), board.axes(right, top, side)
            if pair is None:
                second.set_axis_off()
                _no_image(first)
                continue
            show(first, pair.reconstruction, f"{pair.before:.2f}")
            show(second, pair.counterfactual, f"{pair.after:.2f}", frame_of(pair.raises))
            if title:
                board.text(left + side + PAIR_GAP / 2, top - 0.03, pair.class_name, 6, ha="center", va="bottom")
        axes = board.axes(lefts[-1], top, side)
        if numpy.isnan(row.change).any():
            _no_image(axes)
        else:
            axes.imshow(row.change, cmap=MAP_COLOURS, norm=scale, interpolation="nearest")
            edge(axes, None, 0)
    for left, text in zip(lefts, [*["recon-\nstruction", "counter-\nfactual"] * 2, "mean\nchange"], strict=True):
        board.text(left + side / 2, HEADER - 0.03, text, ha="center", va="bottom", linespacing=1.0)
    for (left, _), head in zip(blocks, heads, strict=True):
        if head is not None and not title:
            board.text(left + side + PAIR_GAP / 2, MARGIN, f"classified {head}", 7, ha="center", weight="bold")
    for line, (colour, text) in enumerate(((RAISED, "▢ P raised"), (LOWERED, "▢ P lowered"))):
        board.text(MARGIN, MARGIN + 0.02 + 0.1 * line, text, color=colour, weight="bold")
    _colour_bar(board, lefts[-1], side, scale)
    return board.figure


def largest_change(rows: Sequence[AttributeRow]) -> float:
    """Return the end of the scale of all maps; 1 where nothing changes in any of them."""
    return float(numpy.nanmax([0.0, *(row.change.max() for row in rows)])) or 1.0


def _label(board: Board, row: AttributeRow, middle: float) -> None:
    probability = f"P({row.target_class})"
    board.text(MARGIN, middle - 0.16, f"Attribute {row.number}", 7, va="center", weight="bold")
    board.text(MARGIN, middle - 0.03, probability, 6.5 * min(1, 13 / len(probability)), va="center")  # 13 letters fit
    board.text(MARGIN, middle + 0.13, row.details, 5, va="center", color="#555555", linespacing=1.2)


def _no_image(axes: Axes) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, "no image", ha="center", va="center", size=6, transform=axes.transAxes)


def _colour_bar(board: Board, left: float, width: float, scale: Normalize) -> None:
    axes = board.axes(left, board.height - FOOTER, width, BAR)
    mapping = ScalarMappable(scale, MAP_COLOURS)
    bar = board.figure.colorbar(mapping, cax=axes, orientation="horizontal", ticks=[0, scale.vmax])
    bar.set_ticklabels(["0", f"{scale.vmax:.2g}"])
    bar.outline.set_visible(False)
    axes.tick_params(length=1.5, width=0.4, pad=1, labelsize=5)
    for label, side in zip(axes.get_xticklabels(), ("left", "right"), strict=True):
        label.set_horizontalalignment(side)
    text = "mean |x′ − x|, pixels in [−1, 1]"
    board.text(left - BLOCK_GAP, board.height - FOOTER + BAR / 2, text, 5, ha="right", va="center")
