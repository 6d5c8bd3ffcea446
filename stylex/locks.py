"""Locks between processes, of this machine and, where the file system has locks, of others.

The kernel releases a lock when its process ends, however that is; so a lock of the dead, as before a requeue, bars
nobody. On a network file system the server does, after its lease when a whole machine has gone: hence `PATIENCE`.
"""

from __future__ import annotations

import fcntl
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TextIO

from stylex.errors import AtWorkError, StorageError

PATIENCE = 120.0  # seconds to wait for what another machine holds
POLL_INTERVAL = 1.0  # seconds
logger = logging.getLogger("stylex")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of `path`, a file that exists meanwhile, waiting for others; an empty file is removed at the end.

    Raises `StorageError` where the file system has no locks.
    """
    stream = _lock(path)
    if stream is None:
        logger.info("another process is at work on %s: waiting for it", path)
        stream = _lock(path, wait=True)
        assert stream is not None
    with stream:
        try:
            yield
        finally:
            if path.exists() and path.stat().st_size == 0:
                path.unlink()


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold the lock `path`, a file that names its holder meanwhile; raise `AtWorkError` when another process holds it.

    what: is being done, as `'mnist' is being trained`. Folders that are made for the file are removed if nothing else
    is in them at the end.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    end = time.monotonic() + PATIENCE
    try:
        while (stream := _lock(path)) is None:
            host, process, job = _holder(path)
            if host == platform.node() or time.monotonic() >= end:
                remedy = f"`scancel {job}`" if job else f"`kill {process}`"
                raise AtWorkError(
                    f"{what} by process {process} on {host} already: wait for its end, or end it there ({remedy})"
                )
            time.sleep(POLL_INTERVAL)
    except StorageError as error:
        logger.warning("%s; do not start the same a second time", error)
        stream = nullcontext()
    with stream:
        path.write_text(f"{platform.node()} {os.getpid()} {os.environ.get('SLURM_JOB_ID', '')}", encoding="utf-8")
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            for folder in made:
                with suppress(OSError):
                    folder.rmdir()


def _lock(path: Path, wait: bool = False) -> TextIO | None:
    """Return the file with its lock; None: another process has that."""
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = path.open("a", encoding="utf-8")
        except FileNotFoundError:  # another process has removed the folder meanwhile
            continue
        try:
            fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.close()
            return None
        except OSError as error:
            stream.close()
            raise StorageError(f"cannot lock {path}: {error.strerror}; use a file system with file locks") from None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
                return stream
        stream.close()  # another process has removed or renamed the file meanwhile


def _holder(path: Path) -> tuple[str, str, str]:
    """Return host, process and Slurm job of the holder, "unknown" before it has written them."""
    try:
        host, process, job = path.read_text(encoding="utf-8").split(" ")
    except (OSError, ValueError):
        return "unknown", "unknown", ""
    return host, process, job
