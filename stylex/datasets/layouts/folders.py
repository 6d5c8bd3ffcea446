"""A folder a class, as torchvision's ImageFolder reads it: <class>/**/*.jpg, or train/<class>/… with an official split.

What lies around the class folders does not matter: as long as a folder holds no image and one folder that has folders
itself, as an unpacked archive often does, the search goes on inside it.
"""

from __future__ import annotations

import os
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


def list_images(folder: Path, label: str | None, classes: tuple[str, ...] | None) -> Listing:
    """List the images of all class folders, or of those that `classes` names, sorted by id (the path below `folder`).

    There is one label, so `label` must be None. Raises `DatasetError` for fewer than two class folders, a class without
    an image, or a class of `classes` without a folder.
    """
    if label is not None:
        raise DatasetError(f"label = '{label}': class folders are one label; remove it")
    top = _inside(folder)
    parts: dict[Path, Part | None] = {each: PARTS.get(each.name.lower()) for each in _folders(top)}
    tops: dict[Path, Part | None] = {top: None}
    if parts and None not in parts.values():
        tops = {_inside(each): part for each, part in parts.items()}
    found = {each.name for path in tops for each in _folders(path)}
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
        for path in images_in(upper / name)
        for source in [path.relative_to(folder).as_posix()]
    ]
    for position in set(range(len(names))) - {record.label for record in records}:
        raise DatasetError(f"{top}: class folder '{names[position]}' has no image ({' '.join(sorted(SUFFIXES))})")
    return Listing(names, sorted(records, key=lambda record: record.id))


def images_in(folder: Path) -> Iterator[Path]:
    """Yield the files below `folder` that are images by their ending; hidden files and folders are left out."""
    for upper, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not _hidden(name)]
        for name in files:
            if _is_image(path := Path(upper, name)):
                yield path


def _inside(folder: Path) -> Path:
    """Return the first folder, from `folder` downwards, in which the class folders or those of the splits can be."""
    while len(inner := _folders(folder)) == 1 and _folders(inner[0]) and not any(map(_is_image, folder.iterdir())):
        folder = inner[0]
    return folder


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir() and not _hidden(each.name))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not _hidden(path.name)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
