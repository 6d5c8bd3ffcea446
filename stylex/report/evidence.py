"""What a run has to say of each claim: a function for each kind of evidence that claims.yaml names.

Each returns the numbers and a sentence, experiment by experiment, and nothing where the run lacks a table, a column or
images. Only numbers of an experiment's main protocol count, and of StylEx where a claim is about it. What is said of
counterfactuals and of known factors stands beside their tables, in comparisons.py and factors.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from math import isnan, nan
from statistics import mean
from typing import Any

import pandas
from scipy.stats import spearmanr

from stylex.config.base import KID_FOLDS, POOLED, TOP, Protocol
from stylex.evaluation.intervals import bootstrap, student_interval, wilson_interval
from stylex.report.comparisons import PAIRED
from stylex.report.published import LABELS, METHODS, PROTOCOLS, SOURCES
from stylex.report.rules import Evidence, p_value, points, share
from stylex.report.run import Run, anchor, grouped, records
from stylex.report.table import Row, percent

SUFFICIENCY = ("target_class", "k", "n", "flipped", "low", "high", "shift", "seed", "method")


def _largest(rows: Iterable[Row]) -> list[Row]:
    """Return, for each experiment, StylEx's row of all directions of the largest k up to `TOP` that has images."""
    chosen = [row for row in rows if row["method"] == "stylex" and row["target_class"] == POOLED]
    chosen = [row for row in chosen if row["k"] <= TOP and row["n"] > 0]
    return [max(group, key=lambda row: row["k"]) for group in grouped(chosen, "experiment").values()]


def flips(run: Run, experiments: str = "all", bounds: dict[str, float] | None = None) -> Iterator[Evidence]:
    """Return the fraction of decisions that flip within the top ten attributes.

    experiments: `all`, of `many_classes` (more than two), or with a `published_domain`.
    """
    rows = run.main(run.rows_of_suite("sufficiency", "experiment", "protocol", *SUFFICIENCY))
    own = [row for row in rows if row["method"] == "stylex" and row["target_class"] != POOLED]
    directions = grouped(own, "experiment", "k")
    for row in _largest(rows):
        name = row["experiment"]
        classes = directions.get((name, row["k"]), [])
        belongs = {
            "all": True,
            "many_classes": len(classes) > 2,
            "published_domain": run.experiments[name].published_domain is not None,
        }
        if belongs[experiments]:
            values = {"low": row["low"], "high": row["high"]} | (bounds or {})
            yield Evidence(name, anchor(name, "sufficiency"), _flipped(row, classes), values)


def flips_of_small_models(run: Run, pixels: int) -> list[Evidence]:
    """Return the same of models of at most so many pixels; the bound is the best of the replication's own models."""
    own = [
        row["value"]
        for row in records(run.published("sufficiency"))
        if row["source"].startswith(SOURCES["vandervleuten_2022"]) and row["method"].startswith("Model")
    ]
    found = flips(run, bounds={"bound": max(own)}) if own else []
    return [one for one in found if run.experiments[one.where].dataset.resolution <= pixels]


def _flipped(row: Row, classes: list[Row]) -> str:
    within = share(row["flipped"], row["n"], f"decisions flip within the top {row['k']}", (row["low"], row["high"]))
    text = f"{within}, {PROTOCOLS[row['protocol']]}, shift {row['shift']:g}, seed {row['seed']}"
    counted = [each for each in classes if each["n"] > 0]
    if len(counted) < 2:
        return f"{text}."
    worst = min(counted, key=lambda each: each["flipped"] / each["n"])
    return f"{text}; least towards {worst['target_class']}: {share(worst['flipped'], worst['n'], 'flip')}."


def published_flips_repeated(run: Run, percentage_points: int) -> Iterator[Evidence]:
    """Hold the released models, on the papers' images, against what the replication published of them."""
    figures = {(row["domain"], row["method"], row["k"]): row["value"] for row in records(run.published("sufficiency"))}
    rows = run.rows_of_suite("sufficiency", "experiment", "protocol", *SUFFICIENCY)
    released = [row for row in rows if run.experiments[row["experiment"]].runs("convert-released")]
    for row in _largest(row for row in released if row["protocol"] == Protocol.SAME_IMAGES):
        name, config = row["experiment"], run.experiments[row["experiment"]]
        value = figures.get((config.published_domain, config.published_method, row["k"]))
        if value is None:
            continue
        away = row["flipped"] / row["n"] - value
        close, apart = round(abs(away), 6) <= percentage_points / 100, not row["low"] <= value <= row["high"]
        sentence = f"{_flipped(row, [])} Published: {percent(value)} %, so {points(away)} points away."
        yield Evidence(name, anchor(name, "sufficiency"), sentence, {"enough": close, "too_few": apart})


