"""The table of methods compared on the same images: which flips more of them, and how surely (exact McNemar test).

Compared are the methods that explain one classifier: of an experiment, and of those of the suite that name it in
`classifier_of`. Images are joined by id, target class and protocol; one that a model already rebuilds as the target is
left out. The unit is the image: with more than two classes it has several targets, and counts once all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas

from stylex.artifacts import read_table
from stylex.config import ExperimentConfig, ExperimentPaths
from stylex.config.analysis import POOLED, TOP
from stylex.evaluation.intervals import bootstrap
from stylex.evaluation.paired import mcnemar
from stylex.report.published import LABELS, PROTOCOLS, direction
from stylex.report.table import NOTHING, Block, Table

COLUMNS = (
    "domain", "protocol", "target_class", "experiment_a", "method_a", "experiment_b", "method_b", "k", "n", "only_a",
    "only_b", "difference", "low", "high", "p",
)  # fmt: skip
TEXT = ("id", "method", "protocol", "target_class")


def paired_table(root: Path, experiments: Mapping[str, ExperimentConfig]) -> Table:
    """Build the table from each experiment's flips.csv."""
    rows: list[dict[str, object]] = []
    for name in dict.fromkeys(config.classifier_of or name for name, config in experiments.items()):
        measured: list[tuple[str, str, pandas.DataFrame]] = []
        for each, config in experiments.items():
            if name in (each, config.classifier_of):
                flips = read_table(ExperimentPaths(root, each).flips, TEXT)
                measured += [(each, str(method), part) for method, part in flips.groupby("method", sort=False)]
        for (experiment_a, method_a, a), (experiment_b, method_b, b) in combinations(measured, 2):
            sides = {"experiment_a": experiment_a, "method_a": method_a, "experiment_b": experiment_b}
            common = {"domain": experiments[experiment_a].domain, **sides, "method_b": method_b}
            rows += [common | row for row in compared(a, b, experiments[experiment_a].seed)]
    data = pandas.DataFrame(rows, columns=list(COLUMNS))
    return Table("paired", "Methods on the same images", data, (_block(data),))


def compared(a: pandas.DataFrame, b: pandas.DataFrame, seed: int, k: int = TOP) -> list[dict[str, object]]:
    """Return a row a protocol and target class, and one of all targets; a, b: rows of flips.csv, one method each.

    n and difference count decisions: an image counts for each of its targets. The columns only_a and only_b count the
    images that flip within k attributes of that one alone; of several targets, towards more of them. low, high: 95 %
    interval of the difference, images resampled with all of their targets; seed: of the resampling.
    """
    joined = a.merge(b, on=["id", "protocol", "target_class"], validate="one_to_one", suffixes=("_a", "_b"))
    rows = []
    for protocol, measured in joined.groupby("protocol", sort=False):
        parts = {str(target): part for target, part in measured.groupby("target_class", sort=False)}
        for target, part in [*parts.items(), (POOLED, measured)]:
            rows.append({"protocol": protocol, "target_class": target, "k": k, **_counts(part, k, seed)})
    return rows


def _counts(part: pandas.DataFrame, k: int, seed: int) -> dict[str, float]:
    """Return the measured columns of a row; part: decisions, with the k at which they flip on either side."""
    gains: dict[str, list[int]] = {}  # of an image, by target: 1 or -1 where one side alone flips
    for row in part.to_dict("records"):
        flipped = (not pandas.isna(first) and first <= k for first in (row["first_k_a"], row["first_k_b"]))
        gains.setdefault(row["id"], []).append(next(flipped) - next(flipped))
    images = [sum(each) for each in gains.values()]
    only_a, only_b = sum(image > 0 for image in images), sum(image < 0 for image in images)
    low, high = bootstrap(images, seed, [len(each) for each in gains.values()])
    counts = {"n": len(part), "only_a": only_a, "only_b": only_b, "difference": sum(images) / len(part)}
    return counts | {"low": low, "high": high, "p": mcnemar(only_a, only_b)}


def _block(data: pandas.DataFrame) -> Block:
    rows = data.to_dict("records")
    frame = pandas.DataFrame({
        "Domain": data["domain"],
        "Protocol": [PROTOCOLS[row["protocol"]] for row in rows],
        "Target class": [direction(row["target_class"]) for row in rows],
        "A": [_label(row, "a", rows) for row in rows],
        "B": [_label(row, "b", rows) for row in rows],
        "n": data["n"],
        "Only A": data["only_a"],
        "Only B": data["only_b"],
        "A − B, % of n": [_difference(row) for row in rows],
        "p": [_p(value) for value in data["p"]],
    })  # fmt: skip
    caption = (
        f"This run: images that flip within the top {TOP} attributes of one method and not of the other, the same"
        " images under both. n counts the images that neither method's model already rebuilds as the target class, for"
        " each target. In brackets: 95 % interval, images resampled (percentile bootstrap). An image with several"
        " targets is one image: it is resampled with all of them, and counts for the method that flips more of them."
        " p: exact McNemar test, two-sided. Interval and p are of one trained model against another; they know nothing"
        " of how trainings vary, and are not corrected for the number of comparisons."
    )
    return Block(caption, frame, ("n", "Only A", "Only B", "A − B, % of n", "p"))


def _label(row: Mapping[Any, Any], side: str, rows: Sequence[Mapping[Any, Any]]) -> str:
    """Name a method, and its experiment too where another of the domain has the same method."""
    method, experiment = str(row[f"method_{side}"]), row[f"experiment_{side}"]
    used = {
        each[f"experiment_{end}"]
        for each in rows
        for end in ("a", "b")
        if each["domain"] == row["domain"] and each[f"method_{end}"] == method
    }
    return LABELS.get(method, method) + (f" ({experiment})" if len(used) > 1 else "")


def _difference(row: Mapping[Any, Any]) -> str:
    difference, low, high = (100 * row[name] for name in ("difference", "low", "high"))
    return f"{difference:+.1f} ({low:+.1f} to {high:+.1f})"


def _p(value: float) -> str:
    if pandas.isna(value):
        return NOTHING
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"
