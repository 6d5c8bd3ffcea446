"""What a run has to say of each claim: a function for each kind of evidence that claims.yaml names.

Each returns the numbers and a sentence, experiment by experiment, and nothing where the run lacks a table, a column or
images. Only numbers of an experiment's main protocol count, and of StylEx where a claim is about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import isnan
from statistics import mean

import pandas
from scipy.stats import fisher_exact, spearmanr

from stylex.config import ExperimentConfig
from stylex.config.base import KID_FOLDS, POOLED, TOP, Protocol
from stylex.evaluation.intervals import bootstrap, images_interval, student_interval, wilson_interval
from stylex.report.comparisons import PAIRED
from stylex.report.factors import all_covered_by_chance, covered, covered_by_chance, once, purity_gain
from stylex.report.published import LABELS, METHODS, PROTOCOLS, SOURCES
from stylex.report.rules import LEVEL, Evidence, Verdict, beyond, p_value, points, share
from stylex.report.run import Row, anchor, grouped, records
from stylex.report.table import percent

NAN = float("nan")
SUFFICIENCY = ("target_class", "k", "n", "flipped", "low", "high", "shift", "seed", "method")
FACTORS = (
    "experiment", "model", "method", "target_class", "rank", "style_index", "factor", "cause", "purity", "change",
    "threshold",
)  # fmt: skip
COUNTERFACTUALS = (
    "method", "target_class", "n_compared", "extractor", "frechet_distance", "frechet_reconstructions",
    "frechet_ratio", "neither",
)  # fmt: skip


@dataclass(frozen=True)
class Numbers:
    """The numbers of a run as far as they exist; a frame that is missing is a normal case.

    `tables`: the suite's, by name. `artifacts`: of all experiments, stacked, with a column `experiment`.
    `published`: config/published, sources spelled out.
    """

    experiments: Mapping[str, ExperimentConfig] = field(default_factory=dict)
    tables: Mapping[str, pandas.DataFrame] = field(default_factory=dict)
    artifacts: Mapping[str, pandas.DataFrame] = field(default_factory=dict)
    published: Mapping[str, pandas.DataFrame] = field(default_factory=dict)

    def table(self, name: str, *columns: str) -> list[Row]:
        """Return the rows of a table of the suite; none when it is missing or lacks one of the columns."""
        return _rows(self.tables.get(name), columns)

    def artifact(self, name: str, *columns: str) -> list[Row]:
        """Return the rows of an artifact of all experiments that have it; none as for `table`."""
        return _rows(self.artifacts.get(name), ("experiment", *columns))

    def figures(self, name: str) -> list[Row]:
        """Return the rows of config/published/<name>.csv."""
        return _rows(self.published.get(name), ())

    def main(self, rows: Iterable[Row]) -> list[Row]:
        """Return the rows of the main protocol: of the images on which an experiment's claims are measured."""
        return [row for row in rows if row["protocol"] == self.experiments[row["experiment"]].attfind.protocol]

    def protocol(self, experiment: str) -> str:
        """Return what a reader's text calls the main protocol of an experiment."""
        return PROTOCOLS[self.experiments[experiment].attfind.protocol]


def _rows(frame: pandas.DataFrame | None, columns: tuple[str, ...]) -> list[Row]:
    return [] if frame is None or not {*columns} <= {*frame.columns} else records(frame)


def _largest(rows: Iterable[Row]) -> list[Row]:
    """Return, for each experiment, StylEx's row of all directions of the largest k up to `TOP` that has images."""
    chosen = [row for row in rows if row["method"] == "stylex" and row["target_class"] == POOLED]
    chosen = [row for row in chosen if row["k"] <= TOP and row["n"] > 0]
    return [max(group, key=lambda row: row["k"]) for group in grouped(chosen, "experiment").values()]


