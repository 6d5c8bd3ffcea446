"""The questions of the user study ([L] 4.2.2): which attributes, which images, which side. No rendering.

Part 1, for each of the top attributes i: two examples of i, then two candidates, one of i and one of another attribute
j; each attribute is j once. Part 2, for each of them: four images in which it moves, to be described in 1-4 words.
[L] does not say how images are chosen. Those of a question are different and drawn from one pool: the measured images
that the classifier does not give to the class of i, as otherwise their class would give the answer away. Of the pool,
from the half that the move takes furthest. An image that has the class of j already is moved the opposite way, as in
the figure of attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

from stylex.attfind.records import Attribute, Direction
from stylex.latents.table import Latents

EXAMPLES = 2  # of attribute i in part 1
DESCRIBED = 4  # images in part 2
SIDES = ("A", "B")


@dataclass(frozen=True)
class Move:
    """One animation: an attribute moves one way on one image (row of the latents)."""

    attribute: Attribute
    row: int
    direction: Direction

    def extreme(self, latents: Latents) -> Tensor:
        """Return the extreme [1] of the coordinate towards which it moves."""
        extremes = latents.maxima if self.direction == Direction.TO_MAX else latents.minima
        return extremes[[self.attribute.style_index]]


@dataclass(frozen=True)
class Question:
    """One question. Part 1: `moves` are two examples, A and B. Part 2: images of one attribute."""

    name: str  # <part>-<number>, as the participant sees it
    part: int
    method: str
    number: int  # of the attribute among the top ones, from 1
    other: int | None  # of the attribute of the wrong candidate
    moves: tuple[Move, ...]
    correct: str  # A or B; part 2: empty


def design(lists: Mapping[str, Sequence[Attribute]], latents: Latents, seed: int) -> list[Question]:
    """Return all questions, part 1 first, in random order within a part; `lists`: top attributes by method.

    A method with a single attribute has no question in part 1: there is nothing to tell it from.
    """
    random = numpy.random.default_rng(seed)
    first, second = [], []
    for method, attributes in lists.items():
        order = random.permutation(len(attributes)).tolist()
        for i, j in zip(order, [*order[1:], *order[:1]], strict=True):
            if i != j:
                first.append((method, i, j, *comparison(attributes[i], attributes[j], latents, random)))
            described = draw_moves(attributes[i], DESCRIBED, pool(attributes[i], latents), latents, random)
            second.append((method, i, tuple(described)))
    questions = []
    for number, place in enumerate(random.permutation(len(first)).tolist(), start=1):
        method, i, j, moves, correct = first[place]
        questions.append(Question(f"1-{number:02d}", 1, method, i + 1, j + 1, moves, correct))
    for number, place in enumerate(random.permutation(len(second)).tolist(), start=1):
        method, i, moves = second[place]
        questions.append(Question(f"2-{number:02d}", 2, method, i + 1, None, moves, ""))
    return questions


def comparison(
    attribute: Attribute, other: Attribute, latents: Latents, random: numpy.random.Generator
) -> tuple[tuple[Move, ...], str]:
    """Draw a question of part 1: two examples, then the candidates A and B; and which of them is right."""
    rows = pool(attribute, latents)
    *examples, right = draw_moves(attribute, EXAMPLES + 1, rows, latents, random)
    taken = {move.row for move in (*examples, right)}
    (wrong,) = draw_moves(other, 1, [row for row in rows if row not in taken] or rows, latents, random)
    correct = SIDES[int(random.integers(2))]
    candidates = (right, wrong) if correct == "A" else (wrong, right)
    return (*examples, *candidates), correct


def pool(attribute: Attribute, latents: Latents) -> list[int]:
    """Return the measured rows that are not of the attribute's class by the classifier; if it gives all to it, all."""
    target = latents.class_names.index(attribute.target_class)
    others = latents.measured & (latents.reconstruction_logits.argmax(dim=1) != target)
    return torch.nonzero(others if others.any() else latents.measured).flatten().tolist()


def draw_moves(
    attribute: Attribute, count: int, rows: Sequence[int], latents: Latents, random: numpy.random.Generator
) -> list[Move]:
    """Draw `count` of the images `rows` for an attribute; one comes twice only when there are too few."""
    moves = [move_on(attribute, row, latents) for row in rows]
    value = latents.styles[:, attribute.style_index]
    travel = torch.cat([(move.extreme(latents) - value[move.row]).abs() for move in moves])
    half = torch.argsort(travel, descending=True, stable=True)[: max(count, (len(rows) + 1) // 2)].tolist()
    chosen = random.choice(half, size=count, replace=len(half) < count)
    return [moves[place] for place in chosen.tolist()]


def move_on(attribute: Attribute, row: int, latents: Latents) -> Move:
    """Return the move of an attribute on an image: towards its class, or away from it where the image has it."""
    target = latents.class_names.index(attribute.target_class)
    there = int(latents.reconstruction_logits[row].argmax()) == target
    return Move(attribute, row, Direction(1 - attribute.direction) if there else attribute.direction)
