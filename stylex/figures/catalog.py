"""The figures of an experiment (catalog.yaml): what draws each, of which experiments, and what it says.

The workflow declares their files as outputs, so this module imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from stylex.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stylex.config import ExperimentConfig

ANIMATION_NAMES = tuple(f"attribute-{number}" for number in range(1, 5))  # each a still (png, pdf) and a gif
ANIMATION_SECONDS = 2.4  # of a gif, there and back
TEASER_ATTRIBUTES = 5  # of which the teaser shows each alone
SHOWN_ALONE = 5  # coordinates of an independent explanation, as [L] figure 7 shows


@dataclass(frozen=True)
class Entry:
    """A figure; the head of catalog.yaml says what its keys mean."""

    alternative: str
    caption: str
    draw: str = ""  # `<module>.<function>` of stylex.figures
    experiments: str = "trained"
    artifact: str = ""
    copy: str = ""  # path of ExperimentPaths: the figure is this file


_CONTENT = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
PHRASES: dict[str, str | dict[str, str]] = _CONTENT["phrases"]
FIGURES = {name: Entry(**content) for name, content in _CONTENT["figures"].items()}
OTHERS = {name: Entry(**content) for name, content in _CONTENT["others"].items()}

FIGURE_NAMES = tuple(FIGURES)
COPIES = {name: entry.copy for name, entry in OTHERS.items() if entry.copy}  # so that a suite's folder has all it shows
TRAINED = (*FIGURE_NAMES, *COPIES)
RELEASED = tuple(name for name, entry in FIGURES.items() if entry.experiments == "all")
RELEASED_WITH_IMAGES = tuple(name for name, entry in FIGURES.items() if entry.experiments in ("all", "with images"))


def figure_names(config: ExperimentConfig) -> tuple[str, ...]:
    """Return the names of an experiment's figures, without those of its animations, which every one has."""
    if not config.released:
        return TRAINED
    return RELEASED_WITH_IMAGES if config.released_images else RELEASED


def figure_files(names: Iterable[str] = TRAINED) -> list[tuple[str, str]]:
    """Return (name, suffix) of every file of an experiment whose figures are `names`, those of animations included."""
    shown = (*names, *ANIMATION_NAMES)
    stills = [(name, suffix) for name in shown for suffix in ("png", "pdf") if suffix == "png" or name not in COPIES]
    return stills + [(name, "gif") for name in ANIMATION_NAMES]


def check_names(suite: str, experiments: Iterable[str]) -> None:
    """Raise `ConfigError` when figures of two experiments of a suite would be one file, as of `a` and `a-class`."""
    owners: dict[str, str] = {}
    for experiment in experiments:
        for name in (*TRAINED, *ANIMATION_NAMES):
            file = f"{experiment}-{name}"
            if (other := owners.setdefault(file, experiment)) != experiment:
                raise ConfigError(
                    f"suite '{suite}': '{other}' and '{experiment}' would both have a figure {file}: rename one, or"
                    " put them into different suites"
                )
