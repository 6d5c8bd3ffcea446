"""The figures of explained images, as figures 7 and 8 of [L]: how one image is turned, step by step.

A block is one image: the original, its reconstruction, then an image a step: by the subset selection with all
coordinates of the steps so far moved, by the independent one with that of the step alone. Below a step stands the
coordinate it moves and which way; in the top-left corner of each image is the classifier's probability of the target
class. Framed: the decision has flipped. Drawing is a pure function of arrays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from stylex.artifacts import atomic_path, read_table
from stylex.attfind.records import Direction, Method
from stylex.errors import ArtifactError
from stylex.figures.fonts import use_fonts
from stylex.figures.style import COLUMN_WIDTH, DPI, styled
from stylex.figures.tiles import RAISED, show
from stylex.networks.stylespace import StyleVector, move
from stylex.networks.synthesis import Synthesis

COLUMNS = ("id", "target_class", "step", "style_index", "layer", "channel", "direction", "probability_before",
           "probability_after", "flipped")  # fmt: skip
IN_A_LINE = 6  # images: at column width their details can still be seen
BLOCKS = 4  # images explained in one figure, at the most
MARGIN, GAP, BLOCK_GAP, TITLE, CAPTION, KEY = 0.05, 0.05, 0.06, 0.17, 0.24, 0.14  # inches
ARROWS = {Direction.TO_MIN.label: "▼", Direction.TO_MAX.label: "▲"}
KEYS = {
    Method.SUBSET: "▲ to its maximum   ▼ to its minimum   ▢ framed: the decision has flipped",
    Method.INDEPENDENT: "each alone   ▲ to its maximum   ▼ to its minimum   ▢ framed: it flips the decision",
}


@dataclass(frozen=True)
class Tile:
    """One image of a block, float [H, W, C] in [-1, 1], C = 1 or 3."""

    image: NDArray[numpy.float32]
    caption: str
    probability: float  # of the target class
    flipped: bool = False  # the classifier says the target class, and did not say so of the reconstruction


@dataclass(frozen=True)
class Explanation:
    """One image and the steps that turn it."""

    title: str
    tiles: tuple[Tile, ...]
    method: Method

    @property
    def lines(self) -> int:
        """Lines that the tiles take."""
        return -(-len(self.tiles) // IN_A_LINE)


def assemble(
    predicted: str,
    target_class: str,
    original: Tile,
    images: NDArray[numpy.float32],
    steps: Sequence[Mapping[str, Any]],
    method: Method,
) -> Explanation:
    """Put together one block.

    predicted: what the classifier says of the reconstruction; images [1 + steps, H, W, C]: the reconstruction, and the
    image of each step; steps: rows of independent.csv or subset.csv, as `method` says, at least one.
    """
    tiles = [original, Tile(images[0], "reconstruction", steps[0]["probability_before"])]
    for image, step in zip(images[1:], steps, strict=True):
        caption = f"layer {step['layer']} {ARROWS[step['direction']]}\nchannel {step['channel']}"
        tiles.append(Tile(image, caption, step["probability_after"], bool(step["flipped"])))
    return Explanation(f"{predicted} → {target_class}: P({target_class})", tuple(tiles), method)


@torch.inference_mode()
def images_of_steps(
    synthesis: Synthesis,
    styles: StyleVector,
    extremes: Tensor,
    shift: float,
    steps: Sequence[Mapping[str, Any]],
    method: Method,
) -> NDArray[numpy.float32]:
    """Return the reconstruction and the image of each step, [1 + steps, H, W, C]; styles: of one image.

    extremes [2, K]: minima, maxima. A coordinate stays moved in the images of later steps by `SUBSET` alone.
    """
    space = styles.space.repeat(len(steps) + 1, 1)
    for number, step in enumerate(steps, start=1):
        index = torch.tensor([step["style_index"]], device=space.device)
        extreme = extremes[Direction[step["direction"].upper()], index]
        moved = slice(number, number + 1) if method is Method.INDEPENDENT else slice(number, None)
        space[moved] = move(space[moved], index, extreme, shift)
    images = synthesis.render(StyleVector(space, styles.to_rgb.expand(len(space), -1)))
    return images.permute(0, 2, 3, 1).float().cpu().numpy()


def read_steps(path: Path) -> list[dict[str, Any]]:
    """Read independent.csv or subset.csv, a row a step; raise `ArtifactError` when it is missing or damaged."""
    frame = read_table(path, text=("id", "target_class", "direction"))
    missing = [column for column in COLUMNS if column not in frame]
    if missing or not set(frame["direction"]) <= set(ARROWS):
        reason = f"no column {missing[0]}" if missing else "an unknown direction"
        raise ArtifactError(f"{path} is damaged ({reason}); delete it and run its stage again")
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def choose_explained(steps: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> list[str]:
    """Return the ids to show: for each target class, at most `BLOCKS`, the image that turns after the fewest steps.

    Where none turns, the first. `steps`: rows of independent.csv or subset.csv.
    """
    turned: dict[str, dict[str, float]] = {name: {} for name in class_names}
    for row in steps:
        images = turned[row["target_class"]]
        reached = row["step"] if row["flipped"] else numpy.inf
        images[row["id"]] = min(reached, images.get(row["id"], numpy.inf))
    return [min(images, key=lambda each: images[each]) for images in turned.values() if images][:BLOCKS]


@styled()
def draw_explanations(explanations: Sequence[Explanation]) -> Figure:
    """Draw one block an image, all of one method; raise `ValueError` when there is none."""
    if not explanations:
        raise ValueError("no explanation to draw")
    side = (COLUMN_WIDTH - 2 * MARGIN - (IN_A_LINE - 1) * GAP) / IN_A_LINE
    heights = [TITLE + one.lines * (side + CAPTION) + BLOCK_GAP for one in explanations]
    height = MARGIN + sum(heights) + KEY
    figure = Figure(figsize=(COLUMN_WIDTH, height), facecolor="white")
    top = height - MARGIN
    for one, taken in zip(explanations, heights, strict=True):
        figure.text(MARGIN / COLUMN_WIDTH, top / height, one.title, ha="left", va="top", size=7, weight="bold")
        for tile, (x, y) in zip(one.tiles, _places(top - TITLE, side), strict=False):
            axes = figure.add_axes((x / COLUMN_WIDTH, y / height, side / COLUMN_WIDTH, side / height))
            show(axes, tile.image, f"{tile.probability:.2f}", RAISED if tile.flipped else None)
            centre = (x + side / 2) / COLUMN_WIDTH
            figure.text(centre, (y - 0.03) / height, tile.caption, ha="center", va="top", size=5.2, linespacing=1.1)
        top -= taken
    key = KEYS[explanations[0].method]
    figure.text(MARGIN / COLUMN_WIDTH, MARGIN / height, key, ha="left", va="bottom", size=5.5)
    return figure


def _places(top: float, side: float) -> Iterator[tuple[float, float]]:
    """Yield the lower left corners of tiles, line by line, in inches."""
    while True:
        for column in range(IN_A_LINE):
            yield MARGIN + column * (side + GAP), top - side
        top -= side + CAPTION


def save_explanation(path: Path, explanation: Explanation, provenance: str) -> None:
    """Write one block as PNG, with `provenance` in its metadata."""
    figure = draw_explanations([explanation])
    with styled(), atomic_path(path) as temporary:
        use_fonts(figure)
        figure.savefig(temporary, format="png", dpi=DPI, metadata={"Software": None, "Description": provenance})
