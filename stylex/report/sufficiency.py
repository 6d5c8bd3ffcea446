"""The table of sufficiency, [L] Table 3 and [V] Table 1: how often the top k attributes flip the decision."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas

from stylex.artifacts import read_table
from stylex.config import ExperimentConfig, ExperimentPaths
from stylex.report.published import LABELS, PROTOCOLS, direction, read_published, with_published
from stylex.report.table import NOTHING, Block, Table, concatenated, interval, percent

COLUMNS = (
    "experiment", "domain", "method", "protocol", "target_class", "k", "shift", "n", "flipped", "fraction", "low",
    "high", "seed", "published",
)  # fmt: skip
TEXT = ("experiment", "domain", "method", "protocol", "target_class")
SHOWN = (1, 5, 10, 40)  # the k of a reader's table; [L] and [V] report 10, [L] 40 for one domain


def sufficiency_table(root: Path, experiments: Mapping[str, ExperimentConfig]) -> Table:
    """Build the table from each experiment's sufficiency.csv."""
    published = read_published(root, "sufficiency")
    parts = []
    for name, config in experiments.items():
        ours = read_table(ExperimentPaths(root, name).sufficiency, TEXT)
        parts.append(with_published(ours, published, config.published_domain, config.published_method))
    data = concatenated(parts, COLUMNS)
    return Table("sufficiency", "Sufficiency", data, (_ours(data), _context(published)))


def _ours(data: pandas.DataFrame) -> Block:
    shown = [k for k in SHOWN if k in set(data["k"])] or sorted(set(data["k"]))
    rows = []
    domains = list(dict.fromkeys(data["domain"]))  # methods of a domain stand together
    together = data.sort_values("domain", key=lambda names: names.map(domains.index), kind="stable")
    for _, part in together.groupby(["experiment", "method", "protocol", "target_class"], sort=False):
        first = part.iloc[0]
        target = first["target_class"]
        row = {
            "Experiment": first["experiment"],
            "Domain": first["domain"],
            "Method": LABELS.get(first["method"], first["method"]),
            "Protocol": PROTOCOLS[first["protocol"]],
            "Target class": direction(target),
            "n": first["n"],
            "Shift": f"{first['shift']:g}",
        }
        by_k = {record["k"]: record for record in part.to_dict("records")}
        row |= {f"k = {k}, %": interval(by_k.get(k)) for k in shown}
        rows.append(row | {"Published, %": _published(by_k)})
    numeric = ("n", "Shift", *(f"k = {k}, %" for k in shown), "Published, %")
    caption = (
        "This run: percentage of images whose decision flips when the top k attributes of the target class are applied"
        " one after the other, with its 95 % interval: Wilson's; where an image has several target classes, images"
        " are resampled with all of them (percentile bootstrap). n counts the images that the classifier does not"
        " already give to the target class. Held out: attributes and the ends of their moves are found on one half of"
        " the analysed images, n are of the other. Same images: found and measured on all of them, as in the papers. A"
        " published figure stands here only if the experiment reproduces its very domain."
    )
    return Block(caption, pandas.DataFrame(rows), numeric)


def _published(by_k: dict[Any, dict[Any, Any]]) -> str:
    figures = [f"{percent(row['published'])} (k = {k})" for k, row in by_k.items() if not pandas.isna(row["published"])]
    return ", ".join(figures) or NOTHING


def _context(published: pandas.DataFrame) -> Block:
    frame = pandas.DataFrame({
        "Source": published["source"],
        "Domain": published["domain"],
        "Method": published["method"],
        "k": published["k"],
        "Flipped, %": [percent(value) for value in published["value"]],
        "Note": published["note"].fillna(""),
    })  # fmt: skip
    caption = (
        "Context: the published figures, on the papers' own domains, images and classifiers. They are not measured here"
        " and are not comparable with the rows above unless domain, resolution and shift agree."
        " van de Geijn et al. 2022 publish no sufficiency figure."
    )
    return Block(caption, frame, ("k", "Flipped, %"))
