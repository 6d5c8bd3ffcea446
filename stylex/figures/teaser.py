"""The teaser, as figure 1 of [L]: one image, and what each of the top attributes alone does to the classifier's answer.

On the left the image and its reconstruction; on the right, framed, the reconstruction with one attribute of the class y
moved in the direction that AttFind found, one a tile, and at last with all of these. The number in a tile and the
length of the bar below it are P(y). Drawing is a pure function of arrays.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from stylex.attfind.records import Attribute, Direction, Effects
from stylex.figures.explanations import ARROWS, Tile
from stylex.figures.style import COLUMN_WIDTH, INK, styled
from stylex.figures.subject import Subject, faithful
from stylex.figures.tiles import RAISED, Board, edge, show
from stylex.latents.table import Latents

ATTRIBUTES = 5  # with all of them together, two lines of three tiles
IN_A_LINE = 3
MARGIN, GAP, DIVIDE, TITLE, BAR, CAPTION = 0.05, 0.06, 0.16, 0.2, 0.05, 0.25  # inches


def teaser_of(subject: Subject) -> tuple[str, list[Tile]] | None:
    """Return the heading and the tiles: image, reconstruction, one an attribute, all; None: nothing to show."""
    attributes = subject.attributes.get(subject.class_name, [])[:ATTRIBUTES]
    row = choose_teaser(attributes, subject.effects, subject.latents, subject.target)
    if row is None:
        return None
    target, name = subject.target, subject.class_name
    moves = [(attribute.style_index, attribute.direction) for attribute in attributes]
    steps = [subject.styles(row), *(subject.styles(row, [one]) for one in moves), subject.styles(row, moves)]
    images, chances = subject.rendered(steps)
    captions = [f"attribute {one.rank}\n{_place(one)}" for one in attributes]
    captions = ["reconstruction", *captions, f"all {len(moves)} together" if len(moves) > 1 else "the same again"]
    original = subject.originals([row])[0].permute(1, 2, 0).numpy()
    tiles = [Tile(original, "image", float(subject.latents.logits[row].softmax(dim=0)[target]))]
    for image, caption, chance in zip(images, captions, chances, strict=True):
        tiles.append(Tile(image, caption, float(chance[target]), bool(chance.argmax() == target)))
    predicted = subject.latents.class_names[int(chances[0].argmax())]
    if len(moves) == 1:
        tiles.pop()  # all attributes are this one
    return f"Classified {predicted}. What would raise P({name})?", tiles


def _place(attribute: Attribute) -> str:
    return f"{ARROWS[Direction(attribute.direction).label]} layer {attribute.layer}, ch. {attribute.channel}"


def choose_teaser(attributes: Sequence[Attribute], effects: Effects, latents: Latents, target: int) -> int | None:
    """Return the row of the image on which the weakest of the attributes raises P(y) the most, by AttFind's records.

    Among the faithful reconstructions that are not classified y; None: no attribute, or no such image. A move that a
    screened search did not measure counts as no change.
    """
    position = {identity: row for row, identity in enumerate(latents.ids)}
    rows = torch.tensor([position[identity] for identity in effects.ids])
    candidates = torch.zeros(len(latents.ids), dtype=torch.bool)
    candidates[rows] = effects.base_logits.argmax(dim=1) != target
    if not attributes or not candidates.any():
        return None
    index = torch.tensor([attribute.style_index for attribute in attributes])
    way = torch.tensor([int(attribute.direction) for attribute in attributes])
    base = effects.base_logits
    moved = base[:, None] + effects.effect[:, way, index]  # [N, attributes, classes]
    change = moved.softmax(dim=2)[:, :, target] - base.softmax(dim=1)[:, None, target]
    weakest = torch.full((len(latents.ids),), -torch.inf)
    weakest[rows] = change.nan_to_num(0.0).amin(dim=1)
    return int(weakest.masked_fill(~faithful(latents, candidates), -torch.inf).argmax())


@styled()
def draw_teaser(heading: str, tiles: Sequence[Tile]) -> Figure:
    """Draw image and reconstruction (the first two tiles) on the left, what the attributes make of it on the right."""
    side = (COLUMN_WIDTH - 2 * MARGIN - DIVIDE - (IN_A_LINE - 1) * GAP) / (IN_A_LINE + 1)
    line = side + BAR + 0.03 + CAPTION
    board = Board(MARGIN + TITLE + 2 * line)
    board.text(MARGIN, MARGIN, heading, size=7.5, bold=True)
    for number, tile in enumerate(tiles):
        place = number if number < 2 else (number - 2) // IN_A_LINE  # its line
        left, top = MARGIN, MARGIN + TITLE + place * line
        if number >= 2:
            left += side + DIVIDE + (number - 2) % IN_A_LINE * (side + GAP)
        axes = board.axes(left, top, side)
        show(axes, tile.image, f"{tile.probability:.2f}", RAISED if number >= 2 else None)
        _bar(board, left, top + side + 0.03, side, tile.probability, RAISED if number >= 2 else INK)
        board.text(left + side / 2, top + side + BAR + 0.06, tile.caption, size=5.5, align="center")
    return board.figure


def _bar(board: Board, left: float, top: float, width: float, value: float, colour: str) -> None:
    axes = board.axes(left, top, width, BAR)
    axes.barh(0, value, height=1, color=colour)
    axes.set(xlim=(0, 1), ylim=(-0.5, 0.5))
    edge(axes, INK, 0.4)
