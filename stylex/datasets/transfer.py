"""Fetch one pinned file over HTTP: resumed, verified, renamed into place only when it is the right one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stylex.artifacts import storage_errors
from stylex.datasets import cache
from stylex.datasets.pins import PinnedFile, is_present, verify
from stylex.errors import ChecksumError, DownloadError, StorageError
from stylex.progress import progress

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT = 5.0  # seconds: without a network, the next mirror is tried soon
READ_TIMEOUT = 30.0  # seconds without a byte


def fetch(url: str, file: PinnedFile, target: Path) -> str:
    """Bring `file` to `target` from the shared cache or from `url`, and return which it was.

    Continues `<target>.part` if an earlier attempt left one; a file without a digest is not continued, as nothing would
    tell a mixture of two versions. Processes that want the same target wait for each other. Raises `DownloadError` when
    the server cannot be read to the end (the part stays, to be resumed), `ChecksumError` when what it serves is not
    the pinned file (nothing stays), `StorageError` when the target cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(part):
            if is_present(target, file):  # another process was here meanwhile
                return url
            if cache.take(file, target):
                return cache.VARIABLE
            _complete(url, file, part)
            os.replace(part, target)
            _fsync_folder(target.parent)
        cache.keep(file, target)
    return url


@contextmanager
def _locked(part: Path) -> Iterator[None]:
    """Hold the lock of `part`, which exists meanwhile; a part that is empty at the end is removed."""
    while True:
        stream = part.open("ab")
        try:
            fcntl.flock(stream, fcntl.LOCK_EX)
        except OSError as error:
            stream.close()
            raise StorageError(f"cannot lock {part}: {error.strerror}; use a file system with file locks") from None
        if part.exists() and os.path.samestat(os.fstat(stream.fileno()), part.stat()):
            break
        stream.close()  # the process that held it has renamed or removed it
    with stream:
        try:
            yield
        finally:
            if part.exists() and part.stat().st_size == 0:
                part.unlink()


def _complete(url: str, file: PinnedFile, part: Path) -> None:
    """Make `part` the pinned file, or remove it and raise `ChecksumError`."""
    if not file.digests:
        os.truncate(part, 0)
    resumed = part.stat().st_size > 0
    _receive(url, file, part)
    if resumed and not is_present(part, file):
        os.truncate(part, 0)  # the earlier bytes may have come from another file: once more, from the start
        _receive(url, file, part)
    try:
        verify(part, file, url)
    except ChecksumError:
        part.unlink()
        raise


def _receive(url: str, file: PinnedFile, part: Path) -> None:
    """Append to `part` what is missing from it."""
    import httpx

    start = part.stat().st_size
    if start >= file.size:
        return
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    timeout = httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT)
    try:
        with httpx.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
            _write(response, _first_byte(response, start, url), file, part)
    except httpx.HTTPError as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DownloadError(f"{url} cannot be read: {reason}") from None
    received = part.stat().st_size
    if received < file.size:
        raise DownloadError(
            f"{url} ended after {received} of {file.size} bytes: the download is truncated; run again to resume it"
        )


def _first_byte(response: httpx.Response, start: int, url: str) -> int:
    """Return the position of the first byte that the server sends: `start`, or 0 if it does not know ranges."""
    if response.status_code == 200:
        return 0
    content_range = response.headers.get("Content-Range", "")
    if response.status_code == 206 and content_range.startswith(f"bytes {start}-"):
        return start
    raise DownloadError(f"{url} answered {response.status_code} {response.reason_phrase} {content_range}".rstrip())


def _write(response: httpx.Response, start: int, file: PinnedFile, part: Path) -> None:
    """Write the body to `part` from position `start` on, one byte beyond the pinned size at the most."""
    with part.open("ab") as stream, progress(f"download {file.name}", file.size, "bytes", start) as counter:
        stream.truncate(start)
        missing = file.size - start
        for chunk in response.iter_raw():
            stream.write(chunk[: missing + 1])
            counter.advance(len(chunk))
            missing -= len(chunk)
            if missing < 0:  # longer than the pinned file: the checksum will not match
                break
        stream.flush()
        os.fsync(stream.fileno())


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
