"""The tables that compare: methods on the same images, and counterfactuals with images of the class they flip to.

What is said of a claim about counterfactuals is here, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from math import isnan
from typing import Any

import pandas

from stylex.config.base import INCEPTION, POOLED, TOP, Protocol
from stylex.evaluation.intervals import bootstrap, images_interval, mcnemar
from stylex.report.captions import text
from stylex.report.published import LABELS, PROTOCOLS, direction, label
from stylex.report.repeated import seed_groups, spread, written
from stylex.report.rules import Evidence, Verdict, beyond, share
from stylex.report.run import Run, anchor, grouped
from stylex.report.table import Block, Cell, Row, Table, about, grid, groups, interval, number, of, percent

PAIRED = (
    "domain", "protocol", "target_class", "experiment_a", "method_a", "experiment_b", "method_b", "k", "n", "only_a",
    "only_b", "difference", "low", "high", "p",
)  # fmt: skip
JUDGED = (
    "protocol", "method", "target_class", "n_compared", "extractor", "frechet_distance", "frechet_reconstructions",
    "frechet_ratio", "neither",
)  # fmt: skip
MEASURED = (
    "experiments", "domain", "method", "protocol", "target_class", "measure", "seeds", "n", "mean", "sd", "low", "high",
)  # fmt: skip
OF_FLIPPED = ("validity", "agreement", "frechet_ratio", "sparsity")  # columns of counterfactuals.csv
OF_MODEL = ("own_nearest", "class_kept")  # measures of diagnosis.csv
JUDGED_IMAGES = ("method", "protocol", "id", "target_class", "draw", "flipped", "agreed")
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
    sides = {(row["domain"], row[f"method_{side}"], row[f"experiment_{side}"]) for row in rows for side in "ab"}
    models = Counter((domain, method) for domain, method, _ in sides)

    def side(row: Row, end: str) -> str:
        """Name a method, and its experiment too where another of the domain has the same method."""
        method, experiment = row[f"method_{end}"], row[f"experiment_{end}"]
        return label(method) + (f" ({experiment})" if models[row["domain"], method] > 1 else "")

    def difference(row: Row) -> str:
        return "{:+.1f} ({:+.1f} to {:+.1f})".format(*(100 * row[name] for name in ("difference", "low", "high")))

    cells = about("domain", "protocol", "target_class") | {
        "A": lambda row: side(row, "a"),
        "B": lambda row: side(row, "b"),
        "n": "n",
        "Only A": "only_a",
        "Only B": "only_b",
        "A − B, % of n": difference,
        "p": lambda row: "< 0.001" if row["p"] < 0.001 else number(row["p"], 3),
    }
    return Table("paired", "Methods on the same images", data, (grid(text("paired", top=TOP), rows, cells),))


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


def _counts(part: Any, k: int, seed: int) -> dict[str, float]:
    """Return the measured columns of a row; part: decisions, with the k at which they flip on either side."""
    a, b = (part[f"first_k_{side}"].astype(float) <= k for side in "ab")
    gains = (a.astype(int) - b.astype(int)).groupby(part["id"]).agg(["sum", "size"])  # 1 or -1 where one side flips
    only_a, only_b = int((gains["sum"] > 0).sum()), int((gains["sum"] < 0).sum())
    low, high = bootstrap(gains["sum"], seed, gains["size"])
    counts = {"n": len(part), "only_a": only_a, "only_b": only_b, "difference": float(gains["sum"].sum() / len(part))}
    return counts | {"low": low, "high": high, "p": mcnemar(only_a, only_b)}


def counterfactuals_table(run: Run) -> Table:
    """Build the table of whether flipped images look like their class from each experiment's counterfactuals.csv."""
    data = run.stacked("counterfactuals")
    pooled = data["target_class"] == POOLED
    configs = [run.experiments[name] for name in data["experiment"]]
    main = data["protocol"] == [config.attfind.protocol for config in configs]
    listed = data["method"] == [config.method for config in configs]
    extractors = set(data["extractor"])
    features = f"Fréchet distance in the features of {', '.join(sorted(extractors))}"
    caption = text("counterfactuals", distance="FID" if extractors == {INCEPTION} else features)
    looks = [
        _block(f"{caption} Protocol: {PROTOCOLS[Protocol(str(protocol))]}.", part, LOOKS)
        for protocol, part in data.loc[pooled].groupby("protocol", sort=False)
    ]
    by_class = _block(text("counterfactuals_by_class"), data.loc[main & listed & ~pooled], LOOKS)
    distances = _block(text("counterfactual_distances"), data.loc[main & pooled], DISTANCES)
    title = "Do counterfactuals look like the other class"
    return Table("counterfactuals", title, data, (*looks, by_class, distances))


