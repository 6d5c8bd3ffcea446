"""A folder a class, as torchvision's ImageFolder reads it: <class>/**/*.jpg, or train/<class>/… with an official split.

What lies around the class folders does not matter: as long as a folder holds no image and one folder that has folders
itself, as an unpacked archive often does, the search goes on inside it.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from stylex.config.loading import unknown_name
from stylex.datasets.layouts.records import ImageRecord, Listing, Part
from stylex.errors import DatasetError

SUFFIXES = frozenset((".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
PARTS: dict[str, Part] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip
NAMED = 3  # paths that a message names
logger = logging.getLogger("stylex")


def list_images(folder: Path, label: str | None, classes: tuple[str, ...] | None) -> Listing:
    """List the images of all class folders, or of those that `classes` names, sorted by id (the path below `folder`).

    There is one label, so `label` must be None. Raises `DatasetError` for fewer than two class folders, a class without
    an image, or a class of `classes` without a folder. Links that lead to a folder a second time are logged.
    """
    if label is not None:
        raise DatasetError(f"label = '{label}': class folders are one label; remove it")
    tree = Tree(folder)
    tree.report()
    top = tree.inside(folder)
    parts: dict[Path, Part | None] = {each: PARTS.get(each.name.lower()) for each in tree.folders[top]}
    tops: dict[Path, Part | None] = {top: None}
    if parts and None not in parts.values():
        tops = {tree.inside(each): part for each, part in parts.items()}
    found = {each.name for path in tops for each in tree.folders[path]}
    names = classes or tuple(sorted(found))
    if len(names) < 2:
        raise DatasetError(f"{top} has {len(found)} class folders, {', '.join(found) or 'none'}; it needs two or more")
    for name in names:
        if name not in found:
            raise DatasetError(f"{top}: {unknown_name('class folder', name, sorted(found))}")
    records = [
        ImageRecord(source, path, source, position, part)
        for upper, part in tops.items()
        for position, name in enumerate(names)
        for path in tree.images_below(upper / name)
        for source in [path.relative_to(folder).as_posix()]
    ]
    for position in set(range(len(names))) - {record.label for record in records}:
        raise DatasetError(f"{top}: class folder '{names[position]}' has no image ({' '.join(sorted(SUFFIXES))})")
    return Listing(names, sorted(records, key=lambda record: record.id))


class Tree:
    """The folders below one and the images in them, by their endings; hidden files and folders are left out.

    Links are followed, but a real folder is in the tree once, else a cycle of links would never end and a link to a
    neighbour would show its images twice. It is there under its own path, if that is below the top, and not a link's.
    """

    def __init__(self, top: Path) -> None:
        self.images: dict[Path, list[Path]] = {top: []}  # of each folder, without those of the folders in it
        self.folders: dict[Path, list[Path]] = {top: []}  # in each folder, sorted
        self.left_out: list[Path] = []  # other paths, through links, to folders that the tree has
        seen: set[tuple[int, int]] = set()
        starts = deque([top])
        while starts:  # links wait until all real folders are known
            for upper, folders, files in os.walk(starts.popleft()):
                path, status = Path(upper), os.stat(upper)
                if (real := (status.st_dev, status.st_ino)) in seen:
                    self.left_out.append(path)
                    folders.clear()
                    continue
                seen.add(real)
                folders[:] = sorted(name for name in folders if not _hidden(name))
                starts.extend(path / name for name in folders if (path / name).is_symlink())
                self.images[path] = [path / name for name in sorted(files) if _is_image(name)]
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


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES and not _hidden(name)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
