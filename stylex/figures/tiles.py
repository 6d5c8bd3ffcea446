"""Images as parts of a figure: pixels, the number in their corner, their frame, and where they stand."""

from __future__ import annotations

import numpy
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stylex.figures.style import COLUMN_WIDTH, INK, styled

RAISED = "#D55E00"  # frame of a counterfactual meant to raise the target class
LOWERED = "#0072B2"  # frame of a counterfactual meant to lower it
FRAME = 2.0  # points

Image = NDArray[numpy.float32]
"""[H, W, C] in [-1, 1], C = 1 or 3, as an image file holds it."""


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
    finish(axes, corner, frame, small)


def finish(axes: Axes, corner: str, frame: str | None = None, small: bool = False) -> None:
    """Add text and frame to axes that hold an image."""
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

    def text(
        self, left: float, top: float, text: str, size: float = 5.5, align: str = "left", bold: bool = False,
        colour: str = INK,
    ) -> None:  # fmt: skip
        """Write text whose top edge is at `top`; `align`: left, center or right of `left`."""
        self.figure.text(
            left / COLUMN_WIDTH, 1 - top / self.height, text,
            ha=align, va="top", size=size, weight="bold" if bold else "normal", color=colour, linespacing=1.1,
        )  # fmt: skip


@styled()
def note(text: str) -> Figure:
    """Return a figure that says why there is nothing to show."""
    board = Board(0.5)
    board.text(COLUMN_WIDTH / 2, 0.18, text, size=7, align="center")
    return board.figure
