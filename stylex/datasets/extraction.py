"""Unpack a downloaded tar (.gz, .bz2, .xz) or zip archive without trusting it.

Only folders and regular files are made, from their contents alone: no links, no devices, no owners, no permissions.
Python's tarfile filter does not serve, as it knows neither zip nor limits and lets links through.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tarfile import HeaderError, ReadError, TarError, TarFile, TarInfo
from typing import IO, Any

from stylex.artifacts import storage_errors
from stylex.errors import DatasetError

DAMAGED = (TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, ValueError, OverflowError)
OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
SMALL = 1 << 20  # bytes that any archive may unpack to: short texts compress without limit


@dataclass(frozen=True)
class Limits:
    """What an archive may hold."""

    members: int = 2_000_000
    total: int = 500 << 30  # bytes
    ratio: int = 100  # unpacked bytes to those of the archive


@dataclass(frozen=True)
class _Member:
    name: str
    content: AbstractContextManager[Any] | None  # a stream; None: a folder


class _Guard:
    """Counts what comes out of an archive; `member` is where it has arrived."""

    def __init__(self, archive: Path, limits: Limits) -> None:
        self.archive, self.limits = archive, limits
        self.left = min(limits.total, max(SMALL, limits.ratio * archive.stat().st_size))
        self.members, self.member = 0, ""

    def enter(self, name: str) -> None:
        self.member = name
        self.members += 1
        if self.members > self.limits.members:
            raise self.refusal(f"is one of more than {self.limits.members} members")

    def refusal(self, why: str) -> DatasetError:
        return DatasetError(f"{self.archive}: member {self.member!r} {why}; nothing was extracted, get the original")

    def count(self, number: int) -> None:
        self.left -= number
        if self.left < 0:
            total, ratio = self.limits.total, self.limits.ratio
            raise self.refusal(f"unpacks to more than {total} bytes in all or {ratio} times the archive's size")


class _Counted:
    """A stream whose bytes a guard counts."""

    def __init__(self, stream: IO[bytes], guard: _Guard) -> None:
        self.stream, self.guard = stream, guard

    def read(self, size: int = -1) -> bytes:
        content = self.stream.read(size)
        self.guard.count(len(content))
        return content


class _Header(TarInfo):
    """A header that must be whole: tarfile takes a broken one for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: TarFile) -> _Header:
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":  # the zeros that end an archive
                raise
            raise ReadError(str(error)) from None


def extract(archive: Path, folder: Path, limits: Limits = Limits()) -> None:  # noqa: B008
    """Unpack `archive` into the new `folder`, which appears only when it is whole.

    Raises `DatasetError`, naming the archive and the member, for names that are absolute, contain `..` or collide,
    for links, devices and encrypted members, for more than the limits allow, for a damaged archive, and when the
    folder exists; `StorageError` when it cannot be written. A process that does the same at the same time is no error.
    """
    if folder.exists():
        raise DatasetError(f"{folder} exists already; delete it to extract {archive} again")
    if not archive.is_file():
        raise DatasetError(f"{archive} does not exist; download it first")
    guard = _Guard(archive, limits)
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as workspace:
            content = Path(workspace) / "content"
            content.mkdir()
            try:
                for member in _members(archive, guard):
                    _write(member, content, guard)
            except (*DAMAGED, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:  # without a number: gzip's and bz2's own
                    raise
                raise _damaged(archive, guard, error) from None
            try:
                os.rename(content, folder)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise


def _damaged(archive: Path, guard: _Guard, error: Exception) -> DatasetError:
    where = f"after member {guard.member!r}" if guard.member else "at its start"
    reason = " ".join(str(error).split()) or type(error).__name__
    return DatasetError(f"{archive} is damaged or no tar or zip archive, {where} ({reason}); download it again")


def _write(member: _Member, content: Path, guard: _Guard) -> None:
    """Make one member below `content`; the file system itself says which names it takes for the same."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or member.name[1:2] == ":":
        raise guard.refusal("would be written outside the folder")
    target = content / path
    try:
        if member.content is None:
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with member.content as stream, target.open("xb") as file:
            shutil.copyfileobj(stream, file)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise guard.refusal("has the name of an earlier member") from None
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
            raise guard.refusal(f"has an impossible name: {error.strerror}") from None
        raise


def _members(archive: Path, guard: _Guard) -> Iterator[_Member]:
    with archive.open("rb") as stream:
        start = stream.read(6)
        stream.seek(0)
        if start.startswith(b"PK"):
            yield from _zip_members(stream, guard)
            return
        opener = next((opener for magic, opener in OPENERS.items() if start.startswith(magic)), None)
        with opener(stream) if opener else nullcontext(stream) as unpacked:
            yield from _tar_members(_Counted(unpacked, guard), guard)


def _tar_members(stream: Any, guard: _Guard) -> Iterator[_Member]:
    with TarFile.open(fileobj=stream, mode="r|", tarinfo=_Header) as tar:
        for info in tar:
            guard.enter(info.name)
            tar.members.clear()  # pyright: ignore[reportAttributeAccessIssue], a stream is not read twice
            if not (info.isreg() or info.isdir()):
                raise guard.refusal("is a link, a device or a pipe")
            content = tar.extractfile(info) if info.isreg() else None
            yield _Member(info.name, content)
    while stream.read(SMALL):  # to the end, where the compressor's checksum is
        pass


def _zip_members(stream: IO[bytes], guard: _Guard) -> Iterator[_Member]:
    with zipfile.ZipFile(stream) as archive:
        for info in archive.infolist():
            guard.enter(info.filename)
            if info.flag_bits & 1:
                raise guard.refusal("is encrypted")
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise guard.refusal("is a link, a device or a pipe")
            if info.is_dir():
                yield _Member(info.filename, None)
                continue
            try:
                with archive.open(info) as content:
                    yield _Member(info.filename, nullcontext(_Counted(content, guard)))
            except NotImplementedError:
                raise guard.refusal("is compressed in a way that Python's zipfile does not know") from None
