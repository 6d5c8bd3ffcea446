"""A lock between processes, on this machine and, where the file system has locks, on others."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stylex.errors import StorageError

logger = logging.getLogger("stylex")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of `path`, a file that exists meanwhile; if it is empty at the end, it is removed.

    Raises `StorageError` where the file system has no locks.
    """
    while True:
        stream = path.open("ab")
        try:
            _wait(stream.fileno(), path)
        except OSError as error:
            stream.close()
            raise StorageError(f"cannot lock {path}: {error.strerror}; use a file system with file locks") from None
        if path.exists() and os.path.samestat(os.fstat(stream.fileno()), path.stat()):
            break
        stream.close()  # the process that held it has renamed or removed it
    with stream:
        try:
            yield
        finally:
            if path.exists() and path.stat().st_size == 0:
                path.unlink()


def _wait(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.info("another process is at work on %s: waiting for it", path)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
