"""The tables over seeds: mean and deviation of what experiments measured that differ by their seed alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from math import isnan, nan
from statistics import mean, stdev

import pandas

from stylex.config import ExperimentConfig
from stylex.evaluation.intervals import student_interval
from stylex.report.basic_tables import SHOWN
from stylex.report.captions import text
from stylex.report.run import Run, stacked
from stylex.report.table import NOTHING, Row, Table, about, by_k, grid, groups, number, percent

SEEDS = ("experiments", "domain", "method", "protocol", "target_class", "k", "seeds", "mean", "sd")


def seeds_table(run: Run) -> Table:
    """Build the table of mean and deviation from the sufficiency.csv of experiments that differ only by their seed."""
    parts = [pandas.DataFrame(columns=list(SEEDS))]
    for names in seed_groups(run.experiments):
        measured = over_seeds(pandas.concat([run.table(name, "sufficiency") for name in names], ignore_index=True))
        parts.append(measured.assign(experiments=" ".join(names), domain=run.experiments[names[0]].domain))
    data = stacked(parts).reindex(columns=list(SEEDS))

    def spread(row: Row | None) -> str:
        if row is None:
            return NOTHING
        return percent(row["mean"]) + ("" if pandas.isna(row["sd"]) else f" ± {percent(row['sd'])}")

    cells = about("experiments", "domain", "method", "protocol", "target_class", "seeds") | by_k(data, SHOWN, spread)
    lines = groups(data, ("experiments", "method", "protocol", "target_class"), "k")
    block = grid(text("seeds") if lines else f"{text('seeds')} {text('one_seed')}", lines, cells)
    return Table("seeds", "Sufficiency over seeds", data, (block,))


def seed_groups(experiments: Mapping[str, ExperimentConfig]) -> list[list[str]]:
    """Return the names that differ by their seed and title alone, group by group, at least two different seeds in each.

    Classifiers may differ too, if these come of experiments that differ by the seed alone.
    """
    groups: dict[str, list[str]] = {}
    for name, config in experiments.items():
        groups.setdefault(repetition(config, experiments), []).append(name)
    return [names for names in groups.values() if len({experiments[name].seed for name in names}) > 1]


def repetition(config: ExperimentConfig, experiments: Mapping[str, ExperimentConfig]) -> str:
    """Return what an experiment is but for its seed and title: the same text for those that repeat each other."""
    content = config.model_dump(mode="json", exclude={"seed", "title"})
    if config.classifier_of is not None and config.classifier_of in experiments:
        content["classifier_of"] = repetition(experiments[config.classifier_of], experiments)
    return json.dumps(content, sort_keys=True)


def over_seeds(measured: pandas.DataFrame) -> pandas.DataFrame:
    """Return seeds, mean and sd by method, protocol, target class and k; measured: of several experiments.

    sd: with n - 1; empty for one seed. An experiment in which no image could be tested does not count.
    """
    fractions = measured.astype({"fraction": float}).groupby(list(SEEDS[2:6]), sort=False)["fraction"]
    return fractions.agg(seeds="count", mean=lambda known: known.mean(), sd=lambda known: known.std()).reset_index()


def spread(values: Iterable[float | None]) -> dict[str, float]:
    """Return seeds (how many have a number), mean, sd (n - 1) and low, high of the 95 % Student interval."""
    known = [value for value in values if value is not None and not isnan(value)]
    low, high = student_interval(known)
    return {
        "seeds": len(known),
        "mean": mean(known) if known else nan,
        "sd": stdev(known) if len(known) > 1 else nan,
        "low": low,
        "high": high,
    }


def written(row: Row | None, digits: int, scale: float) -> str:
    """Write mean, deviation and interval of a measure; nothing when no training has it."""
    if row is None or pandas.isna(row["mean"]):
        return NOTHING
    middle, sd, low, high = (number(row[name], digits, scale) for name in ("mean", "sd", "low", "high"))
    return middle if pandas.isna(row["sd"]) else f"{middle} ± {sd} ({low} to {high})"
