"""The questions of the user study ([L] 4.2.2): which attributes, which images, which side. No rendering.

Part 1, for each of the top attributes i: two examples of i, then two candidates, one of i and one of another attribute
j; each attribute is j once. Part 2, for each of them: four images in which it moves, to be described in 1-4 words.
[L] does not say how images are chosen. Here they are drawn, each different within a question, from those that the
classifier does not give to the attribute's class, of these from the half that the move takes furthest.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy
import torch

from stylex.attfind.records import Attribute, Direction
from stylex.latents.table import Latents

EXAMPLES = 2  # of attribute i in part 1
DESCRIBED = 4  # images in part 2
SIDES = ("A", "B")


@dataclass(frozen=True)
class Move:
    """One animation: an attribute, on one image (row of the latents)."""

    attribute: Attribute
    row: int


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
            second.append((method, i, tuple(draw_moves(attributes[i], DESCRIBED, latents, random))))
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
    *examples, right = draw_moves(attribute, EXAMPLES + 1, latents, random)
    (wrong,) = draw_moves(other, 1, latents, random, taken={move.row for move in (*examples, right)})
    correct = SIDES[int(random.integers(2))]
    candidates = (right, wrong) if correct == "A" else (wrong, right)
    return (*examples, *candidates), correct


def draw_moves(
    attribute: Attribute,
    count: int,
    latents: Latents,
    random: numpy.random.Generator,
    taken: Collection[int] = (),
) -> list[Move]:
    """Draw `count` images for an attribute, none of `taken`; one comes twice only when there are too few."""
    target = latents.class_names.index(attribute.target_class)
    rows = torch.nonzero(latents.reconstruction_logits.argmax(dim=1) != target).flatten()
    free = [row for row in rows.tolist() if row not in taken] or list(range(len(latents.ids)))
    value = latents.styles[free, attribute.style_index]
    extremes = latents.maxima if attribute.direction == Direction.TO_MAX else latents.minima
    travel = (extremes[attribute.style_index] - value).abs()
    half = torch.argsort(travel, descending=True, stable=True)[: max(count, (len(free) + 1) // 2)].tolist()
    chosen = random.choice(half, size=count, replace=len(half) < count)
    return [Move(attribute, free[place]) for place in chosen.tolist()]
