"""The table of attributes measured against truth: which known factors they move, how purely, and what chance finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, combinations
from math import comb, isnan, log
from statistics import mean, stdev
from typing import Any

import pandas

from stylex.config.base import POOLED
from stylex.report.captions import text
from stylex.report.published import direction, label
from stylex.report.run import Row, Run, grouped
from stylex.report.table import NOTHING, Block, Table, concatenated, interval, percent

COLUMNS = (
    "experiment", "domain", "model", "seed", "method", "target_class", "rank", "style_index", "direction", "n",
    "factor", "cause", "purity", "change", "threshold", "area", "inside", "inside_low", "inside_high", "iou",
    "iou_low", "iou_high", "iou_chance",
)  # fmt: skip
CHANCE = "random"
SHOWN = (1, 3, 5, 10)  # the k of a reader's table
LISTED = 5  # attributes that are named one by one
EQUALS = 8  # random moves that a move is held against, of 64 for each class
REGIONS = {"Inside, %": "inside", "Area, %": "area", "IoU, %": "iou", "IoU by chance, %": "iou_chance"}
FIT = {"R² of images": "r2_images", "R² of reconstructions": "r2_reconstructions", "Weight": "logit_weight"}

Rows = list[Row]


def factors_table(run: Run) -> Table:
    """Build the table from each experiment's factors.csv and factor_fit.csv."""
    parts, fit = [], []
    for name, config in run.experiments.items():
        common = {"domain": config.domain, "model": config.method, "seed": config.seed}
        parts.append(run.table(name, "factors").assign(**common, threshold=config.evaluation.factor_threshold))
        fit += [row | common for row in run.rows(name, "factor_fit")]
    changes = [str(column) for column in parts[0].columns if str(column) not in COLUMNS]
    data = concatenated(parts, (*COLUMNS, *changes))
    rows: Rows = data.to_dict("records")
    causes = list(dict.fromkeys(row["factor"] for row in fit if row["cause"]))
    first = [Block(text(key, listed=LISTED), _first_moves(rows, cell)) for key, cell in
             (("first_factors", _move), ("first_regions", _place))]  # fmt: skip
    blocks = (_coverage(rows, causes), first[0], _regions(rows), first[1], _fit(fit))
    return Table("factors", "Attributes measured against known factors", data, blocks)


def covered(moves: Rows, factors: Iterable[str], k: int) -> set[str]:
    """Return those of `factors` that some move of rank <= k, of any class, moves most, by more than its threshold."""
    return {row["factor"] for row in moves if row["rank"] <= k and _is_strong(row)} & set(factors)


def covered_by_chance(moves: Rows, factors: Iterable[str], k: int) -> float:
    """Return how many of `factors` k of these random moves a class, drawn without replacement, cover on average.

    Of R moves of a class, c cover a factor: k of them miss it with the probability C(R - c, k) / C(R, k); classes are
    drawn independently.
    """
    return sum(1 - _missed(moves, {factor}, k) for factor in factors)


def all_covered_by_chance(moves: Rows, factors: Sequence[str], k: int) -> float:
    """Return the probability that k of these random moves a class, drawn as above, cover every one of `factors`.

    By inclusion and exclusion over the sets of factors that are missed.
    """
    sets = chain.from_iterable(combinations(factors, size) for size in range(len(factors) + 1))
    return sum((-1) ** len(missed) * _missed(moves, set(missed), k) for missed in sets)


def once(moves: Rows) -> Rows:
    """Return each coordinate of an experiment and method once, by its first rank in the list of any class.

    The lists of two classes share coordinates: what one and the same coordinate moves is no second finding.
    """
    first: dict[tuple[Any, ...], Row] = {}
    for row in sorted(moves, key=lambda row: row["rank"]):
        first.setdefault((row["experiment"], row["method"], row["style_index"]), row)
    return list(first.values())


def purity_gain(own: Rows, chance: Rows) -> float:
    """Return how much purer moves are than random ones of equal size, mean difference of fractions; nan without either.

    The size of a move is the sum of the absolute mean changes of all factors, in sd. Each of `own` is held against the
    mean of those `EQUALS` moves of `chance` whose sizes are nearest, in ratio: purity may depend on the size.
    """
    own, chance = (once([row for row in rows if row["purity"] > 0]) for rows in (own, chance))
    sizes = [(log(abs(row["change"]) / row["purity"]), row["purity"]) for row in chance]
    gains = []
    for row in own if chance else []:
        size = log(abs(row["change"]) / row["purity"])
        nearest = sorted(sizes, key=lambda each: abs(each[0] - size))[:EQUALS]
        gains.append(row["purity"] - mean(purity for _, purity in nearest))
    return mean(gains) if gains else float("nan")


def _missed(moves: Rows, factors: set[str], k: int) -> float:
    """Return the probability that k of these random moves a class cover none of `factors`."""
    missed = 1.0
    for part in grouped(moves, "target_class").values():
        hits, taken = sum(row["factor"] in factors and _is_strong(row) for row in part), min(k, len(part))
        missed *= comb(len(part) - hits, taken) / comb(len(part), taken)
    return missed


