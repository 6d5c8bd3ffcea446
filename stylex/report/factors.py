"""Attributes measured against truth: which known factors they move, how purely, and what random moves find.

Here are the table and what it says of the claims. Moves are a table with a row a move, as in factors.csv.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, combinations
from math import comb, isnan, nan
from statistics import mean, stdev
from typing import Any, TypeAlias

import numpy
import pandas
from scipy.stats import fisher_exact

from stylex.config.base import POOLED
from stylex.report.captions import text
from stylex.report.published import direction, label
from stylex.report.rules import LEVEL, Evidence, p_value, points, share
from stylex.report.run import Run, anchor, grouped, stacked
from stylex.report.table import NOTHING, Block, Row, Table, interval, percent

COLUMNS = (
    "experiment", "domain", "model", "seed", "method", "target_class", "rank", "style_index", "direction", "n",
    "factor", "cause", "purity", "change", "threshold", "area", "inside", "inside_low", "inside_high", "iou",
    "iou_low", "iou_high", "iou_chance",
)  # fmt: skip
JUDGED = (
    "experiment", "model", "method", "target_class", "rank", "style_index", "factor", "cause", "purity", "change",
    "threshold",
)  # fmt: skip
CHANCE = "random"
SHOWN = (1, 3, 5, 10)  # the k of a reader's table
LISTED = 5  # attributes that are named one by one
EQUALS = 8  # random moves that a move is held against, of 64 for each class
REGIONS = {"Inside, %": "inside", "Area, %": "area", "IoU, %": "iou", "IoU by chance, %": "iou_chance"}
Moves: TypeAlias = Any  # a pandas.DataFrame, of which type checkers cannot tell what a selection gives
FIT = {"R² of images": "r2_images", "R² of reconstructions": "r2_reconstructions", "Weight": "logit_weight"}


def factors_table(run: Run) -> Table:
    """Build the table from each experiment's factors.csv and factor_fit.csv."""
    parts, fits = [], []
    for name, config in run.experiments.items():
        common = {"domain": config.domain, "model": config.method, "seed": config.seed}
        parts.append(run.table(name, "factors").assign(**common, threshold=config.evaluation.factor_threshold))
        fits.append(run.table(name, "factor_fit").assign(**common))
    changes = [str(column) for column in parts[0].columns if str(column) not in COLUMNS]
    data, fit = stacked(parts).reindex(columns=[*COLUMNS, *changes]), pandas.concat(fits, ignore_index=True)
    moves = data.infer_objects()
    first = [_first_moves(text(key, listed=LISTED), moves, cell) for key, cell in
             (("first_factors", _move), ("first_regions", _place))]  # fmt: skip
    causes = list(fit.loc[fit["cause"].astype(bool), "factor"].unique())
    blocks = (_coverage(moves, causes), first[0], _regions(moves), first[1], _fit(fit))
    return Table("factors", "Attributes measured against known factors", data, blocks)


def covered(moves: Moves, factors: Iterable[str], k: int) -> set[str]:
    """Return those of `factors` that some move of rank <= k, of any class, moves most, by more than its threshold."""
    return set(moves.loc[(moves["rank"] <= k) & _strong(moves), "factor"]) & set(factors)


def covered_by_chance(moves: Moves, factors: Iterable[str], k: int) -> float:
    """Return how many of `factors` k of these random moves a class, drawn without replacement, cover on average.

    Of R moves of a class, c cover a factor: k of them miss it with the probability C(R - c, k) / C(R, k); classes are
    drawn independently.
    """
    return sum(1 - _missed(moves, {factor}, k) for factor in factors)


def all_covered_by_chance(moves: Moves, factors: Sequence[str], k: int) -> float:
    """Return the probability that k of these random moves a class, drawn as above, cover every one of `factors`.

    By inclusion and exclusion over the sets of factors that are missed.
    """
    sets = chain.from_iterable(combinations(factors, size) for size in range(len(factors) + 1))
    return sum((-1) ** len(missed) * _missed(moves, set(missed), k) for missed in sets)


def _missed(moves: Moves, factors: set[str], k: int) -> float:
    """Return the probability that k of these random moves a class cover none of `factors`."""
    hits, missed = (moves["factor"].isin(factors) & _strong(moves)).groupby(moves["target_class"]), 1.0
    for size, hit in zip(hits.size().tolist(), hits.sum().tolist(), strict=True):
        missed *= comb(size - hit, min(k, size)) / comb(size, min(k, size))
    return missed


def _strong(moves: Moves) -> Moves:
    return moves["change"].abs() > moves["threshold"]  # False for NaN: nothing was moved


def once(moves: Moves) -> Moves:
    """Return each coordinate of an experiment and method once, by its first rank in the list of any class.

    The lists of two classes share coordinates: what one and the same coordinate moves is no second finding.
    """
    return moves.sort_values("rank", kind="stable").drop_duplicates(["experiment", "method", "style_index"])


