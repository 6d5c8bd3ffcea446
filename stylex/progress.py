"""Progress of long work: a rich bar with rate and ETA on a terminal, a line every 30 s in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

LOG_INTERVAL = 30.0  # seconds
logger = logging.getLogger("stylex")


class Counter:
    """Counts finished units; `advance` is what the work calls."""

    def __init__(self, label: str, total: int | None, unit: str, done: int = 0) -> None:
        self.label, self.total, self.unit, self.done = label, total, unit, done
        self._first = done
        self._start = self._last_line = time.monotonic()
        self._bar: Progress | None = None
        self.note = ""

    def advance(self, count: int, note: str = "") -> None:
        """Count `count` more units; `note` is shown behind the rate (the current losses, say)."""
        self.done += count
        self.note = note
        if self._bar is not None:
            rate = f"{self.rate():.0f} {self.unit}/s"
            self._bar.update(self._bar.task_ids[0], completed=self.done, rate=rate, note=note)
        elif time.monotonic() - self._last_line >= LOG_INTERVAL:
            self.log()

    def rate(self) -> float:
        """Return units a second since the start."""
        return (self.done - self._first) / max(time.monotonic() - self._start, 1e-9)

    def log(self) -> None:
        """Write one line with count, rate and, where the total is known, the time left."""
        self._last_line = time.monotonic()
        of, left = "", ""
        if self.total is not None:
            seconds = (self.total - self.done) / max(self.rate(), 1e-9)
            of, left = f"/{self.total}", f", {seconds // 60:.0f}:{int(seconds % 60):02d} left"
        logger.info(
            "%s: %d%s %s, %.1f %s/s%s %s",
            self.label, self.done, of, self.unit, self.rate(), self.unit, left, self.note,
        )  # fmt: skip


@contextmanager
def progress(label: str, total: int | None, unit: str = "images", done: int = 0) -> Iterator[Counter]:
    """Yield a `Counter` over `total` units, of which `done` were finished by an earlier run; None: nobody knows."""
    counter = Counter(label, total, unit, done)
    if not sys.stderr.isatty():
        yield counter
        counter.log()
        return
    from rich.console import Console  # only here: whoever plans needs no bar
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate, note = TextColumn("{task.fields[rate]}"), TextColumn("{task.fields[note]}")
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn(), note
    with Progress(*columns, console=Console(stderr=True)) as bar:
        bar.add_task(label, total=total, completed=done, rate="", note="")
        counter._bar = bar
        yield counter