def counterfactual_seeds_table(run: Run) -> Table:
    """Build the table of counterfactuals.csv and diagnosis.csv over experiments that differ only by their seed.

    A row a measure: mean, sd (n - 1) and the 95 % Student interval over trainings; n: images of all. Measures of the
    model, of validation images, stand with AttFind's list, its main protocol and all directions.
    """
    rows: list[Row] = []
    for names in seed_groups(run.experiments):
        first = run.experiments[names[0]]
        common = {"experiments": " ".join(names), "domain": first.domain}
        kept = [row for name in names for row in run.rows(name, "counterfactuals")]
        for (method, protocol, target), part in grouped(kept, "method", "protocol", "target_class").items():
            of_list = common | {"method": method, "protocol": protocol, "target_class": target}
            of_list["n"] = sum(row["n"] for row in part)
            rows += [of_list | {"measure": name, **spread(row[name] for row in part)} for name in OF_FLIPPED]
        found = [{row["measure"]: row["value"] for row in run.rows(name, "diagnosis")} for name in names]
        of_model = common | {"method": first.method, "protocol": first.attfind.protocol, "target_class": POOLED}
        rows += [of_model | {"measure": name, **spread(each.get(name) for each in found)} for name in OF_MODEL]
    data = pandas.DataFrame(rows, columns=list(MEASURED)).astype({"n": "Int64"})  # measures of the model have none
    lines = groups(data.loc[data["target_class"] == POOLED], ("experiments", "method", "protocol"), "measure")

    def measured(name: str, digits: int = 1, scale: float = 100) -> Cell:
        return lambda row: written(row["at"].get(name), digits, scale)

    cells = {
        "Experiment": lambda row: run.experiments[row["experiments"].split()[0]].title,
        "Method": of((LABELS | OTHERS).__getitem__, "method"),
        **about("protocol", "seeds", "n"),
        "Flipped, %": measured("validity"),
        "Agreed, %": measured("agreement"),
        "Ratio": measured("frechet_ratio", scale=1),
        "Moves": measured("sparsity", scale=1),
        "Own nearest, %": measured("own_nearest"),
        "Class kept, %": measured("class_kept"),
    }
    block = grid(text("counterfactual_seeds") if lines else text("one_seed"), lines, cells)
    return Table("counterfactual_seeds", "Counterfactuals over seeds", data, (block,))


def main_rows(run: Run, name: str) -> dict[str, Row]:
    """Return the rows of AttFind's list by the main protocol, by target class; that of `POOLED` is all directions."""
    config = run.experiments[name]
    return {
        row["target_class"]: row
        for row in run.rows(name, "counterfactuals")
        if row["method"] == config.method and row["protocol"] == config.attfind.protocol
    }


# Whether the flipped look like the class, agreement and distances side by side.
LOOKS: dict[str, Cell] = {
    "n": "n",
    "Flipped, %": lambda row: interval(row, "validity"),
    "Agreed, %": lambda row: interval(row, "agreement"),
    "Neither, %": of(percent, "neither"),
    "Fréchet": of(number, "frechet_distance", 1),
    "of reconstructions": of(number, "frechet_reconstructions", 1),
    "Ratio": of(number, "frechet_ratio", 1),
    "Moves": of(number, "sparsity", 1),
}
DISTANCES: dict[str, Cell] = {
    "n compared": "n_compared",
    "Halves": of(number, "frechet_halves", 1),
    "KID × 1000": of(number, "kid", 1, 1000),
    "COUT": of(number, "cout", 2),
    "L1": of(number, "l1", 3),
    "Perceptual": of(number, "perceptual", 3),
    "Diversity": of(number, "diversity", 3),
}


