"""The look of all figures: style, images and their frames, where things stand, and how figures are written.

Colours are those of Okabe and Ito (2008), told apart with any colour vision; line styles and markers differ as well.
Sizes are for one column of a two-column page. Figures are made with matplotlib's object interface (no global state),
and two runs over the same numbers give the same bytes: no timestamps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
from matplotlib import patheffects, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stylex.artifacts import atomic_path
from stylex.config import SuitePaths
from stylex.figures.fonts import FAMILY, use_fonts

COLUMN_WIDTH = 3.5  # inches
MARGIN = 0.05  # inches, around images
DPI = 300
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ("-", "--", "-.", ":")
MARKERS = ("s", "^", "D", "v", "P", "X")
INK = "#222222"
RAISED = "#D55E00"  # frame of a counterfactual meant to raise the target class
LOWERED = "#0072B2"  # frame of a counterfactual meant to lower it
FRAME = 2.0  # points
Image = NDArray[numpy.float32]
"""[H, W, C] in [-1, 1], C = 1 or 3, as an image file holds it."""
STYLE: dict[Any, Any] = {
    "font.family": FAMILY,
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "legend.fontsize": 6.5,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "text.color": INK,
    "text.parse_math": False,  # names are text: a class may be called low_$
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "pdf.fonttype": 42,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw figures of this style inside (or as a decorator); what was set before comes back."""
    with rc_context(STYLE):
        yield


def series_style(index: int) -> dict[str, Any]:
    """Return colour, line style and marker of the series with this number."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": LINES[index % len(LINES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def panels(rows: int, columns: int = 1, height: float = 1.9) -> tuple[Figure, list[Axes]]:
    """Return a figure of `rows` x `columns` axes, each row `height` inches high and each column a page column wide."""
    figure = Figure(figsize=(COLUMN_WIDTH * columns, height * rows), layout="constrained", facecolor="white")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def save(figure: Figure, paths: SuitePaths, experiment: str, name: str, provenance: str) -> None:
    """Write results/<suite>/figures/<experiment>-<name>.png and .pdf, with `provenance` in their metadata."""
    for suffix in ("png", "pdf"):
        write(figure, paths.figure(experiment, name, suffix), provenance)


@styled()
def write(figure: Figure, path: Path, provenance: str) -> None:
    """Write a PNG or PDF with `provenance` in its metadata."""
    fixed = {
        ".png": {"Software": None, "Description": provenance},
        ".pdf": {"Creator": None, "Producer": None, "CreationDate": None, "Subject": provenance},
    }
    use_fonts(figure)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=DPI, metadata=fixed[path.suffix])


def rgb(image: Image) -> NDArray[numpy.float32]:
    """Return [H, W, 3] in [0, 1]."""
    pixels = numpy.clip((image + 1) / 2, 0, 1).astype(numpy.float32)
    return numpy.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def levels(image: Image) -> NDArray[numpy.uint8]:
    """Return [H, W, 3] in 256 levels: the very ones that the classifier was shown."""
    return numpy.rint(255 * rgb(image)).astype(numpy.uint8)


def show(axes: Axes, image: Image, corner: str = "", frame: str | None = None, small: bool = False) -> None:
    """Draw an image with text in its top-left corner and, where a colour is given, a frame; `small`: a small image."""
    axes.imshow(levels(image), interpolation="nearest", aspect="equal")
    size, width = (5.0, 0.7 * FRAME) if small else (6.5, FRAME)
    edge(axes, frame, width)
    if corner:
        text = axes.text(0.05, 0.94, corner, transform=axes.transAxes, ha="left", va="top", size=size, color="white")
        text.set_path_effects([patheffects.withStroke(linewidth=1.5, foreground=INK)])


def edge(axes: Axes, colour: str | None, width: float) -> None:
    """Take ticks and grid away and draw the edge of the axes in a colour, `width` points wide; None: no edge."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set(visible=colour is not None, edgecolor=colour or INK, linewidth=width)


def frame_of(raises: bool | None) -> str | None:
    """Return the colour of the frame of an image that is meant to raise or to lower the target class; None: neither."""
    return None if raises is None else RAISED if raises else LOWERED


def common(names: Iterable[str]) -> str | None:
    """Return the one name that all are; None: they are several, or there is none."""
    different = set(names)
    return different.pop() if len(different) == 1 else None


def squares(gaps: Sequence[float], label: float = 0.0) -> tuple[float, list[float]]:
    """Return the side of squares that fill a page column, with `gaps` between them, and where each begins.

    label: the width of what stands to their left, in inches as all.
    """
    side = (COLUMN_WIDTH - 2 * MARGIN - label - sum(gaps)) / (len(gaps) + 1)
    return side, [MARGIN + label + number * side + sum(gaps[:number]) for number in range(len(gaps) + 1)]


class Board:
    """A figure of a page column's width on which things are placed in inches from the top left."""

    def __init__(self, height: float) -> None:
        self.height = height
        self.figure = Figure(figsize=(COLUMN_WIDTH, height), facecolor="white")

    def axes(self, left: float, top: float, width: float, height: float | None = None) -> Axes:
        """Return new axes; without a height they are square."""
        height = width if height is None else height
        bottom = self.height - top - height
        box = (left / COLUMN_WIDTH, bottom / self.height, width / COLUMN_WIDTH, height / self.height)
        return self.figure.add_axes(box)

    def text(self, left: float, top: float, text: str, size: float = 5.5, **options: Any) -> None:
        """Write text, by default below and to the right of this point; options: of `Figure.text`."""
        options = {"ha": "left", "va": "top", "color": INK, "linespacing": 1.1} | options
        self.figure.text(left / COLUMN_WIDTH, 1 - top / self.height, text, size=size, **options)


@styled()
def note(text: str) -> Figure:
    """Return a figure that says why there is nothing to show."""
    board = Board(0.5)
    board.text(COLUMN_WIDTH / 2, 0.18, text, size=7, ha="center")
    return board.figure
