"""Unpack downloaded tar (.gz, .bz2, .xz) and zip archives, once, without trusting them.

Only folders and regular files are made, from their contents alone: no links, no devices, no owners, no permissions.
Python's tarfile filter does not serve, as it knows neither zip nor limits and lets links through.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import logging
import lzma
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from tarfile import HeaderError, ReadError, TarError, TarFile, TarInfo
from typing import IO, Any, NamedTuple

from stylex.artifacts import sha256, storage_errors, write_text
from stylex.errors import DatasetError
from stylex.locks import locked

# The longest first: "a.tar.gz" is unpacked to "a".
ENDINGS = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tbz2", ".txz", ".tar", ".zip")
DAMAGED = (TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, ValueError, OverflowError)
OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
SMALL = 1 << 20  # bytes that any archive may unpack to: short texts compress without limit
logger = logging.getLogger("stylex")


class Limits(NamedTuple):
    """What an archive may hold."""

    members: int = 2_000_000
    total: int = 500 << 30  # bytes
    ratio: int = 100  # unpacked bytes to those of the archive


def unpack(folder: Path, checksums: Mapping[str, str], members: Mapping[str, Sequence[str]] | None = None) -> None:
    """Unpack each archive of `folder` into a folder of its name without the ending, unless that is there.

    checksums: sha256 of the downloaded files by name. members: what is unpacked of an archive, by its name, as
    `extract` has it; of any other archive, all is. <archive>.unpacked remembers what a folder was made from: with it,
    the archive itself may be deleted; without it, the folder is a user's own work and is trusted. Raises `DatasetError`
    for a file that is not the downloaded one, a folder made from another or of other members, and what `extract`
    refuses.
    """
    for name, expected in checksums.items():
        archive, note = folder / name, folder / f"{name}.unpacked"
        ending = next((each for each in ENDINGS if name.lower().endswith(each) and name.lower() != each), None)
        if ending is None:
            check_file(archive, expected)
            continue
        target, patterns = folder / name[: -len(ending)], (members or {}).get(name, ())
        origin = " ".join((expected, *patterns))
        if not target.exists():
            with storage_errors(target), locked(folder / f".{name}.lock"):
                if not target.exists():  # else another process was here meanwhile
                    check_file(archive, expected)
                    logger.info("unpacking %s", archive)
                    extract(archive, target, members=patterns)
                    write_text(note, origin + "\n")
        elif note.is_file() and note.read_text(encoding="utf-8").strip() != origin:
            made = f"another {name}" if patterns == () else f"another {name}, or of other members"
            raise DatasetError(f"{target} was made from {made}; delete it, so that it is unpacked again")


def check_file(path: Path, expected: str) -> None:
    """Raise `DatasetError` when a downloaded file is missing or its sha256 is not the recorded one."""
    remedy = f"run `stylex download {path.parent.name}` again"
    if not path.is_file():
        raise DatasetError(f"{path} does not exist; {remedy}")
    if sha256(path) != expected:
        raise DatasetError(f"{path} is not the file that was downloaded; {remedy}")


def extract(archive: Path, folder: Path, limits: Limits = Limits(), members: Sequence[str] = ()) -> None:  # noqa: B008
    """Unpack `archive` into the new `folder`, which appears only when it is whole.

    members: patterns of fnmatch, of which a member's name must fit one; none: all are written. Raises `DatasetError`,
    naming the archive and the member, for names that are absolute, contain `..` or collide, for links, devices and
    encrypted members, for more than the limits allow, for damage, and when the folder exists. A process that does the
    same at the same time is no error.
    """
    if folder.exists():
        raise DatasetError(f"{folder} exists already; delete it to extract {archive} again")
    if not archive.is_file():
        raise DatasetError(f"{archive} does not exist; download it first")
    reader = _Reader(archive, limits)
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as workspace:
            content = Path(workspace) / "content"
            content.mkdir()
            try:
                for name, stream in reader.members():
                    if not members or any(fnmatchcase(name, pattern) for pattern in members):
                        reader.write(content / PurePosixPath(name), stream)
            except (*DAMAGED, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:  # without a number: gzip's and bz2's own
                    raise
                where = f"after member {reader.member!r}" if reader.member else "at its start"
                reason = " ".join(str(error).split()) or type(error).__name__
                what = f"is damaged or no tar or zip archive, {where} ({reason}); download it again"
                raise DatasetError(f"{archive} {what}") from None
            try:
                os.rename(content, folder)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise


class _Reader:
    """Reads an archive, checks its members and counts their bytes; `member` is where it has arrived."""

    def __init__(self, archive: Path, limits: Limits) -> None:
        self.archive, self.limits = archive, limits
        self.left = min(limits.total, max(SMALL, limits.ratio * archive.stat().st_size))
        self.count, self.member = 0, ""

    def refusal(self, why: str) -> DatasetError:
        return DatasetError(f"{self.archive}: member {self.member!r} {why}; nothing was extracted, get the original")

    def members(self) -> Iterator[tuple[str, Any]]:
        """Yield the name and the stream of each member; None: it is a folder."""
        with self.archive.open("rb") as file:
            start = file.read(6)
            file.seek(0)
            if start.startswith(b"PK"):
                yield from self._of_zip(file)
                return
            opener = next((opener for magic, opener in OPENERS.items() if start.startswith(magic)), nullcontext)
            with opener(file) as unpacked:
                yield from self._of_tar(_Counted(unpacked, self))

    def _of_tar(self, stream: Any) -> Iterator[tuple[str, Any]]:
        with TarFile.open(fileobj=stream, mode="r|", tarinfo=_Header) as tar:
            for info in tar:
                tar.members.clear()  # pyright: ignore[reportAttributeAccessIssue], a stream is not read twice
                self._check(info.name, info.isreg() or info.isdir())
                yield info.name, tar.extractfile(info)
        while stream.read(SMALL):  # to the end, where the compressor's checksum is
            pass

    def _of_zip(self, stream: IO[bytes]) -> Iterator[tuple[str, Any]]:
        with zipfile.ZipFile(stream) as archive:
            for info in archive.infolist():
                self._check(info.filename, stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR))
                if info.flag_bits & 1:
                    raise self.refusal("is encrypted")
                try:
                    with nullcontext() if info.is_dir() else archive.open(info) as content:
                        yield info.filename, content and _Counted(content, self)
                except NotImplementedError:
                    raise self.refusal("is compressed in a way that Python's zipfile does not know") from None

    def _check(self, name: str, plain: bool) -> None:
        self.member = name
        self.count += 1
        path = PurePosixPath(name)
        if self.count > self.limits.members:
            raise self.refusal(f"is one of more than {self.limits.members} members")
        if path.is_absolute() or ".." in path.parts or "\\" in name or name[1:2] == ":":
            raise self.refusal("would be written outside the folder")
        if not plain:
            raise self.refusal("is a link, a device or a pipe")

    def write(self, target: Path, stream: Any) -> None:
        """Make the member; the file system itself says which names it takes for the same."""
        try:
            if stream is None:
                target.mkdir(parents=True, exist_ok=True)
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                shutil.copyfileobj(stream, file)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise self.refusal("has the name of an earlier member") from None
        except OSError as error:
            if error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
                raise self.refusal(f"has an impossible name: {error.strerror}") from None
            raise


class _Counted(NamedTuple):
    """A stream whose bytes are counted against the limits."""

    stream: Any
    reader: _Reader

    def read(self, size: int = -1) -> bytes:
        content = self.stream.read(size)
        self.reader.left -= len(content)
        if self.reader.left < 0:
            total, ratio = self.reader.limits.total, self.reader.limits.ratio
            raise self.reader.refusal(f"unpacks to more than {total} bytes in all or {ratio} times the archive's size")
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
