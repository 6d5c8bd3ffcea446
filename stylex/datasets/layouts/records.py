"""What a layout finds out about each image, and what layouts share: classes, names, and label files joined by key.

Every fault of a label file is one `DatasetError` that names the file, the line and the value.
"""

from __future__ import annotations

import csv
import logging
import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from stylex.config.loading import unknown_name
from stylex.errors import DatasetError

Part: TypeAlias = Literal["train", "val", "test"]
Classes: TypeAlias = tuple[str, ...] | None
Box: TypeAlias = tuple[float, float, float, float]  # left, upper, right, lower in pixels
Meaning = TypeVar("Meaning")
AGAIN = "download the dataset again, or put the missing file there"
logger = logging.getLogger("stylex")


class ImageRecord(NamedTuple):
    """One image file and what its dataset says of it."""

    id: str  # stable and unique in the dataset
    path: Path  # of the file
    source: str  # the same, relative to the raw folder, with slashes
    label: int  # position in the listing's class_names
    part: Part | None = None  # of an official split; None: split by the dataset's shares
    identity: str | None = None  # images of one identity (a person, an animal, an eye's patient) share a split
    box: Box | None = None  # None: central square
    factors: tuple[float, ...] = ()  # in [0, 1], of a layout that FACTORS names

    @classmethod
    def below(
        cls, folder: Path, path: Path, id: str, label: int, part: Part | None = None, identity: str | None = None,
        box: Box | None = None,
    ) -> ImageRecord:  # fmt: skip
        """Return the record of a file in the raw folder."""
        return cls(id, path, path.relative_to(folder).as_posix(), label, part, identity, box)


class Listing(NamedTuple):
    """All images of a dataset, sorted by id."""

    class_names: tuple[str, ...]
    records: list[ImageRecord]
    notes: tuple[str, ...] = ()  # what a layout of a user's own images has found and left out, a line each


class Cell(NamedTuple):
    """What a label file says of one image."""

    line: int  # counted from 1
    value: str


def check_names(paths: Iterable[Path]) -> None:
    """Raise `DatasetError` for a name that is no text, which neither a manifest nor a table can hold."""
    for path in paths:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise DatasetError(
                f"{shown(path)}: the bytes of this name are no UTF-8; rename the file or folder, or all of them with"
                " `convmv -r -f latin1 -t utf8 --notest FOLDER`"
            ) from None


def shown(path: Path | str) -> str:
    """Return a path as it can be printed: bytes that are no UTF-8 as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def listed(names: Iterable[str], most: int = 10) -> str:
    """Return names for a line: the first ones, and how many more there are."""
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")


def select_classes(listing: Listing, classes: Classes) -> Listing:
    """Return the images of `classes`, labelled in their order; None: all. Raises `DatasetError` for an unknown one."""
    if classes is None:
        return listing
    for name in classes:
        if name not in listing.class_names:
            raise DatasetError(f"classes: {unknown_name('class', name, list(listing.class_names))}")
    positions = {listing.class_names.index(name): position for position, name in enumerate(classes)}
    kept = (record for record in listing.records if record.label in positions)
    return Listing(classes, [record._replace(label=positions[record.label]) for record in kept])


def check_label(label: str | None, known: tuple[str, ...], layout: str) -> None:
    """Raise `DatasetError` when a dataset's file names a label that the layout does not have; None is the default."""
    if label is not None and not known:
        raise DatasetError(f"label = {label!r}: the layout {layout} has one label; remove the key")
    if label is not None and label not in known:
        raise DatasetError(f"label: {unknown_name(f'label of {layout}', label, list(known))}")


def check_alike(where: Path, names: Iterable[str], found: Iterable[str]) -> None:
    """Log classes whose names differ in capitals alone; raise `DatasetError` where nobody can see the difference.

    names: of the classes that are used, found: of all that there are. White space, the composition of Unicode letters
    and characters without a picture cannot be seen.
    """
    used = set(names)
    forms: dict[str, list[str]] = {}
    for name in sorted({*found, *used}):
        forms.setdefault(_visible(name).casefold(), []).append(name)
    for alike in (each for each in forms.values() if len(each) > 1 and used & set(each)):
        if len({_visible(name) for name in alike}) < len(alike):
            pair = " and ".join(map(ascii, alike))
            what = "are different classes, and look the same; make one of them, or rename one"
            raise DatasetError(f"{where}: {pair} {what}")
        what = "are different classes" if used >= set(alike) else "are different, and only what `classes` names is used"
        pair = " and ".join(map(repr, alike))
        logger.warning("%s: %s %s; if they mean the same, make one of them", where, pair, what)