def flips(numbers: Numbers, experiments: str = "all", bounds: dict[str, float] | None = None) -> list[Evidence]:
    """Return the fraction of decisions that flip within the top ten attributes.

    experiments: `all`, of `many_classes` (more than two), or with a `published_domain`.
    """
    rows = numbers.main(numbers.table("sufficiency", "experiment", "protocol", *SUFFICIENCY))
    own = [row for row in rows if row["method"] == "stylex" and row["target_class"] != POOLED]
    directions = grouped(own, "experiment", "k")
    found = []
    for row in _largest(rows):
        name = row["experiment"]
        classes = directions.get((name, row["k"]), [])
        belongs = {
            "all": True,
            "many_classes": len(classes) > 2,
            "published_domain": numbers.experiments[name].published_domain is not None,
        }
        if belongs[experiments]:
            values = {"low": row["low"], "high": row["high"]} | (bounds or {})
            found.append(Evidence(name, anchor(name, "sufficiency"), _flipped(row, classes), values))
    return found


def flips_of_small_models(numbers: Numbers, pixels: int) -> list[Evidence]:
    """Return the same of models of at most so many pixels; the bound is the best of the replication's own models."""
    own = [
        row["value"]
        for row in numbers.figures("sufficiency")
        if row["source"].startswith(SOURCES["vandervleuten_2022"]) and row["method"].startswith("Model")
    ]
    found = flips(numbers, bounds={"bound": max(own)}) if own else []
    return [one for one in found if numbers.experiments[one.where].dataset.resolution <= pixels]


def _flipped(row: Row, classes: list[Row]) -> str:
    within = share(row["flipped"], row["n"], f"decisions flip within the top {row['k']}", (row["low"], row["high"]))
    text = f"{within}, {PROTOCOLS[row['protocol']]}, shift {row['shift']:g}, seed {row['seed']}"
    counted = [each for each in classes if each["n"] > 0]
    if len(counted) < 2:
        return f"{text}."
    worst = min(counted, key=lambda each: each["flipped"] / each["n"])
    return f"{text}; least towards {worst['target_class']}: {share(worst['flipped'], worst['n'], 'flip')}."


def published_flips_repeated(numbers: Numbers, percentage_points: int) -> list[Evidence]:
    """Hold the released models, on the papers' images, against what the replication published of them."""
    figures = {(row["domain"], row["method"], row["k"]): row["value"] for row in numbers.figures("sufficiency")}
    rows = numbers.table("sufficiency", "experiment", "protocol", *SUFFICIENCY)
    released = [row for row in rows if numbers.experiments[row["experiment"]].released]
    found = []
    for row in _largest(row for row in released if row["protocol"] == Protocol.SAME_IMAGES):
        name, config = row["experiment"], numbers.experiments[row["experiment"]]
        value = figures.get((config.published_domain, config.published_method, row["k"]))
        if value is None:
            continue
        away = row["flipped"] / row["n"] - value
        close, apart = round(abs(away), 6) <= percentage_points / 100, not row["low"] <= value <= row["high"]
        sentence = f"{_flipped(row, [])} Published: {percent(value)} %, so {points(away)} points away."
        found.append(Evidence(name, anchor(name, "sufficiency"), sentence, {"enough": close, "too_few": apart}))
    return found


def later_flips(numbers: Numbers) -> list[Evidence]:
    """Of the images that the first attribute leaves, compare what the following ones flip with what random moves do."""
    random = grouped(numbers.artifact("random_flips", "id", "target_class", "draw", "first_k"), "experiment")
    rows = numbers.artifact("flips", "method", "protocol", "id", "target_class", "first_k")
    found = []
    for (name,), group in grouped((row for row in rows if row["method"] == "stylex"), "experiment").items():
        own = numbers.main(group)
        if all(row["first_k"] == 1 for row in own):
            sentence = f"The first attribute flips all {len(own)} decisions, {numbers.protocol(name)}: none is left."
            found.append(Evidence(name, anchor(name, "sufficiency"), sentence, {"low": NAN, "high": NAN}))
        elif (name,) in random:
            found.append(_against_random_lists(numbers, name, own, random[name,]))
    return found


