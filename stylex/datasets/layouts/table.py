"""A CSV table of images: columns path and label, and if wanted split (train, val or test) and identity.

Paths are relative to the folder of the table. `label` of the dataset's file names another column than "label".
"""

from __future__ import annotations

import os
from pathlib import Path

from stylex.config.loading import unknown_name
from stylex.datasets.layouts.folders import PARTS
from stylex.datasets.layouts.records import ImageRecord, Listing, listed
from stylex.datasets.layouts.selection import check_alike
from stylex.datasets.layouts.user_csv import read_table
from stylex.errors import DatasetError


def list_images(folder: Path, label: str | None, classes: tuple[str, ...] | None) -> Listing:
    """List the rows of a table, sorted by id (the path as the table has it).

    `folder`: the table itself, or a folder that has one. Classes are the sorted labels; with `classes`, in that order,
    and rows of other labels are left out. Raises `DatasetError` naming the table and the line that is wrong.
    """
    path, column = _table_of(folder), label or "label"
    table = read_table(path, ("path", column), ("split", "identity"))
    found = sorted({row[column] for _, row in table.rows})
    names = classes or tuple(found)
    if len(names) < 2:
        raise DatasetError(f"{path}: the column {column} has the labels {', '.join(found) or 'none'}; two are needed")
    for name in names:
        if name not in found:
            raise DatasetError(f"{path}: {unknown_name(f'value of {column}', name, found)}")
    check_alike(path, names, found)
    records: list[ImageRecord] = []
    lines: dict[str, int] = {}  # by file
    for line, row in table.rows:
        name, part = row["path"], row.get("split", "").lower()
        if part and part not in PARTS:
            raise DatasetError(f"{path}, line {line}: {unknown_name('split', row['split'], ['train', 'val', 'test'])}")
        if (earlier := lines.setdefault(os.path.normpath(name), line)) != line:
            raise DatasetError(f"{path}, line {line}: {name} is in the table already, in line {earlier}; remove one")
        if row[column] in names:
            position, identity = names.index(row[column]), row.get("identity") or None
            records.append(ImageRecord(name, path.parent / name, name, position, PARTS.get(part), identity))
    notes = [f"{len(records)} rows of {len(names)} classes in {path}, separated by {table.separator}: {listed(names)}"]
    if others := len(table.rows) - len(records):
        notes.append(f"left out: {others} rows of {listed(name for name in found if name not in names)}")
    if table.unread:
        notes.append(f"columns that are not read: {listed(table.unread)}")
    return Listing(names, sorted(records, key=lambda record: record.id), tuple(notes))


def _table_of(folder: Path) -> Path:
    if folder.is_file():
        return folder
    tables = sorted(path for path in folder.rglob("*.csv") if not path.name.startswith(".") and path.is_file())
    if len(tables) != 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in tables[:3]) or "none"
        raise DatasetError(f"{folder} must have one CSV table of images, it has {names}")
    return tables[0]
