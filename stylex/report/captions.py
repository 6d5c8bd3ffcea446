"""Captions of tables (captions.yaml) and of figures, and these in words for those who do not see them (the catalog)."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml

from stylex.config import ExperimentConfig
from stylex.config.base import INCEPTION
from stylex.figures.catalog import ANIMATION_NAMES, ANIMATION_SECONDS, FIGURES, OTHERS, PHRASES, SHOWN_ALONE

WHOLE = 128  # pixels: no figure draws an image of so many smaller than it is
PICTURES = FIGURES | OTHERS
# The artifact that a figure draws; others are listed with all artifacts of the experiment.
ORIGINS = {name: entry.artifact for name, entry in PICTURES.items() if entry.artifact}


@cache
def tables() -> dict[str, str]:
    """Read captions.yaml: the captions of tables, by name."""
    return yaml.safe_load(resources.files("stylex.report").joinpath("captions.yaml").read_text(encoding="utf-8"))


def text(table: str, **values: object) -> str:
    """Return the caption of a table."""
    return tables()[table].format_map(values)


def caption(name: str, config: ExperimentConfig) -> tuple[str, str]:
    """Return (alternative text, caption) of the figure `name` of an experiment."""
    number = ANIMATION_NAMES.index(name) + 1 if name in ANIMATION_NAMES else 0
    words: dict[str, Any] = {
        "title": config.title, "shift": config.attfind.shift, "reach": config.evaluation.ganalyze.reach,
        "number": number, "seconds": ANIMATION_SECONDS, "alone": SHOWN_ALONE, "against": config.attfind.against,
        "fid": _fid(config), "shown_class": _shown_class(config),
    }  # fmt: skip
    variants = (
        "released" if config.released else "trained",
        "all" if config.attfind.against is None else "one",
        "reduced" if config.dataset.resolution > WHOLE else "whole",
    )
    for key, phrase in PHRASES.items():
        if isinstance(phrase, dict):
            phrase = next(phrase[variant] for variant in variants if variant in phrase)
        words[key] = phrase.format_map(words)
    figure = PICTURES["animation" if number else name]
    return figure.alternative.format_map(words), figure.caption.format_map(words)


def _fid(config: ExperimentConfig) -> str:
    if INCEPTION not in (extractors := config.evaluation.frechet_extractors):
        return ": this is not FID"
    return " (FID: pytorch-fid's Inception)" + (": in all others it is not FID" if len(extractors) > 1 else "")


def _shown_class(config: ExperimentConfig) -> str:
    if known := config.dataset.class_names:
        return config.shown_class(known)
    against = config.attfind.against
    return config.evaluation.figure_class or "the last class" + (f" other than {against}" if against else "")
