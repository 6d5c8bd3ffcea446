"""Sufficiency over seeds: mean and standard deviation over experiments of a suite that differ only by their seed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas

from stylex.artifacts import read_table
from stylex.config import ExperimentConfig, ExperimentPaths
from stylex.report.published import LABELS, PROTOCOLS, direction
from stylex.report.table import NOTHING, Block, Table, percent

COLUMNS = ("experiments", "domain", "method", "protocol", "target_class", "k", "seeds", "mean", "sd")
KEYS = ("method", "protocol", "target_class", "k")
SHOWN = (1, 5, 10, 40)


def seed_groups(experiments: Mapping[str, ExperimentConfig]) -> list[list[str]]:
    """Return the names that differ by their seed and title alone, group by group, at least two different seeds in each.

    Classifiers may differ too, if these come of experiments that differ by the seed alone.
    """
    groups: dict[str, list[str]] = {}
    for name, config in experiments.items():
        groups.setdefault(repetition(config, experiments), []).append(name)
    return [names for names in groups.values() if len({experiments[name].seed for name in names}) > 1]


def repetition(config: ExperimentConfig, experiments: Mapping[str, ExperimentConfig]) -> str:
    """Return what an experiment is but for its seed and title: the same text for those that repeat each other."""
    content = config.model_dump(mode="json", exclude={"seed", "title"})
    if config.classifier_of is not None and config.classifier_of in experiments:
        content["classifier_of"] = repetition(experiments[config.classifier_of], experiments)
    return json.dumps(content, sort_keys=True)


def seeds_table(root: Path, experiments: Mapping[str, ExperimentConfig]) -> Table:
    """Build the table from the sufficiency.csv of each experiment that others repeat with another seed."""
    rows: list[dict[str, object]] = []
    for names in seed_groups(experiments):
        parts = [read_table(ExperimentPaths(root, name).sufficiency, KEYS[:3]) for name in names]
        common = {"experiments": " ".join(names), "domain": experiments[names[0]].domain}
        rows += [common | row for row in over_seeds(pandas.concat(parts, ignore_index=True))]
    data = pandas.DataFrame(rows, columns=list(COLUMNS))
    return Table("seeds", "Sufficiency over seeds", data, (_block(data),))


def over_seeds(measured: pandas.DataFrame) -> list[dict[str, object]]:
    """Return a row for each method, protocol, target class and k; measured: sufficiency.csv of several experiments.

    sd: with n - 1; empty for one seed. An experiment in which no image could be tested does not count.
    """
    rows = []
    for _, part in measured.groupby(list(KEYS), sort=False):
        values = part["fraction"].astype(float).dropna()
        figures = {"seeds": len(values), "mean": values.mean(), "sd": values.std(ddof=1)}
        rows.append({name: part[name].iloc[0] for name in KEYS} | figures)
    return rows


def _block(data: pandas.DataFrame) -> Block:
    shown = [k for k in SHOWN if k in set(data["k"])]
    rows = []
    for _, part in data.groupby(["experiments", *KEYS[:3]], sort=False):
        first, by_k = part.iloc[0], {row["k"]: row for row in part.to_dict("records")}
        row = {
            "Experiments": first["experiments"],
            "Domain": first["domain"],
            "Method": LABELS.get(first["method"], first["method"]),
            "Protocol": PROTOCOLS[first["protocol"]],
            "Target class": direction(first["target_class"]),
            "Seeds": first["seeds"],
        }
        rows.append(row | {f"k = {k}, %": _spread(by_k[k]) if k in by_k else NOTHING for k in shown})
    numeric = ("Seeds", *(f"k = {k}, %" for k in shown))
    caption = (
        "This run: percentage of images whose decision flips, mean ± standard deviation over trainings that differ only"
        " by their seed, each trained, searched and measured by itself."
    )
    if not rows:
        caption += " No experiments of this suite differ only by their seed."
    return Block(caption, pandas.DataFrame(rows), numeric)


def _spread(row: Mapping[Any, Any]) -> str:
    return percent(row["mean"]) + ("" if pandas.isna(row["sd"]) else f" ± {percent(row['sd'])}")
