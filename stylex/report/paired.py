"""The table of methods compared on the same images: which flips more of them, and how surely (exact McNemar test).

Compared are the methods that explain one classifier: of an experiment, and of those of the suite that name it in
`classifier_of`. Images are joined by id and target class; one that a model already rebuilds as the target is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas

from stylex.artifacts import read_table
from stylex.config import ExperimentConfig, ExperimentPaths
from stylex.config.analysis import POOLED
from stylex.evaluation.paired import mcnemar
from stylex.report.published import LABELS
from stylex.report.table import NOTHING, Block, Table

K = 10  # as [L] Table 3
COLUMNS = (
    "domain", "target_class", "experiment_a", "method_a", "experiment_b", "method_b", "k", "n", "only_a", "only_b",
    "difference", "p",
)  # fmt: skip


def paired_table(root: Path, experiments: Mapping[str, ExperimentConfig]) -> Table:
    """Build the table from each experiment's flips.csv."""
    rows: list[dict[str, object]] = []
    for name in dict.fromkeys(config.classifier_of or name for name, config in experiments.items()):
        measured: list[tuple[str, str, pandas.DataFrame]] = []
        for each, config in experiments.items():
            if name in (each, config.classifier_of):
                flips = read_table(ExperimentPaths(root, each).flips, ("id", "method", "target_class"))
                measured += [(each, str(method), part) for method, part in flips.groupby("method", sort=False)]
        for (experiment_a, method_a, a), (experiment_b, method_b, b) in combinations(measured, 2):
            sides = {"experiment_a": experiment_a, "method_a": method_a, "experiment_b": experiment_b}
            common = {"domain": experiments[experiment_a].domain, **sides, "method_b": method_b}
            rows += [common | row for row in compared(a, b)]
    data = pandas.DataFrame(rows, columns=list(COLUMNS))
    return Table("paired", "Methods on the same images", data, (_block(data),))


def compared(a: pandas.DataFrame, b: pandas.DataFrame, k: int = K) -> list[dict[str, object]]:
    """Return a row a target class, and one of all if no image is in it twice; a, b: rows of flips.csv, one method each.

    The columns only_a and only_b count the images that flip within k attributes of that one alone.
    """
    joined = a.merge(b, on=["id", "target_class"], validate="one_to_one", suffixes=("_a", "_b"))
    parts = {str(target): part for target, part in joined.groupby("target_class", sort=False)}
    if len(parts) > 1 and joined["id"].is_unique:
        parts[POOLED] = joined
    rows = []
    for target, part in parts.items():
        firsts = zip(part["first_k_a"], part["first_k_b"], strict=True)
        flipped = [(first_a <= k, first_b <= k) for first_a, first_b in firsts]  # NaN, never: False
        only_a, only_b = flipped.count((True, False)), flipped.count((False, True))
        counts = {"k": k, "n": len(part), "only_a": only_a, "only_b": only_b}
        difference = (only_a - only_b) / len(part)
        rows.append({"target_class": target} | counts | {"difference": difference, "p": mcnemar(only_a, only_b)})
    return rows


def _block(data: pandas.DataFrame) -> Block:
    rows = data.to_dict("records")
    frame = pandas.DataFrame({
        "Domain": data["domain"],
        "Target class": data["target_class"].replace(POOLED, "both directions"),
        "A": [_label(row, "a", rows) for row in rows],
        "B": [_label(row, "b", rows) for row in rows],
        "n": data["n"],
        "Only A": data["only_a"],
        "Only B": data["only_b"],
        "A − B, % of n": [f"{100 * value:+.1f}" for value in data["difference"]],
        "p": [_p(value) for value in data["p"]],
    })  # fmt: skip
    caption = (
        f"This run: images that flip within the top {K} attributes of one method and not of the other, the same images"
        " under both. n counts the images that neither method's model already rebuilds as the target class. p: exact"
        " McNemar test, two-sided, of one trained model against another; it knows nothing of how trainings vary, and is"
        " not corrected for the number of comparisons."
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


def _p(value: float) -> str:
    if pandas.isna(value):
        return NOTHING
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"