def _against_random_lists(numbers: Numbers, name: str, own: list[Row], random: list[Row]) -> Evidence:
    """Compare the lists; random: of the images that the first attribute leaves, by draw."""
    flips_later = {(row["id"], row["target_class"]): _later(row) for row in own}
    draws = sorted({row["draw"] for row in random})
    gains, decisions, flipped, by_chance = [], [], 0, dict.fromkeys(draws, 0)
    for rows in grouped(random, "id").values():
        targets = {row["target_class"] for row in rows}
        more = sum(flips_later[rows[0]["id"], target] for target in targets)
        chance = {draw: sum(_later(row) for row in rows if row["draw"] == draw) for draw in draws}
        gains.append([more - chance[draw] for draw in draws])
        decisions.append(len(targets))
        flipped += more
        by_chance = {draw: by_chance[draw] + chance[draw] for draw in draws}
    n = sum(decisions)
    low, high = bootstrap(gains, numbers.experiments[name].seed, decisions)
    fractions = [hits / n for hits in by_chance.values()]
    sentence = (
        f"Of {n} decisions that the first attribute leaves, the following ones flip {percent(flipped / n)} % within the"
        f" top {TOP}, {numbers.protocol(name)}; as many random moves {percent(sum(fractions) / len(draws))} %"
        f" ({percent(min(fractions))} to {percent(max(fractions))} % in {len(draws)} draws). Difference:"
        f" {points(flipped / n - sum(fractions) / len(draws))} points (95 % interval {points(low)} to {points(high)})."
    )
    return Evidence(name, anchor(name, "sufficiency"), sentence, {"low": low, "high": high})


def _later(row: Row) -> bool:
    """Whether a decision flips after the first attribute, within the top ten; False for one that never does."""
    return 1 < row["first_k"] <= TOP


def paired_flips(numbers: Numbers, better: str, worse: str, one_model: bool = False) -> list[Evidence]:
    """Compare two methods on the same images, all directions; one_model: two ways to select within one model."""
    found = []
    for row in numbers.table("paired", *PAIRED):
        if (row["method_a"], row["method_b"]) == (worse, better):
            row |= {"experiment_a": row["experiment_b"], "experiment_b": row["experiment_a"]}
            row |= {"only_a": row["only_b"], "only_b": row["only_a"], "difference": -row["difference"]}
            row |= {"low": -row["high"], "high": -row["low"]}
        elif (row["method_a"], row["method_b"]) != (better, worse):
            continue
        ours, theirs = row["experiment_a"], row["experiment_b"]
        main = row["protocol"] == numbers.experiments[ours].attfind.protocol
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
        found.append(Evidence(row["domain"], "table-paired", sentence, values, (ours, theirs)))
    return found


def right_answers(numbers: Numbers, by: str) -> list[Evidence]:
    """Return the fraction of right answers, of two possible ones, about attributes of StylEx; by: people, observer."""
    return [
        Evidence(row["experiment"], "table-user_study", f"{_answers(row, by)}.",
                 {"low": row[f"{by}_low"], "high": row[f"{by}_high"]})
        for row in _answered(numbers, by)
        if row["method"] == "stylex"
    ]  # fmt: skip


def answers_compared(numbers: Numbers, by: str) -> list[Evidence]:
    """Compare right answers about StylEx with those about the baseline, of models that explain one classifier."""
    rows = grouped(_answered(numbers, by), "method")
    explained = {name: config.classifier_of or name for name, config in numbers.experiments.items()}
    found = []
    for ours, theirs in product(rows.get(("stylex",), []), rows.get(("wu_2021",), [])):
        sides = ours["experiment"], theirs["experiment"]
        if explained[sides[0]] == explained[sides[1]]:
            values = {"difference": ours[f"{by}_accuracy"] - theirs[f"{by}_accuracy"]}
            text = f"StylEx: {_answers(ours, by)}. Wu et al.: {_answers(theirs, by)}. One training of each."
            found.append(Evidence(ours["domain"], "table-user_study", text, values, sides))
    return found


def _answered(numbers: Numbers, by: str) -> list[Row]:
    """Return the rows of this run in which people, or the machine observer, have answered."""
    columns = (f"{by}_{name}" for name in ("accuracy", "low", "high"))
    rows = numbers.table("user_study", "experiment", "domain", "method", "questions", *columns)
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


def _moves(numbers: Numbers) -> dict[str, tuple[list[Row], list[Row]]]:
    """Return the measured moves of models trained with the classifier: of attributes, and random ones."""
    rows = [row for row in numbers.table("factors", *FACTORS) if row["model"] == "stylex"]
    by_method = grouped(rows, "experiment", "method")
    names = dict.fromkeys(row["experiment"] for row in rows)
    moves = {name: (by_method.get((name, "stylex"), []), by_method.get((name, "random"), [])) for name in names}
    return {name: (own, chance) for name, (own, chance) in moves.items() if own and chance}