def _block(caption: str, data: pandas.DataFrame, cells: dict[str, Cell]) -> Block:
    method, towards = of((LABELS | OTHERS).__getitem__, "method"), of(direction, "target_class")
    return grid(caption, data.to_dict("records"), about("experiment") | {"Method": method, "Towards": towards} | cells)


def target_likeness(run: Run, flipped: float, agreed: float, furthest: float) -> Iterator[Evidence]:
    """Hold flips, an oracle's agreement and the distance of AttFind's counterfactuals against their bounds.

    flipped, agreed: fractions of the images. furthest: times as far from the images of the class as reconstructions.
    """
    summaries = {
        (row["experiment"], row["method"]): row
        for row in run.main(run.rows_of_all("counterfactuals", *JUDGED))
        if row["target_class"] == POOLED
    }
    images = grouped(run.main(run.rows_of_all("counterfactual_images", *JUDGED_IMAGES)), "experiment", "method")
    for (name, method), rows in images.items():
        if method != "stylex" or (name, method) not in summaries:
            continue
        ours, random, seed = summaries[name, method], (name, "random"), run.experiments[name].seed
        sentence = f"{run.protocol(name).capitalize()}, {_likeness(seed, rows, ours)}."
        if random in summaries and random in images:
            sentence += f" As many random moves: {_likeness(seed, images[random], summaries[random])}."
        verdicts = [beyond(*_interval(seed, rows, "flipped"), flipped)]
        verdicts.append(beyond(*_interval(seed, rows, "agreed"), agreed) if _asked(rows) else Verdict.UNDECIDED)
        ratio = ours["frechet_ratio"]
        far = Verdict.CONTRADICTS if ratio > furthest else Verdict.SUPPORTS
        verdicts.append(Verdict.UNDECIDED if isnan(ratio) else far)  # NaN: too few flipped images
        judged = {"enough": set(verdicts) == {Verdict.SUPPORTS}, "too_few": Verdict.CONTRADICTS in verdicts}
        yield Evidence(name, anchor(name, "counterfactuals"), f"{sentence} One training.", judged)


def _asked(rows: list[Row]) -> bool:
    return all(row["agreed"] == row["agreed"] for row in rows)


def _images_that(rows: list[Row], key: str) -> list[dict[str, bool]]:
    """Return, of each target class and draw, which images flip, or flip and are called the target (`agreed`)."""
    parts = grouped(rows, "target_class", "draw").values()
    return [{row["id"]: bool(row["flipped"]) and bool(row[key]) for row in part} for part in parts]


def _interval(seed: int, rows: list[Row], key: str) -> tuple[float, float]:
    return images_interval(_images_that(rows, key), seed)


def _likeness(seed: int, rows: list[Row], summary: Row) -> str:
    """Write what was measured of a method."""

    def written(key: str, text: str) -> str:
        hits = sum(sum(part.values()) for part in _images_that(rows, key))
        return share(hits, len(rows), text, _interval(seed, rows, key))

    said = written("flipped", "images flip")
    if _asked(rows):
        said += f"; {written('agreed', 'flip and are called the target by the oracle')}"
        said += f", {percent(summary['neither'])} % neither class"
    else:
        said += "; no oracle was asked"
    if isnan(summary["frechet_ratio"]):
        return f"{said}; too few flip towards some class to take a distance"
    return (
        f"{said}; Fréchet distance to the images of the target class {summary['frechet_distance']:.1f}, of as many"
        f" reconstructions {summary['frechet_reconstructions']:.1f} (features of {summary['extractor']},"
        f" n = {int(summary['n_compared'])}): {summary['frechet_ratio']:.1f} times as far"
    )
