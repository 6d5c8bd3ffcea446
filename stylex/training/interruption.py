"""Why a training should stop now: a signal, or the end of its time limit or of its Slurm job."""

from __future__ import annotations

import math
import os
import shutil
import signal
import subprocess
import time
from datetime import datetime
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
DEADLINE_MARGIN = 60.0  # seconds kept for the last checkpoint


class Interruption:
    """Catches SIGTERM, SIGINT and SIGUSR1 while it is entered; the second of a kind does what it always does."""

    def __init__(self, time_limit_minutes: float | None) -> None:
        """`time_limit_minutes`: counted from now; None: no limit but that of the Slurm job around us."""
        limit = math.inf if time_limit_minutes is None else time_limit_minutes * 60
        self._deadline = time.monotonic() + min(limit, job_seconds_left()) - DEADLINE_MARGIN
        self._signal: str | None = None
        self._handlers: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        self._handlers = {each: signal.signal(each, self._catch) for each in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for each, handler in self._handlers.items():
            signal.signal(each, handler)  # pyright: ignore[reportArgumentType]

    def reason(self) -> str | None:
        """Return why to stop, or None to go on."""
        return self._signal or ("time limit" if time.monotonic() > self._deadline else None)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        self._signal = signal.Signals(number).name
        signal.signal(number, self._handlers[signal.Signals(number)])  # pyright: ignore[reportArgumentType]


def job_seconds_left() -> float:
    """Return the seconds until the Slurm job that we are in will end; inf outside of one, or when Slurm does not say.

    On a busy file system minutes may pass between the start of a job and that of the training.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or shutil.which("squeue") is None:
        return math.inf
    command = ["squeue", "--noheader", f"--jobs={job}", "--format=%e"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
        return datetime.fromisoformat(answer).timestamp() - time.time()
    except (ValueError, subprocess.TimeoutExpired):  # as "NONE": a partition without a limit
        return math.inf