def over_seeds(values: Iterable[float], text: Callable[[float], str]) -> str:
    """Write the mean of one value a seed, with the sample's standard deviation where there are several."""
    known = [value for value in values if not isnan(value)]
    if not known:
        return NOTHING
    return text(mean(known)) + (f" ± {text(stdev(known))}" if len(known) > 1 else "")


def _is_strong(row: Row) -> bool:
    return abs(row["change"]) > row["threshold"]  # False for NaN: nothing was moved


def _coverage(rows: Rows, causes: list[str]) -> Block:
    longest = max((row["rank"] for row in rows if row["method"] != CHANCE), default=1)
    shown = [k for k in SHOWN if k <= longest]
    lines = []
    for (domain, model, method), group in grouped(rows, "domain", "model", "method").items():
        for (target,), part in [*grouped(group, "target_class").items(), ((POOLED,), group)]:
            line = {"Domain": domain, "Method": _label(model, method), "Target class": direction(target)}
            lines.append(line | _line(part, method == CHANCE, causes, shown))
    limits = " or ".join(sorted({f"{row['threshold']:g}" for row in rows}))
    numeric = ("Seeds", "n", "Moves", "Purity, %", "Of a cause, %", *(f"Causes, k = {k}" for k in shown))
    return Block(text("factors", causes=", ".join(causes), limits=limits), pandas.DataFrame(lines), numeric)


def _label(model: str, method: str) -> str:
    return f"random moves, {label(model)}" if method == CHANCE else label(method)


def _line(part: Rows, chance: bool, causes: list[str], shown: Sequence[int]) -> dict[str, object]:
    """Return the measured cells of one method and target class; `part` has the moves of all seeds."""
    seeds = list(grouped(part, "experiment").values())
    counts = [sum(group[0]["n"] for group in grouped(moves, "target_class").values()) for moves in seeds]

    def causes_of(moves: Rows, k: int) -> float:
        return covered_by_chance(moves, causes, k) if chance else len(covered(moves, causes, k))

    known = {row["factor"] for row in part}
    times = Counter(name for moves in seeds for name in sorted(covered(moves, known, max(shown))))
    cells: dict[str, object] = {
        "Seeds": len(seeds),
        "n": " / ".join(str(count) for count in counts),
        "Moves": " / ".join(str(len(once(moves))) for moves in seeds),
        "Purity, %": over_seeds([_mean(moves, "purity") for moves in seeds], percent),
        "Of a cause, %": over_seeds([_mean(moves, "cause") for moves in seeds], percent),
    }
    for k in shown:
        cells[f"Causes, k = {k}"] = over_seeds([causes_of(moves, k) for moves in seeds], "{:.2f}".format)
    moved = ", ".join(f"{factor} {number}/{len(seeds)}" for factor, number in times.most_common())
    return cells | {"Moved by the list": NOTHING if chance else moved or "none"}


def _mean(rows: Rows, key: str) -> float:
    values = [float(row[key]) for row in once([row for row in rows if not isnan(row["change"])])]
    return mean(values) if values else float("nan")


def _first_moves(rows: Rows, cell: Callable[[Row], str]) -> pandas.DataFrame:
    """Return a line for each list of attributes, with the text of each of its first moves."""
    lines = []
    found = [row for row in rows if row["method"] != CHANCE]
    for (experiment, method, target), part in grouped(found, "experiment", "method", "target_class").items():
        by_rank = {row["rank"]: row for row in part}
        line = {"Experiment": experiment, "Method": label(method), "Target class": target}
        ranks = range(1, LISTED + 1)
        lines.append(line | {f"{rank}": cell(by_rank[rank]) if rank in by_rank else NOTHING for rank in ranks})
    return pandas.DataFrame(lines)


def _move(row: Row) -> str:
    if isnan(row["change"]):
        return NOTHING
    return f"{row['factor']} {row['change']:+.2f} ({100 * row['purity']:.0f})"


def _place(row: Row) -> str:
    if isnan(row["inside"]):
        return NOTHING
    return f"{row['factor']} {interval(row, 'inside')} / {percent(row['area'])}"


def _regions(rows: Rows) -> Block:
    lines = []
    placed = [row for row in rows if not isnan(row["inside"])]
    for (domain, model, method, factor), part in grouped(placed, "domain", "model", "method", "factor").items():
        seeds = list(grouped(part, "experiment").values())
        line = {"Domain": domain, "Method": _label(model, method), "Factor": factor, "Seeds": len(seeds)}
        line["Moves"] = " / ".join(str(len(once(moves))) for moves in seeds)
        line |= {title: over_seeds([_mean(moves, key) for moves in seeds], percent) for title, key in REGIONS.items()}
        lines.append(line)
    return Block(text("regions"), pandas.DataFrame(lines), ("Seeds", "Moves", *REGIONS))


def _fit(fit: Rows) -> Block:
    lines = []
    for (domain, model, factor), part in grouped(fit, "domain", "model", "factor").items():
        line = {"Domain": domain, "Method": label(model), "Factor": factor}
        line |= {"Cause": "yes" if part[0]["cause"] else "no", "Seeds": len(part)}
        line |= {title: over_seeds([row[key] for row in part], "{:.2f}".format) for title, key in FIT.items()}
        lines.append(line)
    return Block(text("factor_fit"), pandas.DataFrame(lines), ("Seeds", *FIT))