def purity_gain(own: Moves, chance: Moves) -> float:
    """Return how much purer moves are than random ones of equal size, mean difference of fractions; nan without either.

    The size of a move is the sum of the absolute mean changes of all factors, in sd. Each of `own` is held against the
    mean of those `EQUALS` moves of `chance` whose sizes are nearest, in ratio: purity may depend on the size.
    """
    own, chance = (once(each.loc[each["purity"] > 0]) for each in (own, chance))
    sizes, of_chance = (numpy.log(each["change"].abs() / each["purity"]).to_numpy() for each in (own, chance))
    if not len(own) or not len(chance):
        return nan
    nearest = numpy.abs(of_chance - sizes[:, None]).argsort(axis=1, kind="stable")[:, :EQUALS]
    purities = chance["purity"].to_numpy()
    return mean(one - mean(purities[rows].tolist()) for one, rows in zip(own["purity"].tolist(), nearest, strict=True))


def over_seeds(values: Iterable[float], text: Callable[[float], str]) -> str:
    """Write the mean of one value a seed, with the sample's standard deviation where there are several."""
    known = [value for value in values if not isnan(value)]
    if not known:
        return NOTHING
    return text(mean(known)) + (f" ± {text(stdev(known))}" if len(known) > 1 else "")


def _coverage(moves: Moves, causes: list[str]) -> Block:
    longest = moves.loc[moves["method"] != CHANCE, "rank"].max()
    shown = [k for k in SHOWN if not k > longest]
    lines = []
    for (domain, model, method), group in moves.groupby(["domain", "model", "method"], sort=False):
        for target, part in [*group.groupby("target_class", sort=False), (POOLED, group)]:
            line = {"Domain": domain, "Method": _label(model, method), "Target class": direction(target)}
            lines.append(line | _line(part, method == CHANCE, causes, shown))
    limits = " or ".join(sorted(f"{limit:g}" for limit in moves["threshold"].unique()))
    numeric = ("Seeds", "n", "Moves", "Purity, %", "Of a cause, %", *(f"Causes, k = {k}" for k in shown))
    return Block(text("factors", causes=", ".join(causes), limits=limits), pandas.DataFrame(lines), numeric)


def _label(model: str, method: str) -> str:
    return f"random moves, {label(model)}" if method == CHANCE else label(method)


def _seeds(part: Moves) -> list[Moves]:
    return [moves for _, moves in part.groupby("experiment", sort=False)]


def _line(part: Moves, chance: bool, causes: list[str], shown: Sequence[int]) -> dict[str, object]:
    """Return the measured cells of one method and target class; `part` has the moves of all seeds."""
    seeds = _seeds(part)

    def causes_of(moves: Moves, k: int) -> float:
        return covered_by_chance(moves, causes, k) if chance else len(covered(moves, causes, k))

    known = set(part["factor"])
    times = Counter(name for moves in seeds for name in sorted(covered(moves, known, max(shown))))
    measured = [moves.loc[moves["change"].notna()] for moves in seeds]
    cells: dict[str, object] = {
        "Seeds": len(seeds),
        "n": " / ".join(str(moves.drop_duplicates("target_class")["n"].sum()) for moves in seeds),
        "Moves": " / ".join(str(len(once(moves))) for moves in seeds),
        "Purity, %": over_seeds([_mean(moves, "purity") for moves in measured], percent),
        "Of a cause, %": over_seeds([_mean(moves, "cause") for moves in measured], percent),
    }
    for k in shown:
        cells[f"Causes, k = {k}"] = over_seeds([causes_of(moves, k) for moves in seeds], "{:.2f}".format)
    moved = ", ".join(f"{factor} {number}/{len(seeds)}" for factor, number in times.most_common())
    return cells | {"Moved by the list": NOTHING if chance else moved or "none"}


def _mean(moves: Moves, column: str) -> float:
    values = once(moves)[column].astype(float).tolist()
    return mean(values) if values else nan


def _first_moves(caption: str, moves: Moves, cell: Callable[[Row], str]) -> Block:
    """Return a line for each list of attributes, with the text of each of its first moves."""
    lines = []
    keys, ranks = ["experiment", "method", "target_class"], range(1, LISTED + 1)
    for (experiment, method, target), part in moves.loc[moves["method"] != CHANCE].groupby(keys, sort=False):
        by_rank = {row["rank"]: cell(row) for row in part.to_dict("records")}
        line = {"Experiment": experiment, "Method": label(method), "Target class": target}
        lines.append(line | {f"{rank}": by_rank.get(rank, NOTHING) for rank in ranks})
    return Block(caption, pandas.DataFrame(lines))


def _move(row: Row) -> str:
    if isnan(row["change"]):
        return NOTHING
    return f"{row['factor']} {row['change']:+.2f} ({100 * row['purity']:.0f})"


def _place(row: Row) -> str:
    if isnan(row["inside"]):
        return NOTHING
    return f"{row['factor']} {interval(row, 'inside')} / {percent(row['area'])}"