def later_flips(run: Run) -> Iterator[Evidence]:
    """Of the images that the first attribute leaves, compare what the following ones flip with what random moves do."""
    random = grouped(run.rows_of_all("random_flips", "id", "target_class", "draw", "first_k"), "experiment")
    rows = run.rows_of_all("flips", "method", "protocol", "id", "target_class", "first_k")
    for (name,), own in grouped(run.main(row for row in rows if row["method"] == "stylex"), "experiment").items():
        where = (name, anchor(name, "flips"))
        if all(row["first_k"] == 1 for row in own):
            sentence = f"The first attribute flips all {len(own)} decisions, {run.protocol(name)}: none is left."
            yield Evidence(*where, sentence, {"low": nan, "high": nan})
        elif (name,) in random:
            yield Evidence(*where, *_against_random_lists(run, name, own, random[name,]))


def _against_random_lists(run: Run, name: str, own: list[Row], random: list[Row]) -> tuple[str, dict[str, float]]:
    """Return sentence and interval; random: of the images that the first attribute leaves, by draw."""
    lists: Any = pandas.DataFrame(random).merge(pandas.DataFrame(own), on=["id", "target_class"])
    for column, side in (("chance", "x"), ("own", "y")):  # whether the decision flips after the first attribute
        lists[column] = lists[f"first_k_{side}"].astype(float).between(2, TOP).astype(int)
    gains = (lists["own"] - lists["chance"]).groupby([lists["id"], lists["draw"]]).sum().unstack()
    decisions = lists.groupby("id")["target_class"].nunique()
    low, high = bootstrap(gains, run.experiments[name].seed, decisions)
    fractions = lists.groupby("draw")[["own", "chance"]].sum() / decisions.sum()
    flipped, by_chance = fractions["own"].iloc[0], fractions["chance"]
    sentence = (
        f"Of {decisions.sum()} decisions that the first attribute leaves, the following ones flip {percent(flipped)} %"
        f" within the top {TOP}, {run.protocol(name)}; as many random moves {percent(by_chance.mean())} %"
        f" ({percent(by_chance.min())} to {percent(by_chance.max())} % in {len(by_chance)} draws). Difference:"
        f" {points(flipped - by_chance.mean())} points (95 % interval {points(low)} to {points(high)})."
    )
    return sentence, {"low": low, "high": high}


def paired_flips(run: Run, better: str, worse: str, one_model: bool = False) -> Iterator[Evidence]:
    """Compare two methods on the same images, all directions; one_model: two ways to select within one model."""
    for row in run.rows_of_suite("paired", *PAIRED):
        if (row["method_a"], row["method_b"]) == (worse, better):
            row |= {"experiment_a": row["experiment_b"], "experiment_b": row["experiment_a"]}
            row |= {"only_a": row["only_b"], "only_b": row["only_a"], "difference": -row["difference"]}
            row |= {"low": -row["high"], "high": -row["low"]}
        elif (row["method_a"], row["method_b"]) != (better, worse):
            continue
        ours, theirs = row["experiment_a"], row["experiment_b"]
        main = row["protocol"] == run.experiments[ours].attfind.protocol
        if not main or row["target_class"] != POOLED or (one_model and ours != theirs):
            continue
        sentence = (
            f"Of {row['n']} decisions, {LABELS[better]} ({ours}) alone flips {row['only_a']} and {LABELS[worse]}"
            f" ({theirs}) alone {row['only_b']} within the top {row['k']}, {PROTOCOLS[row['protocol']]}: a difference"
            f" of {points(row['difference'])} points (95 % interval {points(row['low'])} to {points(row['high'])},"
            f" images resampled; exact McNemar test, {p_value(row['p'])}). One training"
            f"{'' if ours == theirs else ' of each'}."
        )
        values = {"difference": row["difference"], "p": row["p"]}
        yield Evidence(row["domain"], "table-paired", sentence, values, (ours, theirs))


def right_answers(run: Run, by: str) -> Iterator[Evidence]:
    """Return the fraction of right answers, of two possible ones, about attributes of StylEx; by: people, observer."""
    for row in _answered(run, by):
        if row["method"] == "stylex":
            values = {"low": row[f"{by}_low"], "high": row[f"{by}_high"]}
            yield Evidence(row["experiment"], "table-user_study", f"{_answers(row, by)}.", values)


