"""Files known by their content: fetched over HTTP, resumed, verified, and shared between projects.

The folder STYLEX_DATA_CACHE holds files as <algorithm>/<first two digits>/<digest>. Entries appear by renaming, so that
processes need no lock, and each is checked whenever it is used. A file that has no digest is not shared.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from stylex.artifacts import atomic_path, storage_errors
from stylex.errors import ChecksumError, DownloadError, StorageError
from stylex.locks import locked
from stylex.progress import progress

CACHE = "STYLEX_DATA_CACHE"
CONNECT_TIMEOUT = 5.0  # seconds: without a network, the next mirror is tried soon
READ_TIMEOUT = 30.0  # seconds without a byte
FORBID = {"extra": "forbid"}  # for pydantic: a mistyped pin is an error
logger = logging.getLogger("stylex")


@dataclass(frozen=True)
class PinnedFile:
    """A file known by its content: everything that is given must agree.

    A publisher may give md5 only, or nothing at all: then `download` records size and sha256 of the first file that
    fits, and every later download must agree with the record.
    """

    name: str
    size: int | None = None  # bytes
    sha256: str | None = None
    md5: str | None = None  # against damage, not for security
    mirrors: tuple[str, ...] = ()  # addresses of folders, of a file that the rest of its source does not have
    members: tuple[str, ...] = ()  # of an archive, that are unpacked: patterns of fnmatch; none: all
    __pydantic_config__ = FORBID

    @property
    def digests(self) -> dict[str, str]:
        """The digests that are known, by algorithm, the strongest first."""
        known = {"sha256": self.sha256, "md5": self.md5}
        return {algorithm: value for algorithm, value in known.items() if value}


def digest(path: Path, algorithm: str) -> str:
    """Return the hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def verify(path: Path, file: PinnedFile, origin: str) -> None:
    """Raise `ChecksumError` unless `path`, which came from `origin`, is the pinned file."""
    for kind, expected in (file.digests | ({"size": str(file.size)} if file.size else {})).items():
        found = str(path.stat().st_size) if kind == "size" else digest(path, kind)
        if found != expected:
            raise ChecksumError(
                f"{file.name} from {origin} has {kind} {found}, expected {expected}: it was damaged on the way or"
                " replaced at its source; try again, or use another source"
            )


def is_present(path: Path, file: PinnedFile) -> bool:
    """Say whether `path` is the pinned file."""
    if not path.is_file() or file.size not in (None, path.stat().st_size):
        return False
    return all(digest(path, algorithm) == expected for algorithm, expected in file.digests.items())


def fetch(url: str, file: PinnedFile, target: Path) -> str:
    """Bring `file` to `target` from the shared cache or from `url`, and return which it was.

    Continues `<target>.part` if an earlier attempt left one, unless the file has no digest, as nothing would tell a
    mixture of two versions. Processes wait for each other. Raises `DownloadError` when the server cannot be read to the
    end (the part stays), `ChecksumError` for another file than the pinned one (nothing stays), `StorageError`.
    """
    part = target.with_name(f"{target.name}.part")
    with storage_errors(target):
        with locked(part):
            if is_present(target, file):  # another process was here meanwhile
                return url
            if from_cache(file, target):
                return CACHE
            if not file.digests:
                os.truncate(part, 0)
            while True:
                resumed = part.stat().st_size > 0
                _receive(url, file, part)
                try:
                    verify(part, file, url)
                    break
                except ChecksumError:
                    os.truncate(part, 0)
                    if not resumed:
                        raise
            with part.open("rb") as stream:
                os.fsync(stream.fileno())
            os.replace(part, target)
        to_cache(file, target)
    return url


def _receive(url: str, file: PinnedFile, part: Path) -> None:
    """Append to `part` what is missing of the file, and at most a byte more, with which it will not match."""
    import httpx

    done = part.stat().st_size
    if file.size and done >= file.size:
        return
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={done}-"} if done else {})
    timeout = httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT)
    try:
        with (
            httpx.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response,
            part.open("r+b") as stream,
        ):
            status, content_range = response.status_code, response.headers.get("Content-Range", "")
            if status == 416 and done:
                return  # nothing is missing, or the part is of another file
            if status == 200:
                done = 0  # the server knows no ranges
            elif status != 206 or not content_range.startswith(f"bytes {done}-"):
                raise DownloadError(f"{url} answered {status} {response.reason_phrase} {content_range}".rstrip())
            length = response.headers.get("Content-Length")
            if not file.size and length is None:
                raise DownloadError(f"{url} cannot be read: the server does not say how long it is")
            size = file.size or done + int(length)
            stream.seek(done)
            stream.truncate()
            with progress(f"download {file.name}", size, "bytes", done) as counter:
                for chunk in response.iter_raw():
                    counter.advance(stream.write(chunk[: size + 1 - counter.done]))
                    if counter.done > size:
                        return
    except httpx.HTTPError as error:
        raise DownloadError(f"{url} cannot be read: {' '.join(str(error).split()) or type(error).__name__}") from None
    if counter.done < size:
        raise DownloadError(
            f"{url} ended after {counter.done} of {size} bytes: the download is truncated; run again to resume it"
        )


def from_cache(file: PinnedFile, target: Path) -> bool:
    """Bring `file` from the cache to `target` and say whether the cache had it; a wrong entry counts as missing."""
    for entry in _entries(file):
        if is_present(entry, file):
            _link(entry, target)
            return True
        if entry.exists():
            logger.warning("%s in the cache is not %s: it is not used", entry, file.name)
    return False


def to_cache(file: PinnedFile, path: Path) -> None:
    """Put the verified file `path` into the cache, in place of a wrong entry; a cache that is full is a warning."""
    for entry in _entries(file):
        try:
            if not is_present(entry, file):
                _link(path, entry)
        except StorageError as error:
            logger.warning("%s is not shared: %s", file.name, error)


def _entries(file: PinnedFile) -> list[Path]:
    folder = os.environ.get(CACHE)
    return [Path(folder, kind, value[:2], value).expanduser() for kind, value in file.digests.items()] if folder else []


def _link(source: Path, target: Path) -> None:
    """Make `target` a hard link to `source`, or a copy where the file systems differ."""
    with atomic_path(target) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