def _regions(moves: Moves) -> Block:
    lines, keys = [], ["domain", "model", "method", "factor"]
    for (domain, model, method, factor), part in moves.loc[moves["inside"].notna()].groupby(keys, sort=False):
        seeds = _seeds(part)
        line = {"Domain": domain, "Method": _label(model, method), "Factor": factor, "Seeds": len(seeds)}
        line["Moves"] = " / ".join(str(len(once(each))) for each in seeds)
        line |= {title: over_seeds([_mean(each, key) for each in seeds], percent) for title, key in REGIONS.items()}
        lines.append(line)
    return Block(text("regions"), pandas.DataFrame(lines), ("Seeds", "Moves", *REGIONS))


def _fit(fit: Moves) -> Block:
    lines = []
    for (domain, model, factor), part in fit.groupby(["domain", "model", "factor"], sort=False):
        line = {"Domain": domain, "Method": label(model), "Factor": factor}
        line |= {"Cause": "yes" if part["cause"].iloc[0] else "no", "Seeds": len(part)}
        lines.append(line | {title: over_seeds(part[key], "{:.2f}".format) for title, key in FIT.items()})
    return Block(text("factor_fit"), pandas.DataFrame(lines), ("Seeds", *FIT))


def _moves(run: Run) -> Iterator[tuple[str, Moves, Moves]]:
    """Yield the measured moves of models trained with the classifier: of attributes, and random ones."""
    moves = pandas.DataFrame(run.rows_of_suite("factors", *JUDGED), columns=list(JUDGED))
    for name, part in moves.loc[moves["model"] == "stylex"].groupby("experiment", sort=False):
        own, chance = (part.loc[part["method"] == method] for method in ("stylex", CHANCE))
        if len(own) and len(chance):
            yield str(name), own, chance


def causes_moved(run: Run) -> Iterator[Evidence]:
    """Compare how often an attribute, and how often a random move, moves a cause of the label the most."""
    for name, *moves in _moves(run):
        own, chance = (once(each.loc[each["factor"].fillna("") != ""])["cause"].astype(bool) for each in moves)
        if not len(own) or not len(chance):
            continue
        hits, lucky = int(own.sum()), int(chance.sum())
        p = float(fisher_exact([[hits, len(own) - hits], [lucky, len(chance) - lucky]])[1])  # pyright: ignore
        by_chance = lucky / len(chance)
        sentence = (
            f"{share(hits, len(own), 'coordinates of attributes move a cause of the label the most')}, of {len(chance)}"
            f" that random moves take {percent(by_chance)} % (Fisher's exact test, {p_value(p)})."
        )
        values = {"difference": hits / len(own) - by_chance, "p": p}
        yield Evidence(name, anchor(name, "factors"), sentence, values)


def purity(run: Run) -> Iterator[Evidence]:
    """Compare the purity of attributes with that of random moves of equal size."""
    for name, own, chance in _moves(run):
        gain = purity_gain(own, chance)
        if not isnan(gain):
            said = f"{points(gain)} points against random moves of equal size. One training."
            yield Evidence(name, anchor(name, "factors"), said, {"difference": gain})


def causes_covered(run: Run) -> Iterator[Evidence]:
    """Count the causes of the label that some attribute moves the most, and far enough; random moves beside them."""
    fit = [row for row in run.rows_of_all("factor_fit", "factor", "cause") if row["cause"]]
    known = {name: [row["factor"] for row in rows] for (name,), rows in grouped(fit, "experiment").items()}
    for name, own, chance in _moves(run):
        if name not in known:
            continue
        causes, longest = known[name], own["rank"].max()
        moved = covered(own, causes, longest)
        reached, missing = ([cause for cause in causes if (cause in moved) is wanted] for wanted in (True, False))
        p = all_covered_by_chance(chance, causes, longest)
        sentence = (
            f"{len(once(own))} coordinates of attributes cover {len(reached)} of {len(causes)} causes"
            f" ({', '.join(reached) or 'none'}); missing: {', '.join(missing) or 'none'}. As many random moves cover"
            f" {covered_by_chance(chance, causes, longest):.2f} on average, and all with {p_value(p)}."
        )
        judged = {"enough": not missing and p < LEVEL, "too_few": len(reached) < len(missing)}
        yield Evidence(name, anchor(name, "factors"), sentence, judged)


def bias_found(run: Run, top: int, planted: Mapping[str, str]) -> Iterator[Evidence]:
    """Look for a factor that was made to follow the label among the first attributes; random moves beside them.

    planted: that factor, by dataset. top: the rank up to which an attribute must move it.
    """
    for name, own, chance in _moves(run):
        factor = planted.get(run.experiments[name].dataset.name)
        if factor is None:
            continue
        best = min(own.loc[(own["factor"] == factor) & _strong(own), "rank"], default=None)
        p = covered_by_chance(chance, [factor], top)
        place = f"rank {best} is the first of its class to move it" if best else "none of them moves it"
        sentence = (
            f"The planted factor is {factor}; of {len(once(own))} coordinates of attributes {place} the most. One of"
            f" {top} random moves per class does so with {p_value(p)}. One training."
        )
        judged = {"enough": best is not None and best <= top and p < LEVEL, "too_few": best is None}
        yield Evidence(name, anchor(name, "factors"), sentence, judged)