def answers_compared(run: Run, by: str) -> Iterator[Evidence]:
    """Compare right answers about StylEx with those about the baseline, of models that explain one classifier."""
    rows = grouped(_answered(run, by), "method")
    explained = {name: config.classifier_of or name for name, config in run.experiments.items()}
    for ours, theirs in product(rows.get(("stylex",), []), rows.get(("wu_2021",), [])):
        sides = ours["experiment"], theirs["experiment"]
        if explained[sides[0]] == explained[sides[1]]:
            values = {"difference": ours[f"{by}_accuracy"] - theirs[f"{by}_accuracy"]}
            text = f"StylEx: {_answers(ours, by)}. Wu et al.: {_answers(theirs, by)}. One training of each."
            yield Evidence(ours["domain"], "table-user_study", text, values, sides)


def _answered(run: Run, by: str) -> list[Row]:
    """Return the rows of this run in which people, or the machine observer, have answered."""
    columns = (f"{by}_{name}" for name in ("accuracy", "low", "high"))
    rows = run.rows_of_suite("user_study", "experiment", "domain", "method", "questions", *columns)
    return [row for row in rows if isinstance(row["experiment"], str) and row[f"{by}_accuracy"] >= 0]


def _answers(row: Row, by: str) -> str:
    low, high = row[f"{by}_low"], row[f"{by}_high"]
    interval = "one attribute, so no interval"
    if not isnan(low):
        interval = f"95 % interval {percent(low)}–{percent(high)} %, attributes resampled"
    column, what = {"people": ("participants",) * 2, "observer": ("n", "answers")}[by]
    return (
        f"{percent(row[f'{by}_accuracy'])} % of the answers to {row['questions']:g} questions are right ({interval};"
        f" {row[f'{by}_{column}']:.0f} {what})"
    )


def _share(name: str, artifact: str, successes: int, n: int, text: str, end: str = ".") -> Evidence:
    low, high = wilson_interval(successes, n)
    return Evidence(name, anchor(name, artifact), share(successes, n, text) + end, {"low": low, "high": high})


def accuracy(run: Run) -> Iterator[Evidence]:
    """Return the accuracy on the test images; a shared classifier counts once."""
    first: dict[str, Row] = {}
    for row in run.rows_of_suite("classifiers", "experiment", "n_test", "accuracy"):
        first.setdefault(run.experiments[row["experiment"]].classifier_of or row["experiment"], row)
    for row in first.values():
        right = round(row["accuracy"] * row["n_test"])
        yield _share(row["experiment"], "classifier", right, row["n_test"], "test images are classified right")


def class_kept(run: Run) -> Iterator[Evidence]:
    """Return the fraction of reconstructions that get the image's class, of trainings that know the classifier."""
    for row in run.rows_of_suite("classifiers", "experiment", "n_reconstructed", "class_kept"):
        name, n = row["experiment"], row["n_reconstructed"]
        if n > 0 and run.experiments[name].method == "stylex":
            yield _share(
                name, "latents", round(row["class_kept"] * n), n, "reconstructions get the class of their image"
            )


def subset_flips(run: Run) -> Iterator[Evidence]:
    """Return the fraction of images that a greedy choice of coordinates flips."""
    rows = run.rows_of_suite("subset", "experiment", "selection", *SUFFICIENCY[:4], "shift", "method")
    for row in _largest(row for row in rows if row["selection"] == "subset"):
        text = f"images flip within {row['k']} coordinates chosen for the very image"
        yield _share(row["experiment"], "subset", row["flipped"], row["n"], text, f", shift {row['shift']:g}.")


def own_coordinates(run: Run) -> Iterator[Evidence]:
    """Count the images whose strongest coordinate is not the first attribute of their target class."""
    attributes = run.rows_of_all("attributes", "target_class", "rank", "style_index")
    first = {(row["experiment"], row["target_class"]): row["style_index"] for row in attributes if row["rank"] == 1}
    explained = run.rows_of_all("independent", "id", "target_class", "step", "style_index")
    known = [row for row in explained if row["step"] == 1 and (row["experiment"], row["target_class"]) in first]
    text = "explained images have another strongest coordinate than the first attribute of their target class"
    for (name,), rows in grouped(known, "experiment").items():
        own = sum(row["style_index"] != first[name, row["target_class"]] for row in rows)
        yield _share(name, "independent", own, len(rows), text)


