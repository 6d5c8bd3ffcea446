"""What a claim, a measure of it and a finding are, and the rules of judgement that several measures share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pandas

from stylex.config import ExperimentConfig
from stylex.config.analysis import POOLED, TOP
from stylex.evaluation.intervals import wilson_interval
from stylex.protocols import Protocol
from stylex.report.table import percent

MOST = 0.5
LEVEL = 0.05  # of significance
Row = dict[str, Any]


class Verdict(StrEnum):
    """What a number says about a claim by its rule."""

    SUPPORTS = "supports"
    CONTRADICTS = "contradicts"
    UNDECIDED = "does not decide"
    ONE_SEED = "one seed: not decided"


@dataclass(frozen=True)
class Finding:
    """What one measure of one experiment or domain says; `anchor` is where on the page its numbers come from."""

    where: str
    verdict: Verdict
    sentence: str
    anchor: str


@dataclass(frozen=True)
class Run:
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
        return _rows(self.artifacts.get(name), columns)

    def protocol(self, experiment: str) -> Protocol:
        """Return the main protocol of an experiment: on which images its claims are measured."""
        return self.experiments[experiment].attfind.protocol

    def measured(self, name: str, *columns: str) -> list[Row]:
        """Return the rows of a table of the suite that are of the main protocol; none as for `table`."""
        rows = self.table(name, "experiment", "protocol", *columns)
        return [row for row in rows if row["protocol"] == self.protocol(row["experiment"])]

    def figures(self, name: str) -> list[Row]:
        """Return the rows of config/published/<name>.csv."""
        return _rows(self.published.get(name), ())


@dataclass(frozen=True)
class Measure:
    """One way to test a claim: the rule of its verdict, what a run needs for it, and the function that finds out."""

    name: str
    rule: str
    needs: str
    find: Callable[[Run], list[Finding]]


@dataclass(frozen=True)
class Source:
    """Where a paper states a claim, or tests it, and with which outcome."""

    paper: str  # a key of stylex.report.published.SOURCES
    place: str
    says: str


@dataclass(frozen=True)
class Claim:
    """A claim in our words, where it comes from, and how this run tests it."""

    key: str
    title: str  # a few words for the contents
    statement: str
    sources: tuple[Source, ...]
    measures: tuple[Measure, ...]
    published: Callable[[Run], list[str]] = lambda run: []  # published figures, from config/published


def _rows(frame: pandas.DataFrame | None, columns: tuple[str, ...]) -> list[Row]:
    if frame is None or not {*columns} <= {*frame.columns}:
        return []
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def grouped(rows: Iterable[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    """Return the rows by the values of the keys, in order of appearance."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def largest(rows: Iterable[Row], *keys: str) -> list[Row]:
    """Return, for each value of the keys, the row of the largest k that is not above `TOP` and has images."""
    chosen = [row for row in rows if row["k"] <= TOP and row["n"] > 0]
    return [max(group, key=lambda row: row["k"]) for group in grouped(chosen, *keys).values()]


def pooled(rows: Iterable[Row], method: str) -> list[Row]:
    """Return the sufficiency rows of a method that pool all directions."""
    return [row for row in rows if row["method"] == method and row["target_class"] == POOLED]


def compared(successes: int, n: int, bound: float) -> Verdict:
    """Judge a fraction by its Wilson interval, as `interval_rule` says."""
    return beyond(*wilson_interval(successes, n), bound)


def beyond(low: float, high: float, bound: float) -> Verdict:
    """Judge an interval: above the bound it supports, below it contradicts, across it does not decide."""
    if low > bound:
        return Verdict.SUPPORTS
    return Verdict.CONTRADICTS if high < bound else Verdict.UNDECIDED


def interval_rule(what: str, bound: float, interval: str = "95 % Wilson interval") -> str:
    """Say how `compared` and `beyond` judge."""
    return (
        f"The {interval} of {what} lies above {100 * bound:g} %: supports. Below: contradicts. Across: does not decide."
    )


def tested(difference: float, p: float) -> Verdict:
    """Judge a difference, or a correlation, by its test: p below `LEVEL` decides for its sign."""
    if not p < LEVEL:
        return Verdict.UNDECIDED
    return Verdict.SUPPORTS if difference > 0 else Verdict.CONTRADICTS


def share(successes: int, n: int, text: str, interval: tuple[float, float] | None = None) -> str:
    """Write a fraction as `70.0 % of 200 images flip (95 % interval 63.3–75.9 %)`; `text`: `images flip`.

    interval: Wilson's by default, which takes what is counted as independent.
    """
    low, high = interval or wilson_interval(successes, n)
    return f"{percent(successes / n)} % of {int(n)} {text} (95 % interval {percent(low)}–{percent(high)} %)"


def p_value(p: float) -> str:
    """Write a p-value; tiny ones by a bound, none where the test has nothing to compare."""
    if p != p:
        return "p not defined"
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"
