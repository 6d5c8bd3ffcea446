"""The work of a server: one thread for each kind, so that a search of minutes never holds up a slider."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from stylex.errors import StylexError

Result = TypeVar("Result")


class BusyError(StylexError):
    """More work waits than one server takes."""


class StoppedError(StylexError):
    """Nobody waits for the result any more."""


class Lane:
    """One thread, and a bounded number of jobs that wait for it."""

    def __init__(self, kind: str, waiting: int) -> None:
        """kind: what waits, in the plural; waiting: at most so many besides the one at work."""
        self.kind, self.waiting = kind, waiting
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=kind)
        self._places = threading.BoundedSemaphore(waiting + 1)

    async def run(self, job: Callable[[], Result]) -> Result:
        """Return what `job` returns, in its turn; raise `BusyError` at once when too many wait, or what it raises."""
        if not self._places.acquire(blocking=False):
            raise BusyError(f"{self.waiting} {self.kind} wait already; try again in a minute")
        future = self._executor.submit(job)
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let the job at work end, and begin no other."""
        self._executor.shutdown(wait=False, cancel_futures=True)
