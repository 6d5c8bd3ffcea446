"""Label files of published datasets: cells that know their line, joined to image files by key, never by position.

Every fault of a label file is one `DatasetError` that names the file, the line and the value.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from stylex.errors import DatasetError

Meaning = TypeVar("Meaning")
AGAIN = "download the dataset again, or put the missing file there"


class Cell(NamedTuple):
    """What a label file says of one image."""

    line: int  # counted from 1
    value: str


def find_file(folder: Path, *names: str) -> Path:
    """Return the first of `names` that lies in `folder`, or in the folder of an unpacked archive in it."""
    for name in names:
        for path in (folder / name, *sorted(folder.glob(f"*/{name}"))):
            if path.is_file():
                return path
    raise DatasetError(f"{folder} has no {' or '.join(names)}; {AGAIN}")


def find_images(folder: Path, pattern: str, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Return the files that match `pattern` and end in one of `suffixes`, by name without ending, sorted.

    Hidden files, which macOS adds to archives, are left out. Raises `DatasetError` when there is none, and when two
    have the same name.
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


def check_rows(path: Path, cells: Mapping[str, Cell], images: Mapping[str, Path]) -> None:
    """Raise `DatasetError` unless `path` has one row for each image and an image for each row."""
    if unknown := cells.keys() - images.keys():
        key = min(unknown, key=lambda key: cells[key].line)
        raise DatasetError(f"{path}, line {cells[key].line}: there is no image {key}; {AGAIN}")
    if unlabelled := images.keys() - cells.keys():
        raise DatasetError(f"{path} has no row for {images[min(unlabelled)]}; {AGAIN}")


def translate(path: Path, cells: Mapping[str, Cell], meanings: Mapping[str, Meaning]) -> dict[str, Meaning]:
    """Return the meaning of each cell of `path`; raise `DatasetError` for a value that has none."""
    for cell in cells.values():
        if cell.value not in meanings:
            raise DatasetError(f"{path}, line {cell.line}: '{cell.value}' is not one of {', '.join(meanings)}; {AGAIN}")
    return {key: meanings[cell.value] for key, cell in cells.items()}
