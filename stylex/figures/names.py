"""Which figures an experiment has; the workflow declares them as outputs, so this module imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stylex.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stylex.config import ExperimentConfig

FIGURE_NAMES = (
    "attributes",
    "teaser",
    "class-attributes",
    "comparison",
    "independent",
    "subset",
    "reconstructions",
    "sufficiency",
    "methods",
    "frechet",
    "history",
)
# Of a released model: what needs no image but its own, and no training.
RELEASED = ("attributes", "class-attributes", "sufficiency")
RELEASED_WITH_IMAGES = (*RELEASED, "frechet")
ANIMATION_NAMES = tuple(f"attribute-{number}" for number in range(1, 5))  # each a still (png, pdf) and a gif
ANIMATION_SECONDS = 2.4  # of a gif, there and back
SHOWN_ALONE = 5  # coordinates of an independent explanation, as [L] figure 7 shows


def figure_names(config: ExperimentConfig) -> tuple[str, ...]:
    """Return the names of an experiment's figures, without those of its animations, which every one has."""
    if not config.released:
        return FIGURE_NAMES
    return RELEASED_WITH_IMAGES if config.released_images else RELEASED


def figure_files(names: Iterable[str] = FIGURE_NAMES) -> list[tuple[str, str]]:
    """Return (name, suffix) of every file of an experiment whose figures are `names`, those of animations included."""
    stills = [(name, suffix) for name in (*names, *ANIMATION_NAMES) for suffix in ("png", "pdf")]
    return stills + [(name, "gif") for name in ANIMATION_NAMES]


def check_names(suite: str, experiments: Iterable[str]) -> None:
    """Raise `ConfigError` when figures of two experiments of a suite would be one file, as of `a` and `a-class`."""
    owners: dict[str, str] = {}
    for experiment in experiments:
        for name in (*FIGURE_NAMES, *ANIMATION_NAMES):
            file = f"{experiment}-{name}"
            if (other := owners.setdefault(file, experiment)) != experiment:
                raise ConfigError(
                    f"suite '{suite}': '{other}' and '{experiment}' would both have a figure {file}: rename one, or"
                    " put them into different suites"
                )
