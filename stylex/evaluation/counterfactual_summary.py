"""Rows of counterfactuals.csv: the counterfactuals of a method in numbers, by target class and all together.

`agreement` is the fraction of all images that flip and that the oracle gives to the target class. Intervals resample
images, each with all of its targets and draws. All together, distances are the mean over the target classes, none where
one class has none: the images of several classes in one heap would hide those that look like the class they come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any, TypeAlias

from stylex.config import ExperimentConfig
from stylex.config.analysis import POOLED
from stylex.evaluation.intervals import images_interval

DISTANCES = ("frechet_distance", "frechet_reconstructions", "frechet_halves", "kid", "kid_sd")
MEANS = ("cout", "l1", "perceptual", "diversity")
SUMMARY_COLUMNS = (
    "experiment", "domain", "method", "protocol", "target_class", "n", "images", "flipped", "validity", "validity_low",
    "validity_high", "agreed", "agreement", "agreement_low", "agreement_high", "neither", "extractor", "n_real",
    "n_compared", *DISTANCES[:2], "frechet_ratio", *DISTANCES[2:], *MEANS, "sparsity", "shift", "seed",
)  # fmt: skip
Records: TypeAlias = Sequence[Mapping[str, Any]]


def summaries(
    found: Mapping[str, Records], apart: Mapping[str, dict[str, Any]], config: ExperimentConfig
) -> list[dict[str, Any]]:
    """Return the row of each target class, and that of `POOLED`, for a method and protocol; none without a target.

    found: what was measured on each image; apart: the distances of the flipped ones; both by target class.
    """
    common = {"domain": config.domain, "shift": config.attfind.shift, "seed": config.seed}
    rows = [
        common | {"target_class": target} | of_images([records], config.seed) | apart[target]
        for target, records in found.items()
    ]
    if not rows:
        return []
    every = of_images(list(found.values()), config.seed) | mean_distances(list(apart.values()))
    return [*rows, common | {"target_class": POOLED} | every]


def of_images(parts: Sequence[Records], seed: int) -> dict[str, Any]:
    """Return the measured columns; parts: the records of each target class."""
    records = [record for part in parts for record in part]
    n, asked = len(records), any("agreed" in record for record in records)
    row: dict[str, Any] = {"n": n, "images": len({record["id"] for record in records})}
    row |= _fraction("flipped", "validity", [_of(part, "flipped") for part in _by_draw(parts)], seed)
    if asked:
        row |= _fraction("agreed", "agreement", [_of(part, "flipped", "agreed") for part in _by_draw(parts)], seed)
        row["neither"] = mean([record["neither"] for record in records])
    row |= {key: mean([record[key] for record in records]) for key in MEANS}
    return row | {"sparsity": mean([record["first_k"] for record in records if record["flipped"]])}


def mean_distances(apart: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the distances of all target classes together."""
    counts = {key: sum(each[key] for each in apart) for key in ("n_real", "n_compared")}
    means = {
        key: None if any(each[key] is None for each in apart) else mean([e[key] for e in apart]) for key in DISTANCES
    }
    far, near = means["frechet_distance"], means["frechet_reconstructions"]
    ratio = far / near if far is not None and near is not None else None
    return counts | means | {"frechet_ratio": ratio, "extractor": apart[0]["extractor"]}


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that there are; None of none."""
    known = [float(value) for value in values if value is not None and not isnan(value)]
    return sum(known) / len(known) if known else None


def _by_draw(parts: Sequence[Records]) -> list[Records]:
    """Divide the records of each target class by draw, so that an image stands once in a part."""
    return [
        [record for record in part if record["draw"] == draw]
        for part in parts
        for draw in sorted({record["draw"] for record in part})
    ]


def _of(part: Records, *keys: str) -> dict[str, bool]:
    """Return, by image, whether all of `keys` are so."""
    return {record["id"]: all(record[key] for key in keys) for record in part}


def _fraction(count: str, name: str, parts: Sequence[Mapping[str, bool]], seed: int) -> dict[str, Any]:
    true, n = sum(sum(part.values()) for part in parts), sum(map(len, parts))
    low, high = images_interval(parts, seed)
    return {count: true, name: true / n if n else None, f"{name}_low": low, f"{name}_high": high}
