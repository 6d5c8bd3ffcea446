"""The questionnaire of the user study ([L] 4.2.2): questions, animations, the page, and its key in a file of its own.

Part 1, for each of the top attributes i: two examples of i, then two candidates, one of i and one of another attribute
j; each attribute is j once. Part 2, for each of them: four images in which it moves, to be described in 1-4 words.
[L] does not say how images are chosen. Those of a question are different and drawn from one pool: the measured images
that the classifier does not give to the class of i, as otherwise their class would give the answer away. Of the pool,
from the half that the move takes furthest. An image that has the class of j already is moved the opposite way, as in
the figure of attributes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import pandas
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from stylex.artifacts import provenance, write_table, write_text
from stylex.attfind.records import Attribute, Direction, read_attributes
from stylex.config import ExperimentConfig, ExperimentPaths, experiment_paths, load_experiment
from stylex.figures.attributes import top_attributes
from stylex.latents.table import Latents, read_latents
from stylex.networks.model import load_stylex
from stylex.networks.stylespace import move
from stylex.networks.synthesis import Synthesis
from stylex.quantization import to_uint8
from stylex.study.answers import KEY_COLUMNS

EXAMPLES = 2  # of attribute i in part 1
DESCRIBED = 4  # images in part 2
SIDES = ("A", "B")
STEPS = 8  # frames one way
FRAME, REST = 80, 400  # milliseconds a frame is shown; at either end


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


@torch.inference_mode()
def frames_of(synthesis: Synthesis, latents: Latents, moved: Move, shift: float) -> NDArray[numpy.uint8]:
    """Return the frames one way, uint8 [STEPS, H, W, C]: from the reconstruction to the coordinate fully moved."""
    device = synthesis.constant.device
    row, index = torch.tensor([moved.row]), torch.tensor([moved.attribute.style_index])
    styles = latents.style_vector(row)
    extreme = moved.extreme(latents)
    space = [move(styles.space, index, extreme, shift * step / (STEPS - 1)) for step in range(STEPS)]
    every = styles._replace(space=torch.cat(space), to_rgb=styles.to_rgb.expand(STEPS, -1))
    return to_uint8(synthesis.render(every.to(device))).permute(0, 2, 3, 1).cpu().numpy()


def encode_gif(frames: NDArray[numpy.uint8]) -> bytes:
    """Return the frames [N, H, W, C], C = 1 or 3, shown forth and back for ever, as the bytes of a GIF."""
    ways = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    images = [Image.fromarray(frames[index].squeeze(2) if frames.shape[3] == 1 else frames[index]) for index in ways]
    durations = [REST if index in (0, len(frames) - 1) else FRAME for index in ways]
    target = io.BytesIO()
    images[0].save(target, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0)
    return target.getvalue()


def build(root: Path, name: str, device: str) -> None:
    """Write study/index.html and study/key.csv of the experiment; the page holds nothing of the key."""
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    latents, lists = read_latents(paths.latents).under(config.attfind.protocol), attribute_lists(config, paths)
    synthesis = load_stylex(paths.stylex_model, device).synthesis
    questions = design(lists, latents, config.seed)
    animations = [
        [encode_gif(frames_of(synthesis, latents, move, config.attfind.shift)) for move in question.moves]
        for question in questions
    ]
    study = identity(questions, animations)
    write_text(paths.study_page, render_page(study, config.title, questions, animations))
    origin = provenance(config.digest(), config.seed, device)
    write_table(paths.study_key, key_table(study, questions, lists, latents), origin | {"study": study})


def attribute_lists(config: ExperimentConfig, paths: ExperimentPaths) -> dict[str, list[Attribute]]:
    """Return the top study.attributes of each method, the lists of all target classes merged by rank."""
    files = paths.attribute_lists(config.method)
    return {each: top_attributes(read_attributes(path), config.study.attributes) for each, path in files.items()}


def identity(questions: Sequence[Question], animations: Sequence[Sequence[bytes]]) -> str:
    """Return 12 hex digits that change with any animation or order: answers belong to one questionnaire."""
    digest = hashlib.sha256()
    for question, gifs in zip(questions, animations, strict=True):
        digest.update(question.name.encode() + b"".join(hashlib.sha256(gif).digest() for gif in gifs))
    return digest.hexdigest()[:12]


def key_table(
    study: str, questions: Sequence[Question], lists: Mapping[str, Sequence[Attribute]], latents: Latents
) -> pandas.DataFrame:
    """Return key.csv: one row per question."""
    rows = []
    for question in questions:
        attributes = lists[question.method]
        other = question.other
        row = {
            "study": study,
            "question": question.name,
            "part": question.part,
            "method": question.method,
            "attribute": question.number,
            "style_index": attributes[question.number - 1].style_index,
            "other_attribute": other,
            "other_style_index": None if other is None else attributes[other - 1].style_index,
            "correct": question.correct,
            "images": json.dumps([latents.ids[move.row] for move in question.moves]),
        }
        rows.append(row)
    return pandas.DataFrame(rows, columns=list(KEY_COLUMNS)).astype(
        {"other_attribute": "Int64", "other_style_index": "Int64"}
    )


def render_page(study: str, title: str, questions: Sequence[Question], animations: Sequence[Sequence[bytes]]) -> str:
    """Return the page; the GIFs are inside it."""
    environment = Environment(
        loader=PackageLoader("stylex.study"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    shown = [
        {"name": question.name, "part": question.part, "gifs": [base64.b64encode(gif).decode() for gif in gifs]}
        for question, gifs in zip(questions, animations, strict=True)
    ]
    return environment.get_template("questionnaire.html.j2").render(study=study, title=title, questions=shown)
