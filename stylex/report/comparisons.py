"""The tables that compare: methods on the same images, and counterfactuals with images of the class they flip to."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pandas

from stylex.config.base import INCEPTION, POOLED, TOP, Protocol
from stylex.evaluation.intervals import bootstrap, mcnemar
from stylex.report.captions import text
from stylex.report.published import LABELS, PROTOCOLS, direction, label
from stylex.report.run import Row, Run
from stylex.report.table import Block, Table, concatenated, interval, named, number, percent

PAIRED = (
    "domain", "protocol", "target_class", "experiment_a", "method_a", "experiment_b", "method_b", "k", "n", "only_a",
    "only_b", "difference", "low", "high", "p",
)  # fmt: skip
COUNTERFACTUALS = (
    "experiment", "domain", "method", "protocol", "target_class", "n", "images", "flipped", "validity", "validity_low",
    "validity_high", "agreed", "agreement", "agreement_low", "agreement_high", "neither", "extractor", "n_real",
    "n_compared", "frechet_distance", "frechet_reconstructions", "frechet_ratio", "frechet_halves", "kid", "kid_sd",
    "cout", "l1", "perceptual", "diversity", "sparsity", "shift", "seed",
)  # fmt: skip
OTHERS = {
    "subset": "of the very image, subset",
    "independent": "of the very image, one alone",
    "latent": "descent in W (Latent-CF)",
    "ganalyze": "one direction (GANalyze)",
    "condition": "condition of the other class",
    "pixel": "adversarial pixels",
}


def paired_table(run: Run) -> Table:
    """Build the table of methods compared on the same images from each experiment's flips.csv.

    Compared are the methods that explain one classifier: of an experiment, and of those of the suite that name it in
    `classifier_of`. Images are joined by id, target class and protocol; one that a model already rebuilds as the target
    is left out. The unit is the image: with more than two classes it has several targets, and counts once all the same.
    """
    rows: list[Row] = []
    explained = {name: config.classifier_of or name for name, config in run.experiments.items()}
    for classifier in dict.fromkeys(explained.values()):
        measured: list[tuple[str, str, pandas.DataFrame]] = []
        for name in run.experiments:
            if classifier in (name, explained[name]):
                by_method = run.table(name, "flips").groupby("method", sort=False)
                measured += [(name, str(method), part) for method, part in by_method]
        for (experiment_a, method_a, a), (experiment_b, method_b, b) in combinations(measured, 2):
            config = run.experiments[experiment_a]
            common = {"domain": config.domain, "experiment_a": experiment_a, "method_a": method_a}
            common |= {"experiment_b": experiment_b, "method_b": method_b}
            rows += [common | row for row in compared(a, b, config.seed)]
    data = pandas.DataFrame(rows, columns=list(PAIRED))
    lines = [
        named(row, "domain", "protocol", "target_class")
        | {"A": _side(row, "a", rows), "B": _side(row, "b", rows)}
        | {"n": row["n"], "Only A": row["only_a"], "Only B": row["only_b"], "A − B, % of n": _difference(row)}
        | {"p": "< 0.001" if row["p"] < 0.001 else number(row["p"], 3)}
        for row in rows
    ]
    numeric = ("n", "Only A", "Only B", "A − B, % of n", "p")
    columns = ["Domain", "Protocol", "Target class", "A", "B", *numeric]
    block = Block(text("paired", top=TOP), pandas.DataFrame(lines, columns=columns), numeric)
    return Table("paired", "Methods on the same images", data, (block,))


def compared(a: pandas.DataFrame, b: pandas.DataFrame, seed: int, k: int = TOP) -> list[Row]:
    """Return a row for each protocol and target class, and one of all targets; a, b: rows of flips.csv of a method.

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


def _side(row: Row, side: str, rows: list[Row]) -> str:
    """Name a method, and its experiment too where another of the domain has the same method."""
    method, experiment = row[f"method_{side}"], row[f"experiment_{side}"]
    used = {
        other[f"experiment_{end}"]
        for other in rows
        for end in ("a", "b")
        if other["domain"] == row["domain"] and other[f"method_{end}"] == method
    }
    return label(method) + (f" ({experiment})" if len(used) > 1 else "")


def _difference(row: Row) -> str:
    difference, low, high = (100 * row[name] for name in ("difference", "low", "high"))
    return f"{difference:+.1f} ({low:+.1f} to {high:+.1f})"


def counterfactuals_table(run: Run) -> Table:
    """Build the table of whether flipped images look like their class from each experiment's counterfactuals.csv."""
    data = concatenated([run.table(name, "counterfactuals") for name in run.experiments], COUNTERFACTUALS)
    pooled = data["target_class"] == POOLED
    configs = [run.experiments[name] for name in data["experiment"]]
    main = data["protocol"] == [config.attfind.protocol for config in configs]
    listed = data["method"] == [config.method for config in configs]
    extractors = set(data["extractor"])
    features = f"Fréchet distance in the features of {', '.join(sorted(extractors))}"
    caption = text("counterfactuals", distance="FID" if extractors == {INCEPTION} else features)
    looks = [
        _block(f"{caption} Protocol: {PROTOCOLS[Protocol(str(protocol))]}.", part, _looks)
        for protocol, part in data.loc[pooled].groupby("protocol", sort=False)
    ]
    by_class = _block(text("counterfactuals_by_class"), data.loc[main & listed & ~pooled], _looks)
    distances = _block(text("counterfactual_distances"), data.loc[main & pooled], _distances)
    title = "Do counterfactuals look like the other class"
    return Table("counterfactuals", title, data, (*looks, by_class, distances))


def main_rows(run: Run, name: str) -> dict[str, Row]:
    """Return the rows of AttFind's list by the main protocol, by target class; that of `POOLED` is all directions."""
    config = run.experiments[name]
    return {
        row["target_class"]: row
        for row in run.rows(name, "counterfactuals")
        if row["method"] == config.method and row["protocol"] == config.attfind.protocol
    }


def _block(caption: str, data: pandas.DataFrame, cells: Callable[[Any], Row]) -> Block:
    rows = []
    for row in data.to_dict("records"):
        about = {"Experiment": row["experiment"], "Method": (LABELS | OTHERS)[row["method"]]}
        rows.append(about | {"Towards": direction(row["target_class"])} | cells(row))
    frame = pandas.DataFrame(rows)
    return Block(caption, frame, tuple(name for name in frame if name not in ("Experiment", "Method", "Towards")))


def _looks(row: Row) -> Row:
    """Return the cells that say whether the flipped look like the class, agreement and distances side by side."""
    return {
        "n": row["n"],
        "Flipped, %": interval(row, "validity"),
        "Agreed, %": interval(row, "agreement"),
        "Neither, %": percent(row["neither"]),
        "Fréchet": number(row["frechet_distance"], 1),
        "of reconstructions": number(row["frechet_reconstructions"], 1),
        "Ratio": number(row["frechet_ratio"], 1),
        "Moves": number(row["sparsity"], 1),
    }


def _distances(row: Row) -> Row:
    return {
        "n compared": row["n_compared"],
        "Halves": number(row["frechet_halves"], 1),
        "KID × 1000": number(row["kid"], 1, 1000),
        "COUT": number(row["cout"], 2),
        "L1": number(row["l1"], 3),
        "Perceptual": number(row["perceptual"], 3),
        "Diversity": number(row["diversity"], 3),
    }