def causes_moved(numbers: Numbers) -> list[Evidence]:
    """Compare how often an attribute, and how often a random move, moves a cause of the label the most."""
    found = []
    for name, moves in _moves(numbers).items():
        known = ([row for row in rows if row["factor"] and isinstance(row["factor"], str)] for rows in moves)
        own, chance = map(once, known)
        if not own or not chance:
            continue
        hits, lucky = (sum(bool(row["cause"]) for row in rows) for rows in (own, chance))
        p = float(fisher_exact([[hits, len(own) - hits], [lucky, len(chance) - lucky]])[1])  # pyright: ignore
        by_chance = lucky / len(chance)
        sentence = (
            f"{share(hits, len(own), 'coordinates of attributes move a cause of the label the most')}, of {len(chance)}"
            f" that random moves take {percent(by_chance)} % (Fisher's exact test, {p_value(p)})."
        )
        values = {"difference": hits / len(own) - by_chance, "p": p}
        found.append(Evidence(name, anchor(name, "factors"), sentence, values))
    return found


def purity(numbers: Numbers) -> list[Evidence]:
    """Compare the purity of attributes with that of random moves of equal size."""
    found = []
    for name, (own, chance) in _moves(numbers).items():
        gain = purity_gain(own, chance)
        if not isnan(gain):
            text = f"{points(gain)} points against random moves of equal size. One training."
            found.append(Evidence(name, anchor(name, "factors"), text, {"difference": gain}))
    return found


def causes_covered(numbers: Numbers) -> list[Evidence]:
    """Count the causes of the label that some attribute moves the most, and far enough; random moves beside them."""
    fit = [row for row in numbers.artifact("factor_fit", "factor", "cause") if row["cause"]]
    known = {name: [row["factor"] for row in rows] for (name,), rows in grouped(fit, "experiment").items()}
    found = []
    for name, (own, chance) in _moves(numbers).items():
        if name not in known:
            continue
        causes, longest = known[name], max(row["rank"] for row in own)
        moved = covered(own, causes, longest)
        reached, missing = ([cause for cause in causes if (cause in moved) is wanted] for wanted in (True, False))
        p = all_covered_by_chance(chance, causes, longest)
        sentence = (
            f"{len(once(own))} coordinates of attributes cover {len(reached)} of {len(causes)} causes"
            f" ({', '.join(reached) or 'none'}); missing: {', '.join(missing) or 'none'}. As many random moves cover"
            f" {covered_by_chance(chance, causes, longest):.2f} on average, and all with {p_value(p)}."
        )
        judged = {"enough": not missing and p < LEVEL, "too_few": len(reached) < len(missing)}
        found.append(Evidence(name, anchor(name, "factors"), sentence, judged))
    return found


def bias_found(numbers: Numbers, top: int, planted: Mapping[str, str]) -> list[Evidence]:
    """Look for a factor that was made to follow the label among the first attributes; random moves beside them.

    planted: that factor, by dataset. top: the rank up to which an attribute must move it.
    """
    found = []
    for name, (own, chance) in _moves(numbers).items():
        factor = planted.get(numbers.experiments[name].dataset.name)
        if factor is None:
            continue
        ranks = [row["rank"] for row in own if covered([row], [factor], row["rank"])]
        best, p = min(ranks, default=None), covered_by_chance(chance, [factor], top)
        place = f"rank {best} is the first of its class to move it" if best else "none of them moves it"
        sentence = (
            f"The planted factor is {factor}; of {len(once(own))} coordinates of attributes {place} the most. One of"
            f" {top} random moves per class does so with {p_value(p)}. One training."
        )
        judged = {"enough": best is not None and best <= top and p < LEVEL, "too_few": best is None}
        found.append(Evidence(name, anchor(name, "factors"), sentence, judged))
    return found


