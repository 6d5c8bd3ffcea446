"""What the gallery shows of one experiment: every position of its sliders, rendered and classified beforehand.

Each image has one sheet of frames. First come those of each attribute alone, from its lowest position to its highest;
a position p in [-1, 1] takes the coordinate by |p| * shift towards its extreme in the direction that AttFind found
(p > 0: towards the target class) or in the other one. Then come all combinations of the first few attributes, each
lowered, unmoved or raised. What the classifier says of a frame it says of the very pixels of the frame.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stylex.artifacts import write_text
from stylex.attfind.explanations import first_of_each_class
from stylex.attfind.records import Attribute, read_attributes, top_attributes
from stylex.config import GalleryPaths
from stylex.evaluation.counterfactuals import Run, load_originals
from stylex.evaluation.maps import judges, moved_alone, quality
from stylex.gallery.sheets import LARGEST, map_uri, sheet_uri, thumbnail_uri
from stylex.networks.stylespace import StyleVector, move
from stylex.progress import progress

ATTRIBUTES, TOGETHER = 8, 4  # at the most: sliders; attributes moved together
STEPS = 8  # positions of a slider on either side of the middle
COLUMNS = 2 * STEPS + 1  # of a sheet, one row an attribute
STATES = (-1, 0, 1)  # of an attribute among others
FEWEST_IMAGES, MOST_IMAGES = 4, 12
PIXELS = 24_000_000  # of all frames of an experiment, as far as `FEWEST_IMAGES` allow
SHOWN_CLASSES = 12  # up to which the probabilities of all classes are kept
COLUMNS_OF_FRAMES = ("id", "frame", "attribute", "position", "together", "decision", "oracle")
Positions = tuple[float, ...]  # of each attribute, in [-1, 1]


@dataclass(frozen=True)
class Plan:
    """Which frames each image has; `moves` are positions of all attributes, in the order of the sheet."""

    attributes: list[Attribute]
    together: int
    moves: list[Positions]

    @classmethod
    def of(cls, attributes: list[Attribute]) -> Plan:
        """Return the frames of these attributes."""
        count, together = len(attributes), min(TOGETHER, len(attributes))
        nothing = [0.0] * count
        alone = [
            (*nothing[:number], step / STEPS, *nothing[number + 1 :])
            for number in range(count)
            for step in range(-STEPS, STEPS + 1)
        ]
        combined = [(*map(float, states), *nothing[together:]) for states in product(STATES, repeat=together)]
        return cls(attributes, together, alone + (combined if together > 1 else []))

    def name(self, frame: int) -> tuple[int | None, str]:
        """Return of a frame which attribute it moves alone, from 1, and otherwise how those together are moved."""
        if frame < COLUMNS * len(self.attributes):
            return frame // COLUMNS + 1, ""
        return None, "".join("-0+"[int(position) + 1] for position in self.moves[frame][: self.together])


class Answers(NamedTuple):
    """What classifier and oracle say of the frames of one image."""

    images: Tensor  # [F, C, H, W]
    probabilities: Tensor  # [F, classes]
    decisions: list[int]
    oracle: list[int] | None  # by its own classes


def frames(root: Path, suite: str, name: str, device: str) -> None:
    """Write results/<suite>/gallery/<name>.js, which the page loads, and <name>.csv, the same numbers for others."""
    run, paths = Run.load(root, name, device), GalleryPaths(root, suite)
    plan = Plan.of(top_attributes(read_attributes(run.paths.attributes), ATTRIBUTES))
    rows = chosen_images(run, plan) if plan.attributes else []
    with progress(f"gallery {name}", len(rows) + len(plan.attributes)) as counter:
        answers, measured = [], []
        for row in rows:
            answers.append(answered(run, render(run, plan, row)))
            counter.advance(1)
        for attribute in plan.attributes:
            measured.append(measure(run, attribute))
            counter.advance(1)
    shown = shown_classes(plan, answers, run.latents.class_names)
    originals = load_originals(root, run.config, run.latents) if run.config.gives("frechet") else None
    most = max([float(change.max()) for change, _ in measured if change.isfinite().all()] or [0.0])
    content = constants(run, plan, shown) | {
        "largestChange": round(most, 4),
        "attributes": [
            attribute_content(number, attribute, change, counts, most)
            for number, (attribute, (change, counts)) in enumerate(zip(plan.attributes, measured, strict=True), start=1)
        ],
        "images": [
            image_content(run, row, shown, each, None if originals is None else originals(torch.tensor([row])))
            for row, each in zip(rows, answers, strict=True)
        ],
    }
    columns = [*COLUMNS_OF_FRAMES, *(probability(run.latents.class_names[label]) for label in shown)]
    run.write(paths.numbers(name), number_rows(run, plan, rows, shown, answers), columns, types={"attribute": "Int64"})
    write_text(paths.frames(name), f"gallery.add({json.dumps(content, separators=(',', ':'))});\n")


def constants(run: Run, plan: Plan, shown: list[int]) -> dict[str, Any]:
    """Return what holds for all images and attributes; shown: the classes whose probabilities are kept."""
    return {
        "name": run.paths.name,
        "shift": run.config.attfind.shift,
        "classes": list(run.latents.class_names),
        "shown": shown,
        "oracle": None if run.oracle is None else list(run.oracle.class_names),
        "steps": STEPS,
        "side": min(run.config.dataset.resolution, LARGEST),
        "together": plan.together if plan.together > 1 else 0,
    }


def chosen_images(run: Run, plan: Plan) -> list[int]:
    """Return rows of the latents: the first measured images, evenly over the classes, by how large they are."""
    measured = torch.nonzero(run.latents.measured).flatten()
    pixels = (len(plan.moves) + 1) * min(run.config.dataset.resolution, LARGEST) ** 2 * run.networks.image_channels
    count = min(max(PIXELS // pixels, FEWEST_IMAGES), MOST_IMAGES)
    return measured[first_of_each_class(run.latents.labels[measured], count)].tolist()


def render(run: Run, plan: Plan, row: int) -> Tensor:
    """Return all frames of an image, [F, C, H, W] in [-1, 1], as a file holds them."""
    styles = run.latents.style_vector(torch.tensor([row]))
    space = styles.space.repeat(len(plan.moves), 1)
    positions = torch.tensor(plan.moves)[..., None]  # [F, attributes, 1]
    for attribute, position in zip(plan.attributes, positions.unbind(1), strict=True):
        index, towards = torch.tensor([attribute.style_index]), int(attribute.direction)
        extreme = run.latents.extremes[:, index]
        aim = torch.where(position > 0, extreme[towards], extreme[1 - towards])
        space = move(space, index, aim, position.abs() * run.config.attfind.shift)
    return run.images(StyleVector(space, styles.to_rgb.expand(len(space), -1)))


@torch.inference_mode()
def answered(run: Run, images: Tensor) -> Answers:
    """Ask both networks about images [F, C, H, W]."""
    batches = images.to(run.device).split(run.config.evaluation.batch_size)
    logits = torch.cat([run.classifier(batch).cpu() for batch in batches])
    judged = None
    if (oracle := run.oracle) is not None:
        judged = torch.cat([oracle(batch).argmax(dim=1).cpu() for batch in batches]).tolist()
    return Answers(images, logits.softmax(dim=1), logits.argmax(dim=1).tolist(), judged)


def shown_classes(plan: Plan, answers: Sequence[Answers], names: Sequence[str]) -> list[int]:
    """Return the classes whose probabilities are kept: all, or of many those that attributes or images are of."""
    if len(names) <= SHOWN_CLASSES:
        return list(range(len(names)))
    targets = {names.index(attribute.target_class) for attribute in plan.attributes}
    return sorted(targets | {each.decisions[STEPS] for each in answers if each.decisions})


def measure(run: Run, attribute: Attribute) -> tuple[Tensor, dict[str, int | None]]:
    """Return where an attribute acts, [H, W] in [0, 2], and the columns n, flipped, agreed of attribute_maps.csv."""
    rows = run.images_to_turn(run.latents, attribute.target_class)
    change, answers = moved_alone(run, run.latents, rows, attribute, judges(run, attribute.target_class))
    counts = quality(answers, [run.latents.ids[row] for row in rows.tolist()], run.config.seed)
    return change, {"n": len(rows), "flipped": counts["flipped"], "agreed": counts.get("agreed")}


def attribute_content(
    number: int, attribute: Attribute, change: Tensor, counts: dict[str, int | None], most: float
) -> dict[str, Any]:
    """Return what the page says of an attribute; most: the largest change in any map, which all share as scale."""
    row = {key: getattr(attribute, key) for key in ("target_class", "style_index", "layer", "channel")}
    return {"number": number} | row | counts | {"map": map_uri(change, most)}


def image_content(run: Run, row: int, shown: list[int], answers: Answers, original: Tensor | None) -> dict[str, Any]:
    """Return what the page has of an image: its sheet, and the answers to each frame; original [1, C, H, W]."""
    latents = run.latents
    probabilities = (answers.probabilities[:, shown] * 10_000).round().int().tolist()
    return {
        "id": latents.ids[row],
        "label": int(latents.labels[row]),
        "original": None if original is None else thumbnail_uri(original[0]),
        "originalDecision": int(latents.logits[row].argmax()),
        "sheet": sheet_uri(answers.images, COLUMNS),
        "probabilities": probabilities,  # in ten-thousandths
        "decisions": answers.decisions,
        "oracle": answers.oracle,
    }


def number_rows(
    run: Run, plan: Plan, rows: Sequence[int], shown: list[int], answers: Sequence[Answers]
) -> list[dict[str, Any]]:
    """Return the rows of the table, one a frame."""
    names, oracle, found = run.latents.class_names, run.oracle, []
    for row, each in zip(rows, answers, strict=True):
        for frame, positions in enumerate(plan.moves):
            number, together = plan.name(frame)
            position = None if number is None else positions[number - 1]
            judged = oracle.class_names[each.oracle[frame]] if oracle and each.oracle else None
            values = run.latents.ids[row], frame, number, position, together, names[each.decisions[frame]], judged
            chances = {probability(names[label]): round(float(each.probabilities[frame, label]), 4) for label in shown}
            found.append(dict(zip(COLUMNS_OF_FRAMES, values, strict=True)) | chances)
    return found


def probability(class_name: str) -> str:
    """Return the column of a class."""
    return f"P({class_name})"
