"""StylEx beside other explanations, as figure 2 of [L]: Grad-CAM, one learned direction, and one attribute at a time.

A row is one image. Grad-CAM shows where the evidence for the classifier's decision lies. GANalyze moves w along the one
direction theta of `stylex ganalyze`, both ways by its reach. StylEx moves one attribute of the class y each: on images
of other classes in the direction that AttFind found, on images of y the opposite way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from matplotlib.figure import Figure
from torch import Tensor

from stylex.artifacts import load_tensors
from stylex.errors import ArtifactError
from stylex.figures.gradcam import grad_cam, overlay
from stylex.figures.style import COLUMN_WIDTH, styled
from stylex.figures.subject import Subject, opposite
from stylex.figures.tiles import LOWERED, RAISED, Board, Image, show
from stylex.latents.table import Latents
from stylex.networks.stylespace import StyleVector

OF_EACH_SIDE = 2  # images not classified y, and images classified y
ATTRIBUTES = 3
BEFORE_ATTRIBUTES = 4  # image, Grad-CAM, both ways of the direction
MARGIN, GAP, DIVIDE, HEADER, TITLE = 0.05, 0.04, 0.09, 0.3, 0.14  # inches


class Seen(NamedTuple):
    """One tile of a row."""

    image: Image
    probability: float | None = None  # of y; None: it is a map
    raises: bool | None = None  # what the image was changed for; None: it was not


@dataclass(frozen=True)
class Compared:
    """One row, a tile a column."""

    predicted: str  # what the classifier makes of the reconstruction
    is_target: bool  # that is y
    tiles: tuple[Seen, ...]


def choose_compared(latents: Latents, target: int) -> tuple[list[int], list[int]]:
    """Return rows of measured images not classified y, and of those classified y, at most `OF_EACH_SIDE` each.

    Of the images rightly classified, and so rebuilt, the ones whose error is nearest the median of their side.
    """
    decided, error = latents.reconstruction_logits.argmax(dim=1), latents.reconstruction_l1
    right = (latents.logits.argmax(dim=1) == latents.labels) & (decided == latents.labels)
    chosen = []
    for side in (latents.measured & (decided != target), latents.measured & (decided == target)):
        rows = torch.nonzero(side & right if (side & right).any() else side).flatten()
        if len(rows):
            rows = rows[(error[rows] - error[rows].median()).abs().argsort(stable=True)[:OF_EACH_SIDE]]
        chosen.append(rows.tolist())
    return chosen[0], chosen[1]


def read_direction(subject: Subject) -> tuple[Tensor, float]:
    """Return theta [W] and its reach in logits; raise `ArtifactError` when they are of another class or network."""
    path = subject.paths.ganalyze
    tensors, header = load_tensors(path)
    theta, width = tensors.get("theta"), subject.latents.w.shape[1]
    if theta is None or theta.shape != (width,) or header.get("target_class") != subject.class_name:
        wanted = f"direction of {width} numbers towards {subject.class_name}"
        raise ArtifactError(f"{path} holds no {wanted}; delete it and run its stage again")
    return theta, float(header["reach"])


def compared(subject: Subject) -> list[Compared]:
    """Render all rows, and let the classifier judge what is shown."""
    others, targets = choose_compared(subject.latents, subject.target)
    return [_row(subject, row, is_target) for rows, is_target in ((others, False), (targets, True)) for row in rows]


def _row(subject: Subject, row: int, is_target: bool) -> Compared:
    latents, target = subject.latents, subject.target
    theta, reach = read_direction(subject)
    attributes = subject.attributes.get(subject.class_name, [])[:ATTRIBUTES]
    moves = [(one.style_index, opposite(one.direction) if is_target else one.direction) for one in attributes]
    styles = [*_along(subject, row, theta, (-reach, reach)), *(subject.styles(row, [one]) for one in moves)]
    images, chances = subject.rendered(styles)
    original = subject.originals([row])
    decision = latents.logits[row].argmax()
    device = next(subject.classifier.parameters()).device
    heat = grad_cam(subject.classifier, original.to(device), decision[None])[0].cpu().numpy()
    image = original[0].permute(1, 2, 0).numpy()
    tiles = [Seen(image, float(latents.logits[row].softmax(dim=0)[target])), Seen(2 * overlay(image, heat) - 1)]
    meant = [False, True] + [not is_target] * len(moves)
    tiles += [Seen(one, float(chance[target]), way) for one, chance, way in zip(images, chances, meant, strict=True)]
    predicted = latents.class_names[int(latents.reconstruction_logits[row].argmax())]
    return Compared(predicted, is_target, tuple(tiles))


@torch.no_grad()
def _along(subject: Subject, row: int, theta: Tensor, alphas: Sequence[float]) -> list[StyleVector]:
    """Return the styles of w + alpha theta, with the conditioning of the image itself."""
    networks, device = subject.networks, next(subject.networks.parameters()).device
    w = subject.latents.w[row] + torch.tensor(alphas)[:, None] * theta
    logits = subject.latents.logits[row].expand(len(alphas), -1)
    styles = networks.synthesis.styles(networks.w_plus(w.to(device), logits.to(device))).to("cpu")
    return [styles.select(slice(number, number + 1)) for number in range(len(alphas))]


@styled()
def draw_comparison(rows: Sequence[Compared], class_name: str, reach: float) -> Figure:
    """Draw all rows under the names of the methods; `reach`: of GANalyze, in logits."""
    columns = BEFORE_ATTRIBUTES + ATTRIBUTES
    side = (COLUMN_WIDTH - 2 * MARGIN - 3 * DIVIDE - (columns - 4) * GAP) / columns
    groups = [[row for row in rows if row.is_target == is_target] for is_target in (False, True)]
    groups = [group for group in groups if group]
    board = Board(HEADER + len(rows) * (side + GAP) + len(groups) * TITLE + MARGIN)
    lefts = [MARGIN]
    for column in range(1, columns):
        lefts.append(lefts[-1] + side + (DIVIDE if column in (1, 2, BEFORE_ATTRIBUTES) else GAP))
    _headings(board, lefts, side, reach)
    top = HEADER
    for group in groups:
        names = {row.predicted for row in group}
        kind = f"classified {names.pop()}" if len(names) == 1 else "several classes"  # which no class comes out as
        board.text(MARGIN, top, f"{kind}: P({class_name})", size=6, bold=True)
        top += TITLE
        for row in group:
            for left, tile in zip(lefts, row.tiles, strict=False):
                corner = "" if tile.probability is None else f"{tile.probability:.2f}"
                frame = None if tile.raises is None else RAISED if tile.raises else LOWERED
                show(board.axes(left, top, side), tile.image, corner, frame, small=True)
            if len(row.tiles) == BEFORE_ATTRIBUTES:
                board.text(lefts[BEFORE_ATTRIBUTES], top + side / 2 - 0.04, "AttFind found no attribute")
            top += side + GAP
    return board.figure


def _headings(board: Board, lefts: Sequence[float], side: float, reach: float) -> None:
    groups = (("image", 0, 1), ("Grad-CAM", 1, 2), ("GANalyze", 2, 4), ("StylEx", 4, len(lefts)))
    for name, first, after in groups:
        centre = (lefts[first] + lefts[after - 1] + side) / 2
        board.text(centre, 0.05, name, size=6.5, align="center", bold=True)
    details = {2: f"α = −{reach:.0f}", 3: f"α = +{reach:.0f}"}
    details |= {BEFORE_ATTRIBUTES + number: f"attribute {number + 1}" for number in range(ATTRIBUTES)}
    for column, text in details.items():
        board.text(lefts[column] + side / 2, 0.17, text, size=5.2, align="center")
