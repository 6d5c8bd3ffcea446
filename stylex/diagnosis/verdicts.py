"""What the measures of a trained model say: which of its parts has failed, by which number, and what fixes it.

The criteria, their limits and remedies are in verdicts.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import yaml

GOOD = "good"


@dataclass(frozen=True)
class Criterion:
    """What a measure must come to, and what has failed otherwise."""

    text: str  # what is measured
    limit: float
    verdict: str
    remedy: str
    scale: str = "constant"
    percent: bool = True  # written as a percentage
    at_least: bool = True

    def limit_of(self, classes: int) -> float:
        """Return the limit for a classifier of so many classes."""
        chance = 1 / classes
        return {
            "constant": self.limit,
            "above_chance": chance + self.limit * (1 - chance),
            "chance": self.limit / classes,
        }[self.scale]


CRITERIA = {
    name: Criterion(**content)
    for name, content in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")).items()
}


@dataclass(frozen=True)
class Finding:
    """A criterion applied to a model."""

    measure: str  # a key of CRITERIA
    value: float
    limit: float

    @property
    def criterion(self) -> Criterion:
        """The criterion of the measure."""
        return CRITERIA[self.measure]

    @property
    def passes(self) -> bool:
        """Whether the value is on the good side of its limit."""
        return self.value >= self.limit if self.criterion.at_least else self.value <= self.limit

    @property
    def verdict(self) -> str:
        """What has failed by this measure, or that it is good."""
        return GOOD if self.passes else self.criterion.verdict

    @property
    def bound(self) -> str:
        """What is good, in words."""
        return f"{'at least' if self.criterion.at_least else 'at most'} {self.written(self.limit)}"

    def written(self, number: float) -> str:
        """Write a number of this measure with its unit."""
        return f"{100 * number:.1f} %" if self.criterion.percent else f"{number:.2f}"


def findings_of(measures: Mapping[str, float], classes: int) -> list[Finding]:
    """Return a finding for each measure that is a number, in the order of `CRITERIA`; classes: of the classifier."""
    return [
        Finding(name, measures[name], criterion.limit_of(classes))
        for name, criterion in CRITERIA.items()
        if not isnan(measures.get(name, float("nan")))
    ]


def failures(findings: list[Finding]) -> list[str]:
    """Return the verdicts other than good, without repetition, in the order of repair."""
    return list(dict.fromkeys(finding.verdict for finding in findings if not finding.passes))


def sentences(findings: list[Finding]) -> list[str]:
    """Return a line for each number that has failed, or the one that all are good."""
    lines = [
        f"{finding.verdict}: {finding.criterion.text}: {finding.written(finding.value)}, good is {finding.bound};"
        f" {finding.criterion.remedy}"
        for finding in findings
        if not finding.passes
    ]
    return lines or [f"{GOOD}: each of {len(findings)} measures is within its limit"]
