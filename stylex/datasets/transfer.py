"""Fetch one pinned file over HTTP: resumed, verified, renamed into place only when it is the right one.

A large file comes over several connections where the server allows it. Whatever goes wrong with parts of a file (no
ranges, a file that was replaced meanwhile, a mixture that an earlier attempt left), one request for the whole decides.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stylex.artifacts import storage_errors
from stylex.datasets import cache, spans
from stylex.datasets.locks import locked
from stylex.datasets.pins import PinnedFile, is_present, verify
from stylex.datasets.spans import Span
from stylex.errors import ChecksumError, DownloadError
from stylex.progress import progress

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT = 5.0  # seconds: without a network, the next mirror is tried soon
READ_TIMEOUT = 30.0  # seconds without a byte
CONNECTIONS = 4  # of a large file
LARGE = 64 * 2**20  # bytes
RECORD_INTERVAL = 1.0  # seconds: what a killed download of a large file fetches again


class _RangesRefusedError(Exception):
    """The server sends the whole file where a part was asked for: it knows no ranges, or the file was replaced."""


def fetch(url: str, file: PinnedFile, target: Path, large: int = LARGE) -> str:
    """Bring `file` to `target` from the shared cache or from `url`, and return which it was.

    From `large` bytes on, a file comes over several connections. Continues `<target>.part` if an earlier attempt left
    one; a file without a digest comes over one connection and is not continued, as nothing would tell a mixture of two
    versions. Processes that want the same target wait for each other. Raises `DownloadError` when the server cannot be
    read to the end (the part stays, to be resumed), `ChecksumError` when what it serves is not the pinned file (nothing
    stays), `StorageError` when the target cannot be written.
    """
    part = target.with_name(f"{target.name}.part")
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(part):
            if is_present(target, file):  # another process was here meanwhile
                return url
            if cache.take(file, target):
                return cache.VARIABLE
            file = file if file.size else replace(file, size=_size_of(url))
            _complete(url, file, part, CONNECTIONS if file.length >= large and file.digests else 1)
            spans.record_path(part).unlink(missing_ok=True)
            os.replace(part, target)
            _fsync_folder(target.parent)
        cache.keep(file, target)
    return url


def _complete(url: str, file: PinnedFile, part: Path, connections: int) -> None:
    """Make `part` the pinned file, or empty it and raise `ChecksumError`."""
    if not file.digests or (connections == 1 and spans.record_path(part).exists()):
        spans.clear(part)
    whole = connections == 1 and part.stat().st_size == 0
    try:
        _receive(url, file, part, connections)
        verify(part, file, url)
    except (ChecksumError, _RangesRefusedError):
        spans.clear(part)
        if whole:
            raise
        _complete(url, file, part, 1)


def _receive(url: str, file: PinnedFile, part: Path, connections: int) -> None:
    """Bring to `part` what is missing from it."""
    import httpx

    transfer = _Transfer(url, file, part, spans.plan(part, file.length, connections), in_spans=connections > 1)
    if not transfer.missing:
        return
    try:
        with _client() as client:
            if transfer.in_spans:
                client.headers.update(_if_unchanged(client, url, file.length))
                spans.begin(part, file.length, transfer.missing)
            while True:
                try:
                    return transfer.run(client, connections)
                except (httpx.HTTPError, DownloadError):
                    if connections == 1:
                        raise
                    connections //= 2  # there are servers that allow an address one or two at a time
    except httpx.HTTPError as error:
        raise DownloadError(f"{url} cannot be read: {_one_line(error)}") from None


def _size_of(url: str) -> int:
    """Return the size that the server states; raise `DownloadError` when it states none."""
    import httpx

    try:
        with _client() as client, client.stream("GET", url) as response:
            _is_partial(response, 0, url)
            return int(response.headers["Content-Length"])
    except (httpx.HTTPError, KeyError) as error:
        reason = "the server does not say how long it is" if isinstance(error, KeyError) else _one_line(error)
        raise DownloadError(f"{url} cannot be read: {reason}") from None


def _client() -> httpx.Client:
    import httpx

    timeout = httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT)
    return httpx.Client(timeout=timeout, headers={"Accept-Encoding": "identity"}, follow_redirects=True)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _if_unchanged(client: httpx.Client, url: str, size: int) -> dict[str, str]:
    """Ask for one byte, and return the header by which a server sends no part of another version of the file.

    Raises `_RangesRefusedError` unless the answer is the first byte of `size`.
    """
    with client.stream("GET", url, headers={"Range": "bytes=0-0"}) as response:
        if not _is_partial(response, 0, url) or not response.headers["Content-Range"].endswith(f"/{size}"):
            raise _RangesRefusedError
        version = response.headers.get("ETag") or response.headers.get("Last-Modified")
    return {"If-Range": version} if version and not version.startswith("W/") else {}


def _is_partial(response: httpx.Response, start: int, url: str) -> bool:
    """Say whether the server sends the file from `start` on, or from its first byte (it may not know ranges)."""
    if response.status_code == 200:
        return False
    content_range = response.headers.get("Content-Range", "")
    if response.status_code == 206 and content_range.startswith(f"bytes {start}-"):
        return True
    raise DownloadError(f"{url} answered {response.status_code} {response.reason_phrase} {content_range}".rstrip())


@dataclass(frozen=True)
class _Transfer:
    """What is missing of a file, and where it is written: the last span, or several with a record of them."""

    url: str
    file: PinnedFile
    part: Path
    missing: list[Span]
    in_spans: bool

    def run(self, client: httpx.Client, connections: int) -> None:
        """Receive what is missing; what has come before an error is on the disk and recorded when it is raised."""
        stop, left = threading.Event(), spans.left(self.missing)
        pool = ThreadPoolExecutor(connections)
        with progress(f"download {self.file.name}", self.file.length, "bytes", self.file.length - left) as counter:
            try:
                running = {pool.submit(self._fill, client, span, stop) for span in self.missing}
                while running:
                    done, running = wait(running, RECORD_INTERVAL, FIRST_EXCEPTION)
                    if not done:
                        self._record()
                    counter.advance(self.file.length - spans.left(self.missing) - counter.done)
                    for task in done:
                        task.result()
            finally:
                stop.set()
                pool.shutdown(cancel_futures=True)
                self._record()
        if left := spans.left(self.missing):
            raise DownloadError(
                f"{self.url} ended after {self.file.length - left} of {self.file.length} bytes: the download is"
                " truncated; run again to resume it"
            )

    def _fill(self, client: httpx.Client, span: Span, stop: threading.Event) -> None:
        """Write the answer for `span`; an only one goes up to a byte beyond the pinned size, which will not match."""
        if span.position >= span.end:
            return
        end = span.end - 1 if self.in_spans else ""
        headers = {"Range": f"bytes={span.position}-{end}"} if self.in_spans or span.position else {}
        limit = span.end if self.in_spans else span.end + 1
        with client.stream("GET", self.url, headers=headers) as response, self.part.open("r+b") as stream:
            if not _is_partial(response, span.position, self.url):
                if self.in_spans:
                    raise _RangesRefusedError
                span.position = stream.truncate(0)
            stream.seek(span.position)
            for chunk in response.iter_raw():
                stream.write(chunk[: limit - span.position])
                stream.flush()
                span.position += min(len(chunk), limit - span.position)
                if span.position == limit or stop.is_set():
                    return

    def _record(self) -> None:
        if self.in_spans:
            spans.record(self.part, self.missing)
        else:
            spans.sync(self.part)


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
