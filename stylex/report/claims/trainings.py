"""Two methods over several trainings: the unit of a claim about how models are trained is a training, not an image.

Comparisons of experiments that differ by their seed alone repeat each other. Their differences are independent, so
Student's interval of the mean decides; one comparison says how images vary, and nothing of how trainings do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stylex.evaluation.intervals import student_interval
from stylex.report.claims.model import Finding, Run, Verdict, beyond
from stylex.report.seeds import repetition

STUDENT_RULE = (
    "Experiments that differ by their seed alone are paired by seed. With at least two seeds of each: the 95 % Student"
    " interval of the mean difference over seeds lies above 0: supports. Below: contradicts. Across: does not decide."
)
ONE_SEED_RULE = f"{STUDENT_RULE} With one seed nothing is decided, however many images there are."


@dataclass(frozen=True)
class Comparison:
    """Two methods that explain one classifier, each in an experiment, and how far the first is ahead."""

    where: str
    ours: str
    theirs: str
    difference: float  # of fractions, in [-1, 1]
    sentence: str  # what there is to say of this one alone


def repeated(run: Run, comparisons: Iterable[Comparison]) -> list[list[Comparison]]:
    """Return those that repeat each other with another seed together, each seed once; the two sides share a seed."""
    groups: dict[tuple[str, str], dict[int, Comparison]] = {}
    for each in comparisons:
        ours, theirs = run.experiments[each.ours], run.experiments[each.theirs]
        key = each.ours, each.theirs
        if ours.seed == theirs.seed:
            key = repetition(ours, run.experiments), repetition(theirs, run.experiments)
        groups.setdefault(key, {}).setdefault(ours.seed, each)
    return [list(group.values()) for group in groups.values()]


def over_seeds(run: Run, group: list[Comparison], alone: Verdict, anchor: str) -> Finding:
    """Judge comparisons that differ by their seed, as `STUDENT_RULE` says; `alone`: the verdict when there is one."""
    first = group[0]
    if len(group) == 1:
        return Finding(first.where, alone, first.sentence, anchor)
    differences = [each.difference for each in group]
    low, high = student_interval(differences)
    seeds = "; ".join(
        f"seed {run.experiments[each.ours].seed} ({_sides(each)}) {points(each.difference)}" for each in group
    )
    sentence = (
        f"Differences in points: {seeds}. Mean of {len(group)} seeds: {points(sum(differences) / len(group))} (95 %"
        f" Student interval {points(low)} to {points(high)})."
    )
    return Finding(first.where, beyond(low, high, 0), sentence, anchor)


def _sides(comparison: Comparison) -> str:
    if comparison.ours == comparison.theirs:
        return comparison.ours
    return f"{comparison.ours} against {comparison.theirs}"


def points(difference: float) -> str:
    """Write a difference of fractions in percentage points, cut at the ends of what is possible."""
    return f"{100 * min(max(difference, -1), 1):+.1f}"
