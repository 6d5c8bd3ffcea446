"""Fetch one pinned file over HTTP: resumed, verified, renamed into place only when it is the right one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from stylex.artifacts import sha256, storage_errors
from stylex.datasets.catalog import PinnedFile
from stylex.errors import ChecksumError, DownloadError
from stylex.progress import progress

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT = 5.0  # seconds: without a network, the next mirror is tried soon
READ_TIMEOUT = 30.0  # seconds without a byte


def fetch(url: str, file: PinnedFile, target: Path) -> None:
    """Download `url` to `target`, continuing `<target>.part` if an earlier attempt left one.

    Raises `DownloadError` when the server cannot be read to the end (the part stays, to be resumed), `ChecksumError`
    when what it serves is not the pinned file (nothing stays), `StorageError` when the target cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        resumed = part.exists()
        _receive(url, file, part)
        if resumed and sha256(part) != file.sha256:
            part.unlink()  # the earlier bytes may have come from another file: once more, from the start
            _receive(url, file, part)
        try:
            verify(part, file, url)
        except ChecksumError:
            part.unlink()
            raise
        os.replace(part, target)
        _fsync_folder(target.parent)


def verify(path: Path, file: PinnedFile, origin: str) -> None:
    """Raise `ChecksumError` unless `path`, which came from `origin`, is the pinned file."""
    got = sha256(path)
    if got != file.sha256:
        raise ChecksumError(
            f"{file.name} from {origin} has sha256 {got}, expected {file.sha256}: it was damaged on the way or replaced"
            " at its source; try again, or use another source"
        )


def is_present(path: Path, file: PinnedFile) -> bool:
    """Say whether `path` is the pinned file."""
    return path.is_file() and path.stat().st_size == file.size and sha256(path) == file.sha256


def _receive(url: str, file: PinnedFile, part: Path) -> None:
    """Append to `part` what is missing from it."""
    import httpx

    start = part.stat().st_size if part.exists() else 0
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
