"""Downloads shared between projects: the folder STYLEX_DATA_CACHE holds files under their digests.

`<cache>/<algorithm>/<first two digits>/<digest>`. Entries appear by renaming, so processes need no lock, and each is
checked whenever it is used. A file that has no digest is never shared.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from stylex.artifacts import atomic_path
from stylex.datasets.pins import PinnedFile, is_present
from stylex.errors import StorageError

VARIABLE = "STYLEX_DATA_CACHE"
logger = logging.getLogger("stylex")


def take(file: PinnedFile, target: Path) -> bool:
    """Bring `file` from the cache to `target` and say whether the cache had it; a wrong entry counts as missing.

    Raises `StorageError` when the target cannot be written.
    """
    for entry in _entries(file):
        if is_present(entry, file):
            _link(entry, target)
            return True
        if entry.exists():
            logger.warning("%s in the cache is not %s: it is not used", entry, file.name)
    return False


def keep(file: PinnedFile, path: Path) -> None:
    """Put the verified file `path` into the cache, in place of a wrong entry; a cache that is full is a warning."""
    for entry in _entries(file):
        try:
            if not is_present(entry, file):
                _link(path, entry)
        except StorageError as error:
            logger.warning("%s is not shared: %s", file.name, error)


def _entries(file: PinnedFile) -> list[Path]:
    folder = os.environ.get(VARIABLE)
    if not folder:
        return []
    return [Path(folder).expanduser() / algorithm / value[:2] / value for algorithm, value in file.digests.items()]


def _link(source: Path, target: Path) -> None:
    """Make `target` a hard link to `source`, or a copy where the file systems differ."""
    with atomic_path(target) as temporary:
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
