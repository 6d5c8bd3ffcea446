"""A file known by its content: its size, and the digests that its publisher gives."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from stylex.errors import ChecksumError


@dataclass(frozen=True)
class PinnedFile:
    """A file known by its content.

    Everything that is given must agree. A publisher may give md5 only, or nothing at all: then `download` records size
    and sha256 of the first file that fits, and every later download must agree with the record.
    """

    name: str
    size: int | None  # bytes
    sha256: str | None = None
    md5: str | None = None
    mirrors: tuple[str, ...] = ()  # addresses of folders, of a file that the rest of its source does not have

    @property
    def length(self) -> int:
        """The size of a file of which it is known."""
        assert self.size is not None, self.name
        return self.size

    @property
    def digests(self) -> dict[str, str]:
        """The digests that are known, by algorithm, the strongest first."""
        known = {"sha256": self.sha256, "md5": self.md5}
        return {algorithm: value for algorithm, value in known.items() if value}


def digest(path: Path, algorithm: str) -> str:
    """Return the hex digest of a file; md5 is used against damage, not for security."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def verify(path: Path, file: PinnedFile, origin: str) -> None:
    """Raise `ChecksumError` unless `path`, which came from `origin`, is the pinned file."""
    found = {algorithm: digest(path, algorithm) for algorithm in file.digests} | {"size": str(path.stat().st_size)}
    for kind, expected in (file.digests | ({"size": str(file.size)} if file.size else {})).items():
        if found[kind] != expected:
            raise ChecksumError(
                f"{file.name} from {origin} has {kind} {found[kind]}, expected {expected}: it was damaged on the way or"
                " replaced at its source; try again, or use another source"
            )


def is_present(path: Path, file: PinnedFile) -> bool:
    """Say whether `path` is the pinned file."""
    if not path.is_file() or file.size not in (None, path.stat().st_size):
        return False
    return all(digest(path, algorithm) == expected for algorithm, expected in file.digests.items())
