"""One process at a time, for work that goes on where it stopped: a lock, and who holds it.

The kernel releases it when the process ends, however that is; so a lock of the dead, as before a requeue, bars nobody.
On a network file system the server does, after its lease when a whole machine has gone: hence `PATIENCE`. What the file
says is of the holder alone, and means nothing without the lock.
"""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from stylex.errors import AtWorkError

PATIENCE = 120.0  # seconds to wait for what another machine holds
GLANCE = 1.0
logger = logging.getLogger("stylex")


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold the lock `path`, a file that exists meanwhile; raise `AtWorkError` when another process holds it.

    what: is being done, as `'mnist' is being trained`. Folders that are made for the file are removed if nothing else
    is in them at the end.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    stream, end = _taken(path), time.monotonic() + PATIENCE
    while stream is None:
        host, process, job = _holder(path)
        if host == platform.node() or time.monotonic() >= end:
            remedy = f"`scancel {job}`" if job else f"`kill {process}`"
            raise AtWorkError(
                f"{what} by process {process} on {host} already: wait for its end, or end it there ({remedy})"
            )
        time.sleep(GLANCE)
        stream = _taken(path)
    with stream:
        stream.truncate(0)
        stream.write(f"{platform.node()} {os.getpid()} {os.environ.get('SLURM_JOB_ID', '')}")
        stream.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            for folder in made:
                with suppress(OSError):
                    folder.rmdir()


def _taken(path: Path) -> TextIO | None:
    """Return the file with its lock; None: another process has that."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = path.open("a", encoding="utf-8")
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.close()
                return None
            except OSError as error:
                logger.warning("cannot lock %s (%s): do not start the same a second time", path, error.strerror)
                return stream
            if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                return stream
        except FileNotFoundError:
            pass
        # Another process has ended meanwhile, and removed the file, or its folder.


def _holder(path: Path) -> tuple[str, str, str]:
    """Return host, process and Slurm job of the holder, "unknown" before it has said so."""
    try:
        host, process, job = path.read_text(encoding="utf-8").split(" ")
    except (OSError, ValueError):
        return "unknown", "unknown", ""
    return host, process, job