def distance_curve(run: Run) -> Iterator[Evidence]:
    """Correlate the distance to the dataset's images with the number of attributes, in disjoint groups of images."""
    columns = ("experiment", "protocol", "n_attributes", "n", "extractor", "frechet_distance", *KID_FOLDS)
    rows = run.main(run.rows_of_suite("frechet", *columns))
    for (name, extractor), curve in grouped(rows, "experiment", "extractor").items():
        curve = sorted(curve, key=lambda row: row["n_attributes"])
        unmoved = len({row["frechet_distance"] for row in curve}) == 1
        if len(curve) < 3 or unmoved or run.experiments[name].method != "stylex":
            continue
        counts = [row["n_attributes"] for row in curve]
        folds = [[row[fold] for row in curve] for fold in KID_FOLDS]
        known = [fold for fold in folds if len(set(fold)) > 1 and not any(map(isnan, fold))]
        correlations = [float(spearmanr(counts, fold).statistic) for fold in known]  # pyright: ignore
        low, high = student_interval(correlations)
        text = "too few images to divide into groups"
        if len(correlations) > 1:
            text = (
                f"Spearman's ρ = {mean(correlations):.2f}, the mean of {len(correlations)} groups of images (95 %"
                f" Student interval {low:.2f} to {high:.2f})"
            )
        first, last, highest = curve[0], curve[-1], max(curve, key=lambda row: row["frechet_distance"])
        sentence = (
            f"Fréchet distance in the features of {extractor}: {first['frechet_distance']:.2f} with"
            f" {first['n_attributes']} and {last['frechet_distance']:.2f} with {last['n_attributes']} attributes moved,"
            f" at most {highest['frechet_distance']:.2f} with {highest['n_attributes']} (n = {first['n']} images,"
            f" {PROTOCOLS[first['protocol']]}); {text}. One training."
        )
        yield Evidence(name, anchor(name, "frechet"), sentence, {"low": low, "high": high})


def error_left(run: Run, datasets: list[str], stagnant: float, fallen: float) -> Iterator[Evidence]:
    """Compare the last reconstruction error of a training with its first; stagnant, fallen: fractions of the first."""
    history = run.rows_of_all("stylex_history", "images", "val_l1")
    for (name,), rows in grouped(history, "experiment").items():
        measured = [row for row in rows if not isnan(row["val_l1"])]
        if len(measured) < 2 or run.experiments[name].dataset.name not in datasets:
            continue
        first, last = measured[0], measured[-1]
        left = last["val_l1"] / first["val_l1"]
        sentence = (
            f"The mean error of pixels on validation images goes from {first['val_l1']:.3f} after"
            f" {first['images']:,.0f} images shown to {last['val_l1']:.3f} after {last['images']:,.0f}, that is to"
            f" {100 * left:.0f} %. One training, so no interval."
        )
        judged = {"enough": left > stagnant, "too_few": left < fallen}
        yield Evidence(name, anchor(name, "stylex"), sentence, judged)


def published_flips(run: Run, models: bool = False) -> list[str]:
    """List the published range at k = 10 of each paper and kind of model, no baselines; models: [V]'s own alone."""
    baselines = {label for label, method in METHODS.items() if method != "stylex"}
    rows = [row for row in records(run.published("sufficiency")) if row["k"] == TOP and row["method"] not in baselines]
    lines = []
    for (source, method), group in grouped(rows, "source", "method").items():
        low, high = (percent(end(row["value"] for row in group)) for end in (min, max))
        values = f"{low} %" if low == high else f"{low} to {high} %"
        lines.append(f"{source}, {method}: {values} ({', '.join(dict.fromkeys(row['domain'] for row in group))}).")
    return [line for line in lines if "Model" in line or not models]


def published_pairs(run: Run, better: str, worse: str) -> list[str]:
    """List the published fractions of both methods, by domain."""
    labels = (LABELS[better], LABELS[worse])
    rows = [row for row in records(run.published("sufficiency")) if row["k"] == TOP and row["method"] in labels]
    lines = []
    for (source, domain), group in grouped(rows, "source", "domain").items():
        values = {row["method"]: row["value"] for row in group}
        if len(values) == len(labels):
            cells = ", ".join(f"{label} {percent(values[label])} %" for label in labels)
            lines.append(f"{source}, {domain}: {cells}.")
    return lines


def published_answers(run: Run) -> list[str]:
    """List the published fractions of right answers."""
    return [
        f"{row['source']}, {row['domain']}, {row['method']}: {row['value']:g} (± {row['spread']:g})."
        for row in records(run.published("user_study"))
    ]
