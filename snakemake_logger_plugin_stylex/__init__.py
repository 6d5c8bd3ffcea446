"""What a person wants to read while Snakemake runs: `snakemake --logger stylex`, as `make demo` does.

One line a finished stage on standard output, with what it did, its seconds and the time left for the whole; on a
terminal a live line of what is running below them. Snakemake's own words stay in .snakemake/log.
"""

from __future__ import annotations

import sys
import time
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

from snakemake_logger_plugin_stylex.estimate import NO_STAGES, Estimate

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
        self.live = Live(console=self.console, get_renderable=self._running) if self.console.is_terminal else None
        if self.live:
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

    def _running(self) -> Text:
        return Text(self.stages.running())

    @property
    def writes_to_stream(self) -> bool:
        """On standard output, in place of Snakemake's own handler."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Not instead of the stream."""
        return False

    @property
    def has_filter(self) -> bool:
        """So that --quiet keeps no event from it."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Its lines are its own."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """Events suffice."""
        return False


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
                if not rule or rule in NO_STAGES:
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
