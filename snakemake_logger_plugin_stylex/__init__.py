"""What a person wants to read while Snakemake runs: `snakemake --logger stylex`, as `make demo` does.

One line a finished stage on standard output, with what it did, its seconds and the time left for the whole; on a
terminal a live line of what is running below them. Snakemake's own words stay in .snakemake/log.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from logging import LogRecord
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

__all__ = ["LogHandler", "LogHandlerSettings"]


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Snakemake's interface: options of the command line, `--logger-stylex-record FILE`."""

    record: str | None = field(
        default=None, metadata={"help": "A file to which the lines are appended, too.", "type": str}
    )


class LogHandler(LogHandlerBase):
    """Snakemake's interface: it finds the class by this name."""

    def __post_init__(self) -> None:
        self.console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
        self.stages = Stages()
        self.live = None
        if self.console.is_terminal:
            self.live = Live(console=self.console, get_renderable=lambda: Text(self.stages.running()))
            self.live.start()

    def emit(self, record: LogRecord) -> None:
        """Write what the record says to a person, if anything."""
        line = self.stages.told(vars(record))
        if line is None:
            return
        self.console.print(Text(line))
        if isinstance(self.settings, LogHandlerSettings) and self.settings.record:
            with Path(self.settings.record).open("a") as file:
                print(line, file=file)

    def close(self) -> None:
        """Take the live line away."""
        if self.live:
            self.live.stop()
        super().close()

    # Lines on standard output in place of Snakemake's own, all from events, not changed by --quiet or by its format.
    writes_to_stream = has_filter = has_formatter = True  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    writes_to_file = needs_rulegraph = False  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]


NO_STAGE = re.compile(
    "all|data|default|experiment_.*|total"
)  # rules that do nothing, and the sum in Snakemake's counts
OTHER = 4.0
# About the seconds of one job of the demo, of which only the proportions count.
SECONDS = {
    "train": 165.0, "counterfactuals": 58.0, "oracle": 50.0, "effects_aside": 50.0, "backbone": 38.0,
    "classifier": 28.0, "effects": 27.0, "ganalyze": 20.0, "figures": 18.0,
    "explanations": 14.0, "observer": 11.0, "frechet": 8.0,
}  # fmt: skip


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
        self.counts = {rule: count for rule, count in counts.items() if not NO_STAGE.fullmatch(rule)}

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


class Stages:
    """What runs and what has run, from Snakemake's events."""

    def __init__(self) -> None:
        self.estimate = Estimate()
        self.started: dict[int, tuple[str, str, float]] = {}  # by job: rule, what it does, when
        self.failed = False

    def told(self, event: dict[str, Any]) -> str | None:
        """Take an event; return the line to write."""
        match event.get("event"):
            case LogEvent.RUN_INFO:
                self.estimate.plan(event["stats"])
                return f"{self.estimate.total} stages"
            case LogEvent.JOB_INFO:
                does = event["rule_msg"] or event["rule_name"]
                self.started[event["jobid"]] = event["rule_name"], does, time.monotonic()
            case LogEvent.JOB_FINISHED:
                rule, does, start = self.started.pop(event["job_id"], ("", "", 0.0))
                if not rule or NO_STAGE.fullmatch(rule):
                    return None
                seconds = time.monotonic() - start
                self.estimate.finished(rule, seconds)
                place = f"[{self.estimate.done:>{len(str(self.estimate.total))}}/{self.estimate.total}]"
                return f"{place} {seconds:4.0f} s  {does}{self.estimate.left(self._elapsed())}"
            case LogEvent.JOB_ERROR:
                self.failed = True
                _, does, _ = self.started.pop(event["jobid"], ("", event["rule_name"], 0.0))
                logs = ", ".join(map(str, event["log"] or []))
                return f"failed: {does}" + (f"; see {logs}" if logs else "")
            case LogEvent.ERROR if not self.failed:  # of no stage: the workflow itself
                return str(event["msg"])
        return None

    def running(self) -> str:
        """Return one line with what runs now, and for how long."""
        now = time.monotonic()
        return "  ".join(f"{does} ({now - start:.0f} s)" for _, does, start in self.started.values())

    def _elapsed(self) -> dict[str, list[float]]:
        now, elapsed = time.monotonic(), dict[str, list[float]]()
        for rule, _, start in self.started.values():
            elapsed.setdefault(rule, []).append(now - start)
        return elapsed
