"""How well StylEx rebuilds images: a grid of originals, reconstructions and differences, the worst ones included.

Three rows show images from the smallest error upward, evenly spaced in rank; three more those with the largest errors.
The numbers in the corners are the classifier's probability of the image's true class. Framed: the reconstruction is
decided otherwise than the image. Drawing is a pure function of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from stylex.figures.experiment import AnalysedExperiment
from stylex.figures.style import COLUMN_WIDTH, MARGIN, RAISED, Board, Image, edge, show, squares, styled

IN_A_LINE = 6
LABEL, GAP, TITLE, CAPTION, SCALE = 0.6, 0.05, 0.17, 0.22, 0.3  # inches
DIFFERENCES = "RdBu_r"  # told apart with any colour vision
LARGEST = 1.0  # of a difference, in units of pixels in [-1, 1]: full colour


@dataclass(frozen=True)
class Reconstruction:
    """An image and its reconstruction."""

    class_name: str  # the true class
    original: Image
    reconstruction: Image
    before: float  # probability of the true class for the original
    after: float  # and for the reconstruction
    error: float  # mean |x' - x| in [-1, 1]
    kept: bool  # the decision is the same


def reconstructions_figure(experiment: AnalysedExperiment) -> Figure:
    """Return images, reconstructions and differences."""
    spaced, worst = choose_reconstructions(experiment.latents.reconstruction_l1)
    return draw_reconstructions(render_reconstructions(experiment, spaced), render_reconstructions(experiment, worst))


def choose_reconstructions(error: Tensor, count: int = IN_A_LINE) -> tuple[list[int], list[int]]:
    """Return the rows with the largest errors, and before them rows evenly spaced in rank, smallest first; error [N].

    Of N images at most N // 2 are the worst: no image is shown twice.
    """
    order = error.argsort(stable=True).tolist()
    worst = order[len(order) - min(count, len(order) // 2) :]
    others = order[: len(order) - len(worst)]
    count = min(count, len(others))
    return [others[step * (len(others) - 1) // max(count - 1, 1)] for step in range(count)], worst


def render_reconstructions(experiment: AnalysedExperiment, rows: Sequence[int]) -> list[Reconstruction]:
    """Render images again, and classify what is shown."""
    latents = experiment.latents
    images, after = experiment.rendered([experiment.styles(row) for row in rows])
    before = latents.logits[torch.tensor(rows)].softmax(dim=1).numpy()
    result = []
    for number, (row, original) in enumerate(zip(rows, experiment.originals(rows), strict=True)):
        label, kept = int(latents.labels[row]), bool(before[number].argmax() == after[number].argmax())
        probabilities = float(before[number, label]), float(after[number, label])
        error = float(latents.reconstruction_l1[row])
        name = latents.class_names[label]
        result.append(Reconstruction(name, original, images[number], *probabilities, error=error, kept=kept))
    return result


@styled()
def draw_reconstructions(spaced: Sequence[Reconstruction], worst: Sequence[Reconstruction]) -> Figure:
    """Draw both lines, and the scale of the differences."""
    side, lefts = squares([GAP] * (IN_A_LINE - 1), LABEL)
    line = side + GAP
    block = TITLE + 3 * line + CAPTION
    board = Board(MARGIN + 2 * block + SCALE)
    titles = ("from the smallest error upward, evenly spaced in rank", "the largest errors")
    short = shortened(sorted({one.class_name for one in (*spaced, *worst)}))
    for number, (title, images) in enumerate(zip(titles, (spaced, worst), strict=True)):
        top = MARGIN + number * block
        board.text(MARGIN, top, title, size=6.5, weight="bold")
        top += TITLE
        for row, label in enumerate(("original", "reconstruction", "difference")):
            board.text(MARGIN, top + row * line + side / 2 - 0.04, label)
        for left, one in zip(lefts, images, strict=False):
            show(board.axes(left, top, side), one.original, f"{one.before:.2f}", small=True)
            frame = None if one.kept else RAISED
            show(board.axes(left, top + line, side), one.reconstruction, f"{one.after:.2f}", frame, small=True)
            _difference(board.axes(left, top + 2 * line, side), (one.reconstruction - one.original).mean(axis=2))
            text = f"{short[one.class_name]}\n{one.error:.3f}"
            board.text(left + side / 2, top + 3 * line - 0.02, text, size=5, ha="center")
    left, width, top = lefts[0] + side, line, board.height - SCALE + 0.1
    _difference(board.axes(left, top, width, 0.08), numpy.linspace(-LARGEST, LARGEST, 201)[None], "auto")
    board.text(left - 0.04, top - 0.005, f"darker by {LARGEST:g}", ha="right")
    board.text(left + width + 0.04, top - 0.005, f"brighter by {LARGEST:g}")
    board.text(COLUMN_WIDTH - MARGIN, top - 0.005, "▢ decided otherwise", ha="right", color=RAISED)
    return board.figure


def _difference(axes: Axes, values: NDArray[numpy.floating], interpolation: str = "nearest") -> None:
    axes.imshow(values, cmap=DIFFERENCES, vmin=-LARGEST, vmax=LARGEST, interpolation=interpolation, aspect="auto")
    edge(axes, "#bbbbbb", 0.4)  # thin


def shortened(names: Sequence[str], letters: int = 8) -> dict[str, str]:
    """Return a short form of each name: its beginning, or its end where that tells them apart, or else all of it."""
    cuts: tuple[Callable[[str], str], ...] = (
        lambda name: f"{name[: letters - 1]}…",
        lambda name: f"…{name[1 - letters :]}",
        lambda name: name,
    )
    forms = [{name: name if len(name) <= letters else cut(name) for name in names} for cut in cuts]
    return next(form for form in forms if len(set(form.values())) == len(form))