def target_likeness(numbers: Numbers, flipped: float, agreed: float, furthest: float) -> list[Evidence]:
    """Hold flips, an oracle's agreement and the distance of AttFind's counterfactuals against their bounds.

    flipped, agreed: fractions of the images. furthest: times as far from the images of the class as reconstructions.
    """
    summaries = {
        (row["experiment"], row["method"]): row
        for row in numbers.main(numbers.artifact("counterfactuals", "protocol", *COUNTERFACTUALS))
        if row["target_class"] == POOLED
    }
    columns = ("method", "protocol", "id", "target_class", "draw", "flipped", "agreed")
    images = grouped(numbers.main(numbers.artifact("counterfactual_images", *columns)), "experiment", "method")
    found = []
    for (name, method), rows in images.items():
        if method != "stylex" or (name, method) not in summaries:
            continue
        ours, random, seed = summaries[name, method], (name, "random"), numbers.experiments[name].seed
        sentence = f"{numbers.protocol(name).capitalize()}, {_likeness(seed, rows, ours)}."
        if random in summaries and random in images:
            sentence += f" As many random moves: {_likeness(seed, images[random], summaries[random])}."
        verdicts = [beyond(*_interval(seed, rows, "flipped"), flipped)]
        verdicts.append(beyond(*_interval(seed, rows, "agreed"), agreed) if _asked(rows) else Verdict.UNDECIDED)
        ratio = ours["frechet_ratio"]
        far = Verdict.CONTRADICTS if ratio > furthest else Verdict.SUPPORTS
        verdicts.append(Verdict.UNDECIDED if isnan(ratio) else far)  # NaN: too few flipped images
        judged = {"enough": set(verdicts) == {Verdict.SUPPORTS}, "too_few": Verdict.CONTRADICTS in verdicts}
        found.append(Evidence(name, anchor(name, "counterfactuals"), f"{sentence} One training.", judged))
    return found


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

    text = written("flipped", "images flip")
    if _asked(rows):
        text += f"; {written('agreed', 'flip and are called the target by the oracle')}"
        text += f", {percent(summary['neither'])} % neither class"
    else:
        text += "; no oracle was asked"
    if isnan(summary["frechet_ratio"]):
        return f"{text}; too few flip towards some class to take a distance"
    return (
        f"{text}; Fréchet distance to the images of the target class {summary['frechet_distance']:.1f}, of as many"
        f" reconstructions {summary['frechet_reconstructions']:.1f} (features of {summary['extractor']},"
        f" n = {int(summary['n_compared'])}): {summary['frechet_ratio']:.1f} times as far"
    )


def _share(name: str, artifact: str, successes: int, n: int, text: str, end: str = ".") -> Evidence:
    low, high = wilson_interval(successes, n)
    return Evidence(name, anchor(name, artifact), share(successes, n, text) + end, {"low": low, "high": high})


def accuracy(numbers: Numbers) -> list[Evidence]:
    """Return the accuracy on the test images; a shared classifier counts once."""
    first: dict[str, Row] = {}
    for row in numbers.table("classifiers", "experiment", "n_test", "accuracy"):
        first.setdefault(numbers.experiments[row["experiment"]].classifier_of or row["experiment"], row)
    return [
        _share(row["experiment"], "classifier", round(row["accuracy"] * row["n_test"]), row["n_test"],
               "test images are classified right")
        for row in first.values()
    ]  # fmt: skip


def class_kept(numbers: Numbers) -> list[Evidence]:
    """Return the fraction of reconstructions that get the image's class, of trainings that know the classifier."""
    text = "reconstructions get the class of their image"
    return [
        _share(row["experiment"], "latents", round(row["class_kept"] * n), n, text)
        for row in numbers.table("classifiers", "experiment", "n_reconstructed", "class_kept")
        if (n := row["n_reconstructed"]) > 0 and numbers.experiments[row["experiment"]].method == "stylex"
    ]


def subset_flips(numbers: Numbers) -> list[Evidence]:
    """Return the fraction of images that a greedy choice of coordinates flips."""
    rows = numbers.table("subset", "experiment", "method", "selection", "target_class", "k", "n", "flipped", "shift")
    return [
        _share(row["experiment"], "subset", row["flipped"], row["n"],
               f"images flip within {row['k']} coordinates chosen for the very image", f", shift {row['shift']:g}.")
        for row in _largest(row for row in rows if row["selection"] == "subset")
    ]  # fmt: skip


