"""The published figures (config/published/*.csv), and the rule for putting one beside a figure of ours.

A published figure belongs beside ours only when the experiment declares that it reproduces that domain
(`published_domain`), and method, k and protocol agree; [V]'s models are methods of their own (`published_method`). It
counts images of both classes, on which the attributes were searched, too: so it stands in the pooled rows of that
protocol. Everything else is context, under its own domain and source.
"""

from __future__ import annotations

from pathlib import Path

import pandas

from stylex.artifacts import VERSIONED, read_table
from stylex.config.base import EVERY, POOLED, Protocol

METHODS = {"StylEx": "stylex", "StylEx without CST": "without_cst", "Wu et al. (StyleSpace)": "wu_2021"}
LABELS: dict[str, str] = {method: label for label, method in METHODS.items()} | {"random": "random moves"}
PROTOCOLS = {Protocol.HELD_OUT: "held out", Protocol.SAME_IMAGES: "same images"}
SOURCES = {
    "lang_2021": "Lang et al. 2021",
    "vandervleuten_2022": "van der Vleuten et al. 2022",
    "vandegeijn_2022": "van de Geijn et al. 2022",
}


def label(method: object) -> str:
    """Return what a reader's table calls a method."""
    return LABELS.get(str(method), str(method))


def direction(target_class: object) -> str:
    """Return what a reader's table calls the target class of a row."""
    return EVERY if target_class == POOLED else str(target_class)


def read_published(root: Path, name: str) -> pandas.DataFrame:
    """Read config/published/<name>.csv, sources spelled out for a reader."""
    frame = read_table(root / "config" / "published" / f"{name}.csv", remedy=VERSIONED)
    return frame.assign(source=frame["source"].map(spell_source))


def spell_source(source: str) -> str:
    """Turn `lang_2021 Table 3` into `Lang et al. 2021, Table 3`."""
    key, _, place = source.partition(" ")
    return f"{SOURCES.get(key, key)}, {place}"


def with_published(
    ours: pandas.DataFrame, published: pandas.DataFrame, domain: str | None, method: str | None = None
) -> pandas.DataFrame:
    """Return one experiment's sufficiency rows with the column `published` filled by the rule of this module.

    domain, method: `published_domain` and `published_method` of the experiment; without a method, those of [L].
    """
    methods = METHODS if method is None else {method: "stylex"}
    figures = {
        (methods[row["method"]], row["k"]): row["value"]
        for row in published.to_dict("records")
        if row["domain"] == domain and row["method"] in methods
    }
    rows = ours.to_dict("records")
    theirs = [row["target_class"] == POOLED and row["protocol"] == Protocol.SAME_IMAGES for row in rows]
    cells = [figures.get((row["method"], row["k"])) if same else None for row, same in zip(rows, theirs, strict=True)]
    return ours.assign(published=pandas.Series(cells, index=ours.index, dtype="float64"))