def _visible(name: str) -> str:
    seen = "".join(each for each in unicodedata.normalize("NFC", name) if unicodedata.category(each) != "Cf")
    return " ".join(seen.split())


def find_file(folder: Path, *names: str) -> Path:
    """Return the first of `names` that lies in `folder`, or in the folder of an unpacked archive in it."""
    for name in names:
        for path in (folder / name, *sorted(folder.glob(f"*/{name}"))):
            if path.is_file():
                return path
    raise DatasetError(f"{folder} has no {' or '.join(names)}; {AGAIN}")


def find_images(folder: Path, pattern: str, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Return the files that match `pattern` and end in one of `suffixes`, by name without ending, sorted.

    Hidden files, which macOS adds to archives, are left out. Raises `DatasetError` for none, and for two of one name.
    """
    images: dict[str, Path] = {}
    for path in sorted(folder.glob(pattern)):
        if path.suffix not in suffixes or path.name.startswith("."):
            continue
        if path.stem in images:
            raise DatasetError(f"{images[path.stem]} and {path} have the same name; keep one copy of the images")
        images[path.stem] = path
    if not images:
        raise DatasetError(f"{folder} has no images {pattern}{' or '.join(suffixes)}; {AGAIN}")
    return dict(sorted(images.items()))


def read_column(path: Path, key: str, column: str, delimiter: str = ",") -> dict[str, Cell]:
    """Read two columns of a CSV file with a header: cells of `column` by `key`; rows of empty cells do not count."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = csv.DictReader(file, delimiter=delimiter)
        try:
            rows.fieldnames = [name.strip() for name in rows.fieldnames or ()]
            for name in (key, column):
                if name not in rows.fieldnames:
                    raise DatasetError(f"{path}, line 1: there is no column '{name}'; {AGAIN}")
            filled = (row for row in rows if any(row.values()))
            return by_key(path, ((row[key] or "", Cell(rows.line_num, (row[column] or "").strip())) for row in filled))
        except csv.Error as error:
            raise DatasetError(f"{path}, line {rows.line_num}: {error}; {AGAIN}") from None


def by_key(path: Path, cells: Iterable[tuple[str, Cell]]) -> dict[str, Cell]:
    """Return the cells of `path` by key; a key stands in one line."""
    known: dict[str, Cell] = {}
    for key, cell in cells:
        if key in known:
            raise DatasetError(f"{path}, line {cell.line}: {key} stands in line {known[key].line} already; remove one")
        known[key] = cell
    return known


def join(
    path: Path, cells: Mapping[str, Cell], images: Mapping[str, Path], name: Callable[[str], str] = str
) -> dict[str, Cell]:
    """Return the cells of `path` by the key of their image, which `name` makes of theirs.

    Raises `DatasetError` unless `path` has one row for each image and an image for each row.
    """
    joined = by_key(path, ((name(key), cell) for key, cell in cells.items()))
    if unknown := joined.keys() - images.keys():
        key = min(unknown, key=lambda key: joined[key].line)
        raise DatasetError(f"{path}, line {joined[key].line}: there is no image {key}; {AGAIN}")
    if unlabelled := images.keys() - joined.keys():
        raise DatasetError(f"{path} has no row for {images[min(unlabelled)]}; {AGAIN}")
    return joined


def translate(path: Path, cells: Mapping[str, Cell], meanings: Mapping[str, Meaning]) -> dict[str, Meaning]:
    """Return the meaning of each cell of `path`; raise `DatasetError` for a value that has none."""
    for cell in cells.values():
        if cell.value not in meanings:
            raise DatasetError(f"{path}, line {cell.line}: '{cell.value}' is not one of {', '.join(meanings)}; {AGAIN}")
    return {key: meanings[cell.value] for key, cell in cells.items()}