def own_coordinates(numbers: Numbers) -> list[Evidence]:
    """Count the images whose strongest coordinate is not the first attribute of their target class."""
    attributes = numbers.artifact("attributes", "target_class", "rank", "style_index")
    first = {(row["experiment"], row["target_class"]): row["style_index"] for row in attributes if row["rank"] == 1}
    explained = numbers.artifact("independent", "id", "target_class", "step", "style_index")
    known = [row for row in explained if row["step"] == 1 and (row["experiment"], row["target_class"]) in first]
    text = "explained images have another strongest coordinate than the first attribute of their target class"
    found = []
    for (name,), rows in grouped(known, "experiment").items():
        own = sum(row["style_index"] != first[name, row["target_class"]] for row in rows)
        found.append(_share(name, "independent", own, len(rows), text))
    return found


def distance_curve(numbers: Numbers) -> list[Evidence]:
    """Correlate the distance to the dataset's images with the number of attributes, in disjoint groups of images."""
    columns = ("experiment", "protocol", "n_attributes", "n", "extractor", "frechet_distance", *KID_FOLDS)
    rows = numbers.main(numbers.table("frechet", *columns))
    found = []
    for (name, extractor), curve in grouped(rows, "experiment", "extractor").items():
        curve = sorted(curve, key=lambda row: row["n_attributes"])
        unmoved = len({row["frechet_distance"] for row in curve}) == 1
        if len(curve) < 3 or unmoved or numbers.experiments[name].method != "stylex":
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
        found.append(Evidence(name, anchor(name, "frechet"), sentence, {"low": low, "high": high}))
    return found


def error_left(numbers: Numbers, datasets: list[str], stagnant: float, fallen: float) -> list[Evidence]:
    """Compare the last reconstruction error of a training with its first; stagnant, fallen: fractions of the first."""
    found = []
    history = numbers.artifact("stylex_history", "images", "val_l1")
    for (name,), rows in grouped(history, "experiment").items():
        measured = [row for row in rows if not isnan(row["val_l1"])]
        if len(measured) < 2 or numbers.experiments[name].dataset.name not in datasets:
            continue
        first, last = measured[0], measured[-1]
        left = last["val_l1"] / first["val_l1"]
        sentence = (
            f"The mean error of pixels on validation images goes from {first['val_l1']:.3f} after"
            f" {first['images']:,.0f} images shown to {last['val_l1']:.3f} after {last['images']:,.0f}, that is to"
            f" {100 * left:.0f} %. One training, so no interval."
        )
        judged = {"enough": left > stagnant, "too_few": left < fallen}
        found.append(Evidence(name, anchor(name, "stylex"), sentence, judged))
    return found


def published_flips(numbers: Numbers, models: bool = False) -> list[str]:
    """List the published range at k = 10 of each paper and kind of model, no baselines; models: [V]'s own alone."""
    baselines = {label for label, method in METHODS.items() if method != "stylex"}
    rows = [row for row in numbers.figures("sufficiency") if row["k"] == TOP and row["method"] not in baselines]
    lines = []
    for (source, method), group in grouped(rows, "source", "method").items():
        low, high = (percent(end(row["value"] for row in group)) for end in (min, max))
        values = f"{low} %" if low == high else f"{low} to {high} %"
        lines.append(f"{source}, {method}: {values} ({', '.join(dict.fromkeys(row['domain'] for row in group))}).")
    return [line for line in lines if "Model" in line or not models]


def published_pairs(numbers: Numbers, better: str, worse: str) -> list[str]:
    """List the published fractions of both methods, by domain."""
    labels = (LABELS[better], LABELS[worse])
    rows = [row for row in numbers.figures("sufficiency") if row["k"] == TOP and row["method"] in labels]
    lines = []
    for (source, domain), group in grouped(rows, "source", "domain").items():
        values = {row["method"]: row["value"] for row in group}
        if len(values) == len(labels):
            cells = ", ".join(f"{label} {percent(values[label])} %" for label in labels)
            lines.append(f"{source}, {domain}: {cells}.")
    return lines


def published_answers(numbers: Numbers) -> list[str]:
    """List the published fractions of right answers."""
    return [
        f"{row['source']}, {row['domain']}, {row['method']}: {row['value']:g} (± {row['spread']:g})."
        for row in numbers.figures("user_study")
    ]
