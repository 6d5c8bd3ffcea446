"""A CSV table of images: columns path and label, and if wanted split (train, val or test) and identity.

Paths are relative to the folder of the table. `label` of the dataset's file names another column than "label".
"""

from __future__ import annotations

import csv
from pathlib import Path

from stylex.config.loading import unknown_name
from stylex.datasets.layouts.folders import PARTS
from stylex.datasets.layouts.records import ImageRecord, Listing
from stylex.errors import DatasetError


def list_images(folder: Path, label: str | None, classes: tuple[str, ...] | None) -> Listing:
    """List the rows of a table, sorted by id (the path as the table has it).

    `folder`: the table itself, or a folder that has one. Classes are the sorted labels; with `classes`, in that order,
    and rows of other labels are left out. Raises `DatasetError` naming the table and the line that is wrong.
    """
    table, column = _table_of(folder), label or "label"
    rows = _rows(table, ("path", column))
    found = sorted({row[column] for _, row in rows})
    names = classes or tuple(found)
    if len(names) < 2:
        raise DatasetError(f"{table}: the column {column} has the labels {', '.join(found) or 'none'}; two are needed")
    for name in names:
        if name not in found:
            raise DatasetError(f"{table}: {unknown_name(f'value of {column}', name, found)}")
    records: dict[str, ImageRecord] = {}
    for line, row in rows:
        name, part = row["path"], row.get("split", "").lower()
        if part and part not in PARTS:
            raise DatasetError(f"{table}, line {line}: {unknown_name('split', row['split'], ['train', 'val', 'test'])}")
        if name in records:
            raise DatasetError(f"{table}, line {line}: {name} is in the table already; remove one of the lines")
        if row[column] in names:
            position, identity = names.index(row[column]), row.get("identity") or None
            records[name] = ImageRecord(name, table.parent / name, name, position, PARTS.get(part), identity)
    return Listing(names, [records[name] for name in sorted(records)])


def _table_of(folder: Path) -> Path:
    if folder.is_file():
        return folder
    tables = sorted(path for path in folder.rglob("*.csv") if not path.name.startswith("."))
    if len(tables) != 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in tables[:3]) or "none"
        raise DatasetError(f"{folder} must have one CSV table of images, it has {names}")
    return tables[0]


def _rows(table: Path, needed: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Return the rows and their line numbers; every needed column has a value in every row."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            for name in needed:
                if name not in (reader.fieldnames or ()):
                    raise DatasetError(f"{table} has no column '{name}', only {', '.join(reader.fieldnames or ())}")
            rows = [
                (reader.line_num, {key: (value or "").strip() for key, value in row.items() if key}) for row in reader
            ]
        except (csv.Error, UnicodeDecodeError) as error:
            raise DatasetError(f"{table}, line {reader.line_num}: {error}; save it as CSV in UTF-8") from None
    for line, row in rows:
        for name in needed:
            if not row[name]:
                raise DatasetError(f"{table}, line {line}: no {name}; fill it in or remove the line")
    return rows
