"""The table of the classes of random samples ([L] 4.2.3): whether the generator makes images of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas

from stylex.artifacts import read_table
from stylex.config import ExperimentConfig, ExperimentPaths
from stylex.report.published import LABELS
from stylex.report.table import Block, Table, concatenated, interval

COLUMNS = (
    "experiment", "domain", "method", "images", "class_name", "n", "count", "fraction", "low", "high", "seed",
)  # fmt: skip
KINDS = {"analysed": "Images", "reconstructed": "Reconstructions", "generated": "Random samples"}


def samples_table(root: Path, experiments: Mapping[str, ExperimentConfig]) -> Table:
    """Build the table from each experiment's samples.csv."""
    text = ("experiment", "domain", "method", "images", "class_name")
    parts = [read_table(ExperimentPaths(root, name).samples, text) for name in experiments]
    data = concatenated(parts, COLUMNS)
    return Table("samples", "Classes of random samples", data, (_block(data),))


def _block(data: pandas.DataFrame) -> Block:
    rows = []
    for _, part in data.groupby(["experiment", "class_name"], sort=False):
        by_kind = {record["images"]: record for record in part.to_dict("records")}
        first = part.iloc[0]
        row = {
            "Experiment": first["experiment"],
            "Domain": first["domain"],
            "Method": LABELS[first["method"]],
            "Class": first["class_name"],
            "n images": by_kind["analysed"]["n"],
            "n samples": by_kind["generated"]["n"],
        }
        rows.append(row | {f"{label}, %": interval(by_kind[kind]) for kind, label in KINDS.items()})
    caption = (
        "This run: what share of images the classifier gives to each class, with its 95 % Wilson interval: of the"
        " analysed images, of their reconstructions, and of random samples, generated from random z, each conditioned"
        " on the classifier's answer to an analysed image drawn at random, or, without CST, on nothing. Lang et al."
        " 2021 (4.2.3) report that on retinal images, without CST, all generated images are of one class."
    )
    return Block(
        caption, pandas.DataFrame(rows), ("n images", "n samples", *(f"{label}, %" for label in KINDS.values()))
    )
