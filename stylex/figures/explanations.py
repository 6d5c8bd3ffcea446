"""Single images explained: step by step, as figures 7 and 8 of [L], and by the top attributes, as its figure 1.

Captions (catalog.yaml) say which images are shown and what numbers, frames and bars mean. Steps: a block is one image:
the original, its reconstruction, then one image per step, below it the coordinate and which way it moves. Teaser: on
the left image and reconstruction, on the right one attribute moved per tile, and at last all of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from stylex.artifacts import read_table
from stylex.attfind.records import Attribute, Direction, Effects, Method
from stylex.errors import ArtifactError, AttributesNotFoundError
from stylex.figures.catalog import SHOWN_ALONE, TEASER_ATTRIBUTES
from stylex.figures.experiment import AnalysedExperiment, faithful
from stylex.figures.style import INK, MARGIN, RAISED, Board, Image, edge, note, show, squares, styled, write
from stylex.latents.table import Latents
from stylex.networks.stylespace import StyleVector, move
from stylex.networks.synthesis import Synthesis

COLUMNS = ("id", "target_class", "step", "style_index", "layer", "channel", "direction", "probability_before",
           "probability_after", "flipped")  # fmt: skip
IN_A_LINE = 6  # images: at column width their details can still be seen
BLOCKS = 4  # images explained in one figure, at the most
GAP, BLOCK_GAP, TITLE, CAPTION, KEY = 0.05, 0.06, 0.17, 0.24, 0.14  # inches
TEASER_LINE = 3  # tiles: those of the attributes, and of all of them together, in two lines
TEASER_GAP, DIVIDE, HEADING, BAR, BELOW = 0.06, 0.16, 0.2, 0.05, 0.25  # inches
ARROWS = {Direction.TO_MIN.label: "▼", Direction.TO_MAX.label: "▲"}
KEYS = {
    Method.SUBSET: "▲ to its maximum   ▼ to its minimum   ▢ framed: the decision has flipped",
    Method.INDEPENDENT: "each alone   ▲ to its maximum   ▼ to its minimum   ▢ framed: it flips the decision",
}


@dataclass(frozen=True)
class Tile:
    """One image of a block, float [H, W, C] in [-1, 1], C = 1 or 3."""

    image: Image
    caption: str
    probability: float  # of the target class
    flipped: bool = False  # the classifier says the target class, and did not say so of the reconstruction


@dataclass(frozen=True)
class Explanation:
    """One image and the steps that turn it."""

    title: str
    tiles: tuple[Tile, ...]
    method: Method


def independent_figure(experiment: AnalysedExperiment) -> Figure:
    """Return single images explained by independent selection, as figure 7 of [L]."""
    return _figure_of(experiment, experiment.paths.independent, SHOWN_ALONE, Method.INDEPENDENT)


def subset_figure(experiment: AnalysedExperiment) -> Figure:
    """Return single images explained by subset selection, as figure 8 of [L]."""
    steps = experiment.config.evaluation.explanation_steps
    return _figure_of(experiment, experiment.paths.subset, steps, Method.SUBSET)


def _figure_of(experiment: AnalysedExperiment, path: Path, steps: int, method: Method) -> Figure:
    """Draw the explanations of a table; raise `AttributesNotFoundError` without any."""
    rows = [row for row in read_steps(path) if row["step"] <= steps]
    if not rows:
        raise AttributesNotFoundError(f"{path} explains no image; raise attfind.shift or train longer")
    return draw_explanations(render_explanations(experiment, rows, method))


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
    """Read independent.csv or subset.csv, one row per step; raise `ArtifactError` when it is missing or damaged."""
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


def render_explanations(
    experiment: AnalysedExperiment, rows: Sequence[Mapping[str, Any]], method: Method
) -> list[Explanation]:
    """Render the images to show; `rows`: of independent.csv or subset.csv, as `method` says."""
    latents = experiment.latents
    device = next(experiment.networks.parameters()).device
    extremes = latents.extremes.to(device)
    blocks = []
    for identity in choose_explained(rows, latents.class_names):
        if identity not in latents.ids:
            raise ArtifactError(f"image {identity} is not in {experiment.paths.latents}; run encode and explain again")
        row, steps = latents.ids.index(identity), [row for row in rows if row["id"] == identity]
        target = steps[0]["target_class"]
        probability = float(latents.logits[row].softmax(dim=0)[latents.class_names.index(target)])
        original = Tile(experiment.originals([row])[0], "original", probability)
        styles, shift = experiment.styles(row).to(device), experiment.config.attfind.shift
        images = images_of_steps(experiment.networks.synthesis, styles, extremes, shift, steps, method)
        predicted = latents.class_names[int(latents.reconstruction_logits[row].argmax())]
        blocks.append(assemble(predicted, target, original, images, steps, method))
    return blocks


@styled()
def draw_explanations(explanations: Sequence[Explanation]) -> Figure:
    """Draw one block per image, all of one method."""
    side, lefts = squares([GAP] * (IN_A_LINE - 1))
    heights = [TITLE - (-len(one.tiles) // IN_A_LINE) * (side + CAPTION) + BLOCK_GAP for one in explanations]
    board = Board(MARGIN + sum(heights) + KEY)
    top = MARGIN
    for one, height in zip(explanations, heights, strict=True):
        board.text(MARGIN, top, one.title, 7, weight="bold", linespacing=1.2)
        for number, tile in enumerate(one.tiles):
            left, upper = lefts[number % IN_A_LINE], top + TITLE + number // IN_A_LINE * (side + CAPTION)
            show(board.axes(left, upper, side), tile.image, f"{tile.probability:.2f}", RAISED if tile.flipped else None)
            board.text(left + side / 2, upper + side + 0.03, tile.caption, 5.2, ha="center")
        top += height
    board.text(MARGIN, board.height - MARGIN, KEYS[explanations[0].method], va="bottom", linespacing=1.2)
    return board.figure


def save_explanation(path: Path, explanation: Explanation, provenance: str) -> None:
    """Write one block as PNG, with `provenance` in its metadata."""
    write(draw_explanations([explanation]), path, provenance)


def teaser_figure(experiment: AnalysedExperiment) -> Figure:
    """Return one image and its top attributes, as figure 1 of [L]."""
    teaser = render_teaser(experiment)
    if teaser is None:
        return note(f"No attribute raises P({experiment.class_name}) on an analysed image.")
    return draw_teaser(*teaser)


def render_teaser(experiment: AnalysedExperiment) -> tuple[str, list[Tile]] | None:
    """Return the heading and the tiles: image, reconstruction, one per attribute, all; None: nothing to show."""
    attributes = experiment.attributes.get(experiment.class_name, [])[:TEASER_ATTRIBUTES]
    target, name = experiment.target, experiment.class_name
    row = choose_teaser(attributes, experiment.effects, experiment.latents, target)
    if row is None:
        return None
    moves = [(one.style_index, one.direction) for one in attributes]
    shown: list[tuple[str, list[tuple[int, Direction]]]] = [("reconstruction", [])]
    for one, alone in zip(attributes, moves, strict=True):
        arrow = ARROWS[one.direction.label]
        shown.append((f"attribute {one.rank}\n{arrow} layer {one.layer}, ch. {one.channel}", [alone]))
    if len(moves) > 1:
        shown.append((f"all {len(moves)} together", moves))
    images, probabilities = experiment.rendered([experiment.styles(row, moved) for _, moved in shown])
    before = float(experiment.latents.logits[row].softmax(dim=0)[target])
    tiles = [Tile(experiment.originals([row])[0], "image", before)]
    for image, (caption, _), values in zip(images, shown, probabilities, strict=True):
        tiles.append(Tile(image, caption, float(values[target]), bool(values.argmax() == target)))
    predicted = experiment.latents.class_names[int(probabilities[0].argmax())]
    return f"Classified {predicted}. What would raise P({name})?", tiles


def choose_teaser(attributes: Sequence[Attribute], effects: Effects, latents: Latents, target: int) -> int | None:
    """Return the row of the image on which the attributes raise P(y) the most on average, by AttFind's records.

    Among the faithful reconstructions that are not classified y; None: no attribute, or no such image. A move that a
    screened search did not measure counts as no change.
    """
    rows = latents.rows(effects.ids)
    candidates = torch.zeros(len(latents.ids), dtype=torch.bool)
    candidates[rows] = effects.base_logits.argmax(dim=1) != target
    if not attributes or not candidates.any():
        return None
    index = torch.tensor([attribute.style_index for attribute in attributes])
    directions = torch.tensor([int(attribute.direction) for attribute in attributes])
    base = effects.base_logits
    moved = base[:, None] + effects.effect[:, directions, index]  # [N, attributes, classes]
    change = moved.softmax(dim=2)[:, :, target] - base.softmax(dim=1)[:, None, target]
    mean = torch.full((len(latents.ids),), -torch.inf)
    mean[rows] = change.nan_to_num(0.0).mean(dim=1)
    return int(mean.masked_fill(~faithful(latents, candidates), -torch.inf).argmax())


@styled()
def draw_teaser(heading: str, tiles: Sequence[Tile]) -> Figure:
    """Draw image and reconstruction (the first two tiles) on the left, what the attributes make of it on the right."""
    side, lefts = squares([DIVIDE, *[TEASER_GAP] * (TEASER_LINE - 1)])
    line = side + BAR + 0.03 + BELOW
    board = Board(MARGIN + HEADING + 2 * line)
    board.text(MARGIN, MARGIN, heading, 7.5, weight="bold")
    places = [(0, 0), (1, 0), *((row, column) for row in (0, 1) for column in range(1, TEASER_LINE + 1))]
    for tile, (row, column) in zip(tiles, places, strict=False):
        left, top, frame = lefts[column], MARGIN + HEADING + row * line, RAISED if column else None
        show(board.axes(left, top, side), tile.image, f"{tile.probability:.2f}", frame)
        bar = board.axes(left, top + side + 0.03, side, BAR)
        bar.barh(0, tile.probability, height=1, color=frame or INK)
        bar.set(xlim=(0, 1), ylim=(-0.5, 0.5))
        edge(bar, INK, 0.4)
        board.text(left + side / 2, top + side + BAR + 0.06, tile.caption, ha="center")
    return board.figure
