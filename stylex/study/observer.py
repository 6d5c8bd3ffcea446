"""`stylex study observe`: a machine answers the questions of part 1, to judge a change without asking fifty people.

It compares what an attribute changes in the features of the experiment's perceptual backbone, never of the explained
classifier: d = features(moved) - features(reconstruction), each scale divided by the root of its positions, as in
`perceptual_distance`. Answer: the candidate whose d has the larger cosine with the sum of the examples' unit d. Each
question is put with the images that people see, and with further draws of images. It is no model of human sight.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy
import pandas
import torch
from torch import Tensor

from stylex.artifacts import provenance, write_table
from stylex.attfind.records import Attribute
from stylex.classifiers import FeatureBackbone, load_backbone
from stylex.config import backbone_paths, experiment_paths, load_experiment
from stylex.errors import ArtifactError
from stylex.latents.table import Latents, read_latents
from stylex.networks.model import load_stylex
from stylex.networks.stylespace import move
from stylex.networks.synthesis import Synthesis
from stylex.progress import progress
from stylex.study.answers import ALL, read_key
from stylex.study.questionnaire import EXAMPLES, SIDES, Move, attribute_lists, comparison, move_on
from stylex.study.statistics import clopper_pearson, interval_over_questions, mean_and_sds

COLUMNS = (
    "experiment", "method", "question", "attribute", "style_index", "other_style_index", "shown_correct", "n",
    "correct", "accuracy", "low", "high", "population_sd", "sample_sd", "extractor", "seed",
)  # fmt: skip


def observe(root: Path, name: str, device: str) -> None:
    """Write observer.csv: one row per question, and a row `all` per method; raises `ArtifactError` for a stale key."""
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    latents, lists = read_latents(paths.latents).under(config.attfind.protocol), attribute_lists(config, paths)
    key = read_key(paths.study_key)
    asked = [row for row in key.to_dict("records") if row["part"] == 1]
    observer = Observer(
        load_stylex(paths.stylex_model, device).synthesis,
        load_backbone(backbone_paths(root, config.stylex.perceptual_backbone).model, device),
        latents,
        config.attfind.shift,
        config.evaluation.batch_size,
    )
    random = numpy.random.default_rng([config.seed, 1])  # not the stream that made the questions
    common = {"experiment": name, "extractor": observer.backbone.name, "seed": config.seed}
    rows = []
    with progress(f"observe {name}", len(asked), "questions") as counter:
        for row in asked:
            pair = attributes_of(row, lists.get(row["method"], []), paths.study_key)
            draws = [(shown_moves(row, pair, latents, paths.study_key), str(row["correct"]))]
            draws += [comparison(*pair, latents, random) for _ in range(config.study.observer_draws - 1)]
            right = observer.answers([moves for moves, _ in draws]) == numpy.array([correct for _, correct in draws])
            rows.append(common | question_row(row, right))
            counter.advance(1)
    by_method = {method: [row for row in rows if row["method"] == method] for method in lists}
    rows += [common | total_row(method, answered, config.seed) for method, answered in by_method.items() if answered]
    frame = pandas.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(COLUMNS[3:6], "Int64"))
    write_table(paths.observer, frame, provenance(config.digest(), config.seed, device))


class Observer:
    """Renders moves and compares what they change."""

    def __init__(
        self, synthesis: Synthesis, backbone: FeatureBackbone, latents: Latents, shift: float, batch_size: int
    ) -> None:
        self.synthesis, self.backbone, self.latents = synthesis, backbone, latents
        self.shift, self.batch_size = shift, batch_size

    def answers(self, questions: list[tuple[Move, ...]]) -> numpy.ndarray:
        """Return A or B for each question of two examples and two candidates."""
        size = max(1, self.batch_size // 4)
        parts = [questions[start : start + size] for start in range(0, len(questions), size)]
        chosen = torch.cat([choose(self.changes([each for one in part for each in one])) for part in parts])
        return numpy.array(SIDES)[chosen.numpy()]

    @torch.inference_mode()
    def changes(self, moves: list[Move]) -> Tensor:
        """Return d [n, D] of each move, on the CPU."""
        rows = torch.tensor([each.row for each in moves])
        styles, device = self.latents.style_vector(rows), self.synthesis.constant.device
        space = torch.cat([self._moved(styles.space[place : place + 1], each) for place, each in enumerate(moves)])
        before = self.features(self.synthesis.render(styles.to(device)))
        after = self.features(self.synthesis.render(styles._replace(space=space).to(device)))
        return (after - before).cpu()

    def _moved(self, space: Tensor, moved: Move) -> Tensor:
        index = torch.tensor([moved.attribute.style_index])
        return move(space, index, moved.extreme(self.latents), self.shift)

    def features(self, images: Tensor) -> Tensor:
        """Return all scales as one vector per image, [n, D]: its squared distances are perceptual distances."""
        scales = self.backbone.features(images)
        return torch.cat([each.flatten(1) / (each.shape[2] * each.shape[3]) ** 0.5 for each in scales], dim=1)


def choose(changes: Tensor) -> Tensor:
    """Return 0 (A) or 1 (B) for each question [Q]; changes [4 Q, D]: examples, A, B of each. A tie is A."""
    units = torch.nn.functional.normalize(changes, dim=1).reshape(-1, EXAMPLES + 2, changes.shape[1])
    likeness = (units[:, EXAMPLES:] * units[:, :EXAMPLES].sum(1, keepdim=True)).sum(2)
    return (likeness[:, 1] > likeness[:, 0]).long()


def attributes_of(row: dict[Any, Any], attributes: list[Attribute], key: Path) -> tuple[Attribute, Attribute]:
    """Return the attributes i and j of a question; raise `ArtifactError` when they are not those of the key."""
    pair = []
    for name in ("attribute", "other_attribute"):
        place, index = int(row[name]) - 1, row[name.replace("attribute", "style_index")]
        if place >= len(attributes) or attributes[place].style_index != index:
            raise ArtifactError(f"{key} was made from other attributes; run `stylex study build` again")
        pair.append(attributes[place])
    return pair[0], pair[1]


def shown_moves(
    row: dict[Any, Any], pair: tuple[Attribute, Attribute], latents: Latents, key: Path
) -> tuple[Move, ...]:
    """Return the moves that people see; raise `ArtifactError` when an image was not analysed."""
    position = {identity: place for place, identity in enumerate(latents.ids)}
    images = json.loads(row["images"])
    if not set(images) <= set(position):
        raise ArtifactError(f"{key} was made from other images; run `stylex study build` again")
    right, wrong = pair
    candidates = (right, wrong) if row["correct"] == "A" else (wrong, right)
    shown = zip((*[right] * EXAMPLES, *candidates), images, strict=True)
    return tuple(move_on(attribute, position[identity], latents) for attribute, identity in shown)


def question_row(row: dict[Any, Any], right: numpy.ndarray) -> dict[str, object]:
    """Return the measured columns of one question; `right` [draws], first the one that people see."""
    n, correct = len(right), int(right.sum())
    low, high = clopper_pearson(correct, n)
    kept = {name: row[name] for name in ("method", "question", "attribute", "style_index", "other_style_index")}
    counts = {"shown_correct": int(right[0]), "n": n, "correct": correct}
    return {**kept, **counts, "accuracy": correct / n, "low": low, "high": high}


def total_row(method: str, rows: list[dict[str, Any]], seed: int) -> dict[str, object]:
    """Return the row `all` of a method: mean, sds and interval over questions, each with all of its draws."""
    sums = {name: sum(row[name] for row in rows) for name in ("shown_correct", "n", "correct")}
    accuracies = [row["accuracy"] for row in rows]
    mean, population_sd, sample_sd = mean_and_sds(accuracies)
    low, high = interval_over_questions(accuracies, seed)
    sds = {"low": low, "high": high, "population_sd": population_sd, "sample_sd": sample_sd}
    return {"method": method, "question": ALL, **sums, "accuracy": mean, **sds}
