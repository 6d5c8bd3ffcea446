"""How much longer: what the stages cost in proportion to each other, and how fast this machine is so far."""

from __future__ import annotations

import time
from collections.abc import Mapping

NO_STAGES = {"all", "default", "total"}  # rules that do nothing, and the sum in Snakemake's counts
OTHER = 4.0
# About the seconds of one job of the demo, of which only the proportions count.
SECONDS = {
    "train": 165.0,
    "counterfactuals": 58.0,
    "oracle": 50.0,
    "effects_aside": 50.0,
    "backbone": 38.0,
    "classifier": 28.0,
    "effects": 27.0,
    "ganalyze": 20.0,
    "figures": 18.0,
    "explanations": 14.0,
    "observer": 11.0,
    "frechet": 8.0,
}


class Estimate:
    """Work planned and done, in the seconds of the table above."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.counts: dict[str, int] = {}
        self.done, self.work, self.seconds = 0, 0.0, 0.0

    @property
    def total(self) -> int:
        """Stages of the whole run."""
        return sum(self.counts.values())

    def plan(self, counts: Mapping[str, int]) -> None:
        """Take how many jobs of each rule the run has, as Snakemake counts them."""
        self.counts = {rule: count for rule, count in counts.items() if rule not in NO_STAGES}

    def finished(self, rule: str, seconds: float) -> None:
        """Count a job that took `seconds`."""
        self.done += 1
        self.work += SECONDS.get(rule, OTHER)
        self.seconds += seconds

    def left(self, running: Mapping[str, list[float]]) -> str:
        """Return the time left as text, at the end that of all, or nothing while too little is done to tell.

        running: the seconds of what runs, by rule.
        """
        elapsed = time.monotonic() - self.start
        if self.done == self.total:
            return f"; {elapsed // 60:.0f} min {elapsed % 60:.0f} s in all"
        planned = sum(SECONDS.get(rule, OTHER) * count for rule, count in self.counts.items())
        speed = self.work / self.seconds if self.seconds else 0.0
        begun = sum(min(SECONDS.get(rule, OTHER), speed * each) for rule, times in running.items() for each in times)
        part = (self.work + begun) / planned if planned else 1.0
        if part < 0.05:
            return ""
        minutes = elapsed * (1 - part) / part / 60
        return f"; about {minutes:.0f} min left" if minutes >= 1 else "; less than a minute left"
