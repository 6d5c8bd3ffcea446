"""Messidor-2 (Abràmoff et al. 2013): both eyes of 874 examinations, with the adjudicated grades of Krause et al. 2018.

ADCIS gives the pictures and the list of their pairs, Kaggle (google-brain/messidor2-dr-grades) the grades:

    IMAGES/**/20051020_43808_0100_PP.png, IM000595.JPG    1,748 pictures
    messidor-2.csv                                        left;right
    messidor2-dr-grades/messidor_data.csv                 image_id,adjudicated_dr_grade,adjudicated_dme,
                                                          adjudicated_gradable (0: no grade, the picture is left out)

The grades say IM000595.jpg where the file is IM000595.JPG: names are joined in lower case.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stylex.datasets.layouts.records import ImageRecord, Listing
from stylex.datasets.layouts.selection import check_label, select_classes
from stylex.errors import DatasetError

CLASSES = ("non-dme", "dme")  # dme: hard exudates within one disc diameter of the centre of the macula
IMAGES, PAIRS, GRADES = "IMAGES", "messidor-2.csv", "messidor2-dr-grades/messidor_data.csv"
SUFFIXES = {".png", ".jpg"}
FLAGS = {"0": 0, "0.0": 0, "1": 1, "1.0": 1}  # a column with empty cells becomes decimal in some programs


class Row(NamedTuple):
    """A row of a table with its file and line, for messages."""

    where: str
    cells: dict[str, str]


def list_images(folder: Path, label: str | None, classes: tuple[str, ...] | None) -> Listing:
    """List the gradable pictures; both eyes of an examination share an identity.

    There is one label. No box: the round field of view lies in the middle, and the central square cuts the black
    borders at its sides. Raises `DatasetError` for another label, an unknown class, a table that is missing or
    malformed, a picture without a row, or a row without a picture.
    """
    check_label(label, (), "messidor2")
    images = {path.name.lower(): path for path in (folder / IMAGES).rglob("*") if path.suffix.lower() in SUFFIXES}
    examinations = {}
    for row in _read(folder / PAIRS, ("left", "right"), ";"):
        examination = _picture(row, "left", images)
        examinations |= {examination: examination, _picture(row, "right", images): examination}
    grades = {}
    for row in _read(folder / GRADES, ("image_id", "adjudicated_dme", "adjudicated_gradable"), ","):
        grades[_picture(row, "image_id", images)] = row
    records = []
    for name, path in images.items():
        for table, known in ((PAIRS, examinations), (GRADES, grades)):
            if name not in known:
                raise DatasetError(f"{path} has no row in {folder / table}")
        if _flag(grades[name], "adjudicated_gradable"):
            source, dme = path.relative_to(folder).as_posix(), _flag(grades[name], "adjudicated_dme")
            records.append(ImageRecord(path.stem, path, source, dme, identity=examinations[name]))
    return select_classes(Listing(CLASSES, sorted(records, key=lambda record: record.id)), classes)


def _read(path: Path, columns: tuple[str, ...], delimiter: str) -> Iterator[Row]:
    if not path.is_file():
        raise DatasetError(f"{path} does not exist; run `stylex download` again")
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.reader(file, delimiter=delimiter)
        header = [cell.strip() for cell in next(table, [])]
        for column in columns:
            if column not in header:
                raise DatasetError(f"{path}, line 1: no column {column!r} in {delimiter.join(header)!r}")
        for cells in table:
            where = f"{path}, line {table.line_num}"
            if not any(cells):
                continue
            if len(cells) != len(header):
                raise DatasetError(f"{where}: {len(cells)} cells, expected {len(header)}")
            yield Row(where, dict(zip(header, map(str.strip, cells), strict=True)))


def _picture(row: Row, column: str, images: dict[str, Path]) -> str:
    """Return the key in `images` of the picture that a row names."""
    name = row.cells[column].lower()
    if name not in images:
        raise DatasetError(f"{row.where}: the picture {row.cells[column]!r} is not in {IMAGES}")
    return name


def _flag(row: Row, column: str) -> int:
    if row.cells[column] not in FLAGS:
        raise DatasetError(f"{row.where}: {column} is {row.cells[column]!r}, expected 0 or 1")
    return FLAGS[row.cells[column]]
