"""The rules by which numbers decide about a claim, and how their numbers are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from stylex.config import ExperimentConfig
from stylex.evaluation.intervals import student_interval, wilson_interval
from stylex.report.repeated import repetition
from stylex.report.table import percent

LEVEL = 0.05  # of significance


class Verdict(StrEnum):
    """What a number says about a claim by its rule."""

    SUPPORTS = "supports"
    CONTRADICTS = "contradicts"
    UNDECIDED = "does not decide"
    ONE_SEED = "one seed: not decided"


OPPOSITE = {Verdict.SUPPORTS: Verdict.CONTRADICTS, Verdict.CONTRADICTS: Verdict.SUPPORTS}


@dataclass(frozen=True)
class Finding:
    """What one measure of one experiment or domain says."""

    where: str
    verdict: Verdict
    sentence: str
    anchor: str


@dataclass(frozen=True)
class Evidence:
    """What there is to say of one experiment or domain, and the numbers that a rule judges.

    anchor: where on the page the numbers come from. sides: the two experiments that are compared, where there are two.
    """

    where: str
    anchor: str
    sentence: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    sides: tuple[str, str] | None = None

    def judged(self, verdict: Verdict, sentence: str | None = None) -> Finding:
        """Return the finding; sentence: in place of its own."""
        return Finding(self.where, verdict, sentence or self.sentence, self.anchor)


Experiments = Mapping[str, ExperimentConfig]
Rule = Callable[..., Iterator[Finding]]  # of the experiments, the evidence and the parameters of claims.yaml


def interval(experiments: Experiments, evidence: Iterable[Evidence], supports: str = "above", **bound: float):
    """Judge an interval (low, high): beyond the bound it supports or contradicts, across it does not decide."""
    for one in evidence:
        verdict = beyond(**{**bound, **one.numbers})
        yield one.judged(OPPOSITE.get(verdict, verdict) if supports == "below" else verdict)


def test(experiments: Experiments, evidence: Iterable[Evidence]) -> Iterator[Finding]:
    """Judge a difference by its test: p below `LEVEL` decides for its sign."""
    return (one.judged(tested(**one.numbers)) for one in evidence)


def count(experiments: Experiments, evidence: Iterable[Evidence]) -> Iterator[Finding]:
    """Judge counts held against bounds: the numbers `enough` and `too_few` are truth values."""
    for one in evidence:
        verdict = Verdict.CONTRADICTS if one.numbers["too_few"] else Verdict.UNDECIDED
        yield one.judged(Verdict.SUPPORTS if one.numbers["enough"] else verdict)


def seeds(experiments: Experiments, evidence: Iterable[Evidence], single: str | None = None) -> Iterator[Finding]:
    """Judge two methods over several trainings: the unit of a claim about how models are trained is a training.

    Comparisons of experiments that differ by their seed alone repeat each other. Their differences are independent, so
    Student's interval of the mean decides. One comparison says how images vary, and nothing of how trainings do: it
    decides nothing, or, where the claim is about one model (single: test), its test does.
    """
    groups: dict[tuple[str, str], dict[int, Evidence]] = {}
    for one in evidence:
        ours, theirs = key = one.sides or (one.where, one.where)
        seed = experiments[ours].seed
        if seed == experiments[theirs].seed:
            key = repetition(experiments[ours], experiments), repetition(experiments[theirs], experiments)
        groups.setdefault(key, {}).setdefault(seed, one)
    return (_over_seeds(group, single) for group in groups.values())


def _over_seeds(group: Mapping[int, Evidence], single: str | None) -> Finding:
    first = next(iter(group.values()))
    if len(group) == 1:
        return first.judged(tested(**first.numbers) if single == "test" else Verdict.ONE_SEED)
    differences = [one.numbers["difference"] for one in group.values()]
    low, high = student_interval(differences)
    listed = "; ".join(
        f"seed {seed} ({' against '.join(dict.fromkeys(one.sides or (one.where,)))})"
        f" {points(one.numbers['difference'])}"
        for seed, one in group.items()
    )
    sentence = (
        f"Differences in points: {listed}. Mean of {len(group)} seeds: {points(sum(differences) / len(group))} (95 %"
        f" Student interval {points(low)} to {points(high)})."
    )
    return first.judged(beyond(low, high, 0), sentence)


def over_trainings(experiments: Experiments, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Make one finding of those about experiments that differ by their seed alone: what all of them say, or nothing.

    The order is that of the first of each; a finding that is not about an experiment stays as it is.
    """
    groups: dict[tuple[str, int], list[Finding]] = {}
    seen: Counter[str] = Counter()
    for finding in findings:
        known = experiments.get(finding.where)
        key = repetition(known, experiments) if known else finding.where
        groups.setdefault((key, seen[finding.where]), []).append(finding)
        seen[finding.where] += 1
    for group in groups.values():
        verdicts, seeds = Counter(finding.verdict for finding in group), len(group)
        if seeds == 1:
            yield group[0]
            continue
        verdict = group[0].verdict if len(verdicts) == 1 else Verdict.UNDECIDED
        counted = ", ".join(f"{each.value}: {number} of {seeds}" for each, number in verdicts.most_common())
        said = " ".join(f"Seed {experiments[each.where].seed}: {each.sentence}" for each in group)
        yield Finding(group[0].where, verdict, f"{seeds} trainings ({counted}). {said}", group[0].anchor)


RULES: dict[str, Rule] = {"interval": interval, "test": test, "count": count, "seeds": seeds}


def beyond(low: float, high: float, bound: float) -> Verdict:
    """Judge an interval: above the bound it supports, below it contradicts, across it does not decide."""
    if low > bound:
        return Verdict.SUPPORTS
    return Verdict.CONTRADICTS if high < bound else Verdict.UNDECIDED


def tested(difference: float, p: float, **_: Any) -> Verdict:
    """Judge a difference by its test."""
    if not p < LEVEL:
        return Verdict.UNDECIDED
    return Verdict.SUPPORTS if difference > 0 else Verdict.CONTRADICTS


def share(successes: int, n: int, text: str, interval: tuple[float, float] | None = None) -> str:
    """Write a fraction as `70.0 % of 200 images flip (95 % interval 63.3–75.9 %)`; `text`: `images flip`.

    interval: Wilson's by default, which takes what is counted as independent.
    """
    low, high = interval or wilson_interval(successes, n)
    return f"{percent(successes / n)} % of {int(n)} {text} (95 % interval {percent(low)}–{percent(high)} %)"


def points(difference: float) -> str:
    """Write a difference of fractions in percentage points, cut at the ends of what is possible."""
    return f"{100 * min(max(difference, -1), 1):+.1f}"


def p_value(p: float) -> str:
    """Write a p-value; tiny ones by a bound, none where the test has nothing to compare."""
    if p != p:
        return "p not defined"
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"
