"""Downloaded files as the layout of their dataset reads them: checked, and archives unpacked, once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from stylex.artifacts import sha256, storage_errors, write_text
from stylex.datasets.extraction import extract
from stylex.datasets.locks import locked
from stylex.errors import DatasetError

# The longest first: "a.tar.gz" is unpacked to "a".
ENDINGS = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tbz2", ".txz", ".tar", ".zip")
logger = logging.getLogger("stylex")


def unpack(folder: Path, checksums: Mapping[str, str]) -> None:
    """Unpack each archive of `folder` into a folder of its name without the ending, unless that is there.

    checksums: sha256 of the downloaded files by name. <archive>.unpacked remembers what a folder was made from: with
    it, the archive itself may be deleted; without it, the folder is a user's own work and is trusted. Raises
    `DatasetError` for a file that is not the downloaded one, for a folder made from another, and for what `extract`
    refuses.
    """
    for name, expected in checksums.items():
        target = unpacked(folder / name)
        if target is None:
            check_file(folder / name, expected)
            continue
        note = folder / f"{name}.unpacked"
        if not target.exists():
            _unpack(folder / name, target, note, expected)
        elif note.is_file() and note.read_text(encoding="utf-8").strip() != expected:
            raise DatasetError(f"{target} was made from another {name}; delete it, so that it is unpacked again")


def _unpack(archive: Path, target: Path, note: Path, expected: str) -> None:
    with storage_errors(target), locked(archive.with_name(f".{archive.name}.lock")):
        if target.exists():  # another process was here meanwhile
            return
        check_file(archive, expected)
        logger.info("unpacking %s", archive)
        extract(archive, target)
        write_text(note, expected + "\n")


def unpacked(archive: Path) -> Path | None:
    """Return the folder that an archive is unpacked to; None: the file is no archive."""
    lower = archive.name.lower()
    ending = next((each for each in ENDINGS if lower.endswith(each) and lower != each), None)
    return archive.with_name(archive.name[: -len(ending)]) if ending else None


def check_file(path: Path, expected: str) -> None:
    """Raise `DatasetError` when a downloaded file is missing or its sha256 is not the recorded one."""
    remedy = f"run `stylex download {path.parent.name}` again"
    if not path.is_file():
        raise DatasetError(f"{path} does not exist; {remedy}")
    if sha256(path) != expected:
        raise DatasetError(f"{path} is not the file that was downloaded; {remedy}")
