"""`stylex study build`: the questionnaire page of an experiment, and its answer key in a file of its own."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas
from jinja2 import Environment, PackageLoader, StrictUndefined

from stylex.artifacts import provenance, write_table, write_text
from stylex.attfind.records import Attribute, read_attributes
from stylex.config import ExperimentConfig, ExperimentPaths, experiment_paths, load_experiment
from stylex.figures.examples import top_attributes
from stylex.latents.table import Latents, read_latents
from stylex.networks.model import load_stylex
from stylex.study.animation import encode_gif, frames_of
from stylex.study.answers import KEY_COLUMNS
from stylex.study.questions import Question, design

TEMPLATE = "questionnaire.html.j2"


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
    """Return key.csv: a row a question."""
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
    return environment.get_template(TEMPLATE).render(study=study, title=title, questions=shown)
