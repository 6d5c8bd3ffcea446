"""The table of single images explained ([L] 3.4): how often coordinates chosen for the very image flip its decision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas

from stylex.artifacts import read_json, read_table
from stylex.attfind.records import IMAGES_TOWARDS
from stylex.config import ExperimentConfig, ExperimentPaths
from stylex.config.analysis import POOLED
from stylex.errors import ArtifactError
from stylex.evaluation.intervals import wilson_interval
from stylex.report.published import LABELS
from stylex.report.table import Block, Table, interval

COLUMNS = (
    "experiment", "domain", "method", "selection", "target_class", "k", "shift", "n", "flipped", "fraction", "low",
    "high", "seed",
)  # fmt: skip
SHOWN = (1, 2, 3, 5, 10)


def subset_table(root: Path, experiments: Mapping[str, ExperimentConfig]) -> Table:
    """Build the table from each experiment's independent.csv and subset.csv."""
    rows: list[dict[str, object]] = []
    for name, config in experiments.items():
        paths = ExperimentPaths(root, name)
        common = {"experiment": name, "domain": config.domain, "method": config.method, "seed": config.seed}
        common |= {"shift": config.attfind.shift}
        for selection, path in (("subset", paths.subset), ("independent", paths.independent)):
            steps = read_table(path, ("id", "target_class", "direction"))
            measured = fractions(steps, images_of(path), config.evaluation.explanation_steps)
            rows += [common | {"selection": selection} | row for row in measured]
    data = pandas.DataFrame(rows, columns=list(COLUMNS))
    return Table("subset", "Explanations of single images", data, (_block(data),))


def images_of(path: Path) -> dict[str, int]:
    """Return how many images were explained, by target class, as the provenance says: not all have a row."""
    beside = path.with_suffix(".provenance.json")
    origin = read_json(beside)
    counts = {
        key.removeprefix(f"{IMAGES_TOWARDS} "): int(value)
        for key, value in origin.items()
        if key.startswith(f"{IMAGES_TOWARDS} ")
    }
    if not counts:
        raise ArtifactError(f"{beside} does not say how many images were explained; run `stylex explain` again")
    return counts


def fractions(steps: pandas.DataFrame, images: Mapping[str, int], most: int) -> list[dict[str, object]]:
    """Return a row for each k up to `most` and target class, and `POOLED`, all classes together.

    steps: rows of independent.csv or subset.csv. Flipped counts the images that are the target at some step <= k.
    """
    first: dict[tuple[str, str], int] = {}  # of an image, the first step at which it is the target
    for row in steps.to_dict("records"):
        if row["flipped"]:
            image, step = (row["target_class"], row["id"]), int(row["step"])
            first[image] = min(step, first.get(image, step))
    rows = []
    for k in range(1, most + 1):
        within = [target for (target, _), step in first.items() if step <= k]
        counts = {target: (within.count(target), n) for target, n in images.items()}
        counts[POOLED] = (sum(flipped for flipped, _ in counts.values()), sum(images.values()))
        for target, (count, n) in counts.items():
            low, high = wilson_interval(count, n)
            measured = {"target_class": target, "k": k, "n": n, "flipped": count, "fraction": count / n if n else None}
            rows.append(measured | {"low": low, "high": high})
    return rows


def _block(data: pandas.DataFrame) -> Block:
    shown = [k for k in SHOWN if k in set(data["k"])]
    rows = []
    for _, part in data.loc[data["target_class"] == POOLED].groupby(["experiment", "selection"], sort=False):
        first, by_k = part.iloc[0], {row["k"]: row for row in part.to_dict("records")}
        row = {
            "Experiment": first["experiment"],
            "Domain": first["domain"],
            "Method": LABELS.get(first["method"], first["method"]),
            "Selection": first["selection"],
            "n": first["n"],
            "Shift": f"{first['shift']:g}",
        }
        rows.append(row | {f"k = {k}, %": interval(by_k.get(k)) for k in shown})
    caption = (
        "This run: percentage of images whose decision coordinates chosen for that very image flip, towards the second"
        " most probable class, so each image counts once, with its 95 % Wilson interval. Subset: within k coordinates"
        " moved together, each chosen given what is moved already. Independent: by at least one of the k coordinates"
        " with the largest effects, each moved alone. The search asks the classifier about every coordinate of the very"
        " image, which a list for a whole class does not."
    )
    return Block(caption, pandas.DataFrame(rows), ("n", "Shift", *(f"k = {k}, %" for k in shown)))
