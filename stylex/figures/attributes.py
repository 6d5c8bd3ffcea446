"""The figure of the top attributes, as figure 4 of [L]: a pure function of arrays.

A row is one attribute. It has a block for each class: the reconstruction of an image, and beside it, framed, the
counterfactual in which this one style coordinate is moved. The classifier's probability of the row's target class is
printed in the top-left corner of each image. One block moves the coordinate in the direction that AttFind found to
raise the target class, on an image of another class; the other moves it the opposite way, on an image of that class.
On the right a map says where the attribute acts: the mean change of each pixel, over all images measured. All maps of a
figure have one scale, from no change to the largest in any of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stylex.figures.style import COLUMN_WIDTH, styled
from stylex.figures.tiles import LOWERED, RAISED, edge, show

LABEL_WIDTH, PAIR_GAP, BLOCK_GAP, ROW_GAP, MARGIN = 0.74, 0.05, 0.1, 0.09, 0.05  # inches
HEADER, BLOCK_TITLE, FOOTER, BAR = 0.4, 0.13, 0.27, 0.05  # inches
SIDE = (COLUMN_WIDTH - LABEL_WIDTH - 2 * PAIR_GAP - 2 * BLOCK_GAP - MARGIN) / 5  # of an image
MAP_LEFT = COLUMN_WIDTH - MARGIN - SIDE
MAP_COLOURS = colormaps["magma"]  # perceptually uniform; black: no change


@dataclass(frozen=True)
class Pair:
    """An image and its counterfactual; images are float [H, W, C] in [-1, 1], C = 1 or 3."""

    class_name: str  # what the classifier makes of the reconstruction
    raises: bool  # the counterfactual is meant to raise the target class
    reconstruction: NDArray[numpy.float32]
    counterfactual: NDArray[numpy.float32]
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


@styled()
def draw_attributes(rows: list[AttributeRow]) -> Figure:
    """Draw one row an attribute; raise `ValueError` when there is none."""
    if not rows:
        raise ValueError("no attribute to draw")
    heads = [_common_class(rows, block) for block in (0, 1)]
    title = 0.0 if all(heads) else BLOCK_TITLE  # one heading a column, or one a block when the classes differ
    pitch = SIDE + title + ROW_GAP
    height = HEADER + len(rows) * pitch + FOOTER
    figure = Figure(figsize=(COLUMN_WIDTH, height), facecolor="white")
    scale = Normalize(0, largest_change(rows))
    for index, row in enumerate(rows):
        bottom = height - HEADER - index * pitch - title - SIDE
        _label(figure, row, (bottom + SIDE / 2) / height)
        for block, pair in enumerate(row.pairs):
            left = _left(block)
            boxes = [(left + step * (SIDE + PAIR_GAP), bottom, SIDE) for step in (0, 1)]
            _draw_pair(figure, pair, boxes)
            if title and pair is not None:
                centre = (left + SIDE + PAIR_GAP / 2) / COLUMN_WIDTH
                figure.text(centre, (bottom + SIDE + 0.03) / height, pair.class_name, ha="center", va="bottom", size=6)
        _draw_map(figure, row.change, bottom, scale)
    for block, head in enumerate(heads):
        _heading(figure, None if title else head, _left(block))
    _column_name(figure, MAP_LEFT, "mean\nchange")
    _key(figure)
    _colour_bar(figure, scale)
    return figure


def largest_change(rows: list[AttributeRow]) -> float:
    """Return the end of the scale of all maps; 1 where nothing changes in any of them."""
    return float(numpy.nanmax([0.0, *(row.change.max() for row in rows)])) or 1.0


def _left(block: int) -> float:
    return LABEL_WIDTH + block * (2 * SIDE + PAIR_GAP + BLOCK_GAP)


def _common_class(rows: list[AttributeRow], block: int) -> str | None:
    names = {pair.class_name for row in rows if (pair := row.pairs[block]) is not None}
    return names.pop() if len(names) == 1 else None


def _heading(figure: Figure, head: str | None, left: float) -> None:
    width, height = figure.get_size_inches()
    for step, text in enumerate(("recon-\nstruction", "counter-\nfactual")):
        _column_name(figure, left + step * (SIDE + PAIR_GAP), text)
    if head is not None:
        centre = (left + SIDE + PAIR_GAP / 2) / width
        figure.text(centre, 1 - MARGIN / height, f"classified {head}", ha="center", va="top", size=7, weight="bold")


def _column_name(figure: Figure, left: float, text: str) -> None:
    width, height = figure.get_size_inches()
    figure.text(
        (left + SIDE / 2) / width, 1 - (HEADER - 0.03) / height, text,
        ha="center", va="bottom", size=5.5, linespacing=1.0,
    )  # fmt: skip


def _key(figure: Figure) -> None:
    height = figure.get_size_inches()[1]
    for line, (colour, text) in enumerate(((RAISED, "▢ P raised"), (LOWERED, "▢ P lowered"))):
        y = 1 - (MARGIN + 0.02 + 0.1 * line) / height
        figure.text(MARGIN / COLUMN_WIDTH, y, text, ha="left", va="top", size=5.5, color=colour, weight="bold")


def _label(figure: Figure, row: AttributeRow, middle: float) -> None:
    height = figure.get_size_inches()[1]
    left = MARGIN / COLUMN_WIDTH
    probability = f"P({row.target_class})"
    lines = (
        (f"Attribute {row.number}", 0.16, {"size": 7, "weight": "bold"}),
        (probability, 0.03, {"size": 6.5 * min(1, 13 / len(probability))}),  # 13 letters fit
        (row.details, -0.13, {"size": 5, "color": "#555555"}),
    )
    for text, offset, font in lines:
        figure.text(left, middle + offset / height, text, ha="left", va="center", fontdict=font)


def _draw_pair(figure: Figure, pair: Pair | None, boxes: list[tuple[float, float, float]]) -> None:
    width, height = figure.get_size_inches()
    axes = [figure.add_axes((x / width, y / height, side / width, side / height)) for x, y, side in boxes]
    if pair is None:
        for one in axes:
            one.set_axis_off()
        axes[0].text(0.5, 0.5, "no image", ha="center", va="center", size=6, transform=axes[0].transAxes)
        return
    show(axes[0], pair.reconstruction, f"{pair.before:.2f}")
    show(axes[1], pair.counterfactual, f"{pair.after:.2f}", RAISED if pair.raises else LOWERED)


def _draw_map(figure: Figure, change: NDArray[numpy.float32], bottom: float, scale: Normalize) -> None:
    width, height = figure.get_size_inches()
    axes = figure.add_axes((MAP_LEFT / width, bottom / height, SIDE / width, SIDE / height))
    if numpy.isnan(change).any():
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no image", ha="center", va="center", size=6, transform=axes.transAxes)
        return
    axes.imshow(change, cmap=MAP_COLOURS, norm=scale, interpolation="nearest")
    edge(axes, None, 0)


def _colour_bar(figure: Figure, scale: Normalize) -> None:
    width, height = figure.get_size_inches()
    axes = figure.add_axes((MAP_LEFT / width, (FOOTER - BAR) / height, SIDE / width, BAR / height))
    bar = figure.colorbar(ScalarMappable(scale, MAP_COLOURS), cax=axes, orientation="horizontal", ticks=[0, scale.vmax])
    bar.set_ticklabels(["0", f"{scale.vmax:.2g}"])
    bar.outline.set_visible(False)
    axes.tick_params(length=1.5, width=0.4, pad=1, labelsize=5)
    for label, side in zip(axes.get_xticklabels(), ("left", "right"), strict=True):
        label.set_horizontalalignment(side)
    text = "mean |x′ − x|, pixels in [−1, 1]"
    figure.text((MAP_LEFT - BLOCK_GAP) / width, (FOOTER - BAR / 2) / height, text, ha="right", va="center", size=5)
