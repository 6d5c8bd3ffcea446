"""The folders of a user's own images and what lies in them: images, other files, and links."""

from __future__ import annotations

import logging
import os
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path

from stylex.datasets.layouts.records import listed, shown
from stylex.errors import DatasetError

SUFFIXES = frozenset((".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
NAMED = 3  # paths that a message names
logger = logging.getLogger("stylex")


class Tree:
    """The folders below one and the images in them, by their endings; hidden files and folders are left out.

    Links are followed, but a real folder is in the tree once, else a cycle of links would never end and a link to a
    neighbour would show its images twice. It is there under its own path, if that is below the top, and not a link's.
    Raises `DatasetError` for a folder that cannot be read.
    """

    def __init__(self, top: Path) -> None:
        self.images: dict[Path, list[Path]] = {top: []}  # of each folder, without those of the folders in it
        self.folders: dict[Path, list[Path]] = {top: []}  # in each folder, sorted
        self.left_out: list[Path] = []  # other paths, through links, to folders that the tree has
        self.ignored: Counter[str] = Counter()  # files that are no images, by ending, and what is hidden
        seen: set[tuple[int, int]] = set()
        starts = deque([top])
        while starts:  # links wait until all real folders are known
            for upper, folders, files in os.walk(starts.popleft(), onerror=_refuse):
                path, status = Path(upper), os.stat(upper)
                if (real := (status.st_dev, status.st_ino)) in seen:
                    self.left_out.append(path)
                    folders.clear()
                    continue
                seen.add(real)
                self.ignored["hidden"] += sum(map(_hidden, folders))
                folders[:] = sorted(name for name in folders if not _hidden(name))
                starts.extend(path / name for name in folders if (path / name).is_symlink())
                self.images[path] = [path / name for name in sorted(files) if _is_image(name)]
                self.ignored.update(_kind(name) for name in files if not _is_image(name))
                self.folders[path] = []
                if path != top:
                    self.folders[path.parent].append(path)
        for inner in self.folders.values():
            inner.sort()

    def inside(self, folder: Path) -> Path:
        """Return the first folder, from this one downwards, in which the class folders or those of splits can be."""
        while len(inner := self.folders[folder]) == 1 and self.folders[inner[0]] and not self.images[folder]:
            folder = inner[0]
        return folder

    def images_below(self, folder: Path) -> Iterator[Path]:
        """Yield the images of this folder, if it is there, and of those in it."""
        yield from self.images.get(folder, ())
        for inner in self.folders.get(folder, ()):
            yield from self.images_below(inner)

    def report(self) -> None:
        """Log one line of what was left out."""
        if paths := self.left_out:
            named = ", ".join(map(str, paths[:NAMED])) + (" and others" if len(paths) > NAMED else "")
            logger.warning("%s: left out, as a link leads there to a folder that is read under another path", named)

    def ignored_files(self) -> str:
        """Return how many files were ignored, by ending, the most frequent first; empty: none."""
        counts = sorted((-count, kind) for kind, count in self.ignored.items() if count)
        return listed(f"{-count} {kind}" for count, kind in counts)


def _refuse(error: OSError) -> None:
    raise DatasetError(f"{shown(error.filename)} cannot be read: {error.strerror}; mend its permissions or remove it")


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES and not _hidden(name)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _kind(name: str) -> str:
    return "hidden" if _hidden(name) else shown(Path(name).suffix.lower()) or "without ending"
