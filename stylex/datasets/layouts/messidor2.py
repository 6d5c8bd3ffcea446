"""Messidor-2 (Abràmoff et al. 2013): both eyes of 874 examinations, with the adjudicated grades of Krause et al. 2018.

ADCIS gives the pictures and the list of their pairs, Kaggle (google-brain/messidor2-dr-grades) the grades:

    IMAGES/**/20051020_43808_0100_PP.png, IM000595.JPG    1,748 pictures
    messidor-2.csv                                        left;right
    messidor2-dr-grades/messidor_data.csv                 image_id,adjudicated_dr_grade,adjudicated_dme,
                                                          adjudicated_gradable (0: no grade, the picture is left out)

The grades say IM000595.jpg where the file is IM000595.JPG: all are joined by their names without ending.
"""

from __future__ import annotations

from pathlib import Path

from stylex.datasets.layouts.label_files import Cell, by_key, check_rows, find_file, find_images, read_column, translate
from stylex.datasets.layouts.records import ImageRecord, Listing
from stylex.datasets.layouts.selection import check_label, select_classes

CLASSES = ("non-dme", "dme")  # dme: hard exudates within one disc diameter of the centre of the macula
FLAGS = {"0": 0, "0.0": 0, "1": 1, "1.0": 1}  # a column with empty cells becomes decimal in some programs


def list_images(folder: Path, label: str | None, classes: tuple[str, ...] | None) -> Listing:
    """List the gradable pictures; both eyes of an examination share an identity.

    There is one label. No box: the round field of view lies in the middle, and the central square cuts the black
    borders at its sides. Raises `DatasetError` for another label, an unknown class, a table that is missing or
    malformed, a picture without a row, or a row without a picture.
    """
    check_label(label, (), "messidor2")
    images = find_images(folder, "IMAGES/**/*", (".png", ".jpg", ".JPG"))
    examinations = _examinations(find_file(folder, "messidor-2.csv"), images)
    table = find_file(folder, "messidor_data.csv")
    gradable = translate(table, _grades(table, "adjudicated_gradable", images), FLAGS)
    graded = {name: cell for name, cell in _grades(table, "adjudicated_dme", images).items() if gradable[name]}
    records = [
        ImageRecord(
            id=name,
            path=images[name],
            source=images[name].relative_to(folder).as_posix(),
            label=dme,
            identity=examinations[name].value,
        )
        for name, dme in sorted(translate(table, graded, FLAGS).items())
    ]
    return select_classes(Listing(CLASSES, records), classes)


def _examinations(table: Path, images: dict[str, Path]) -> dict[str, Cell]:
    """Return the examination of each picture: the name of its left one."""
    pairs = read_column(table, "left", "right", ";")
    eyes = (
        (Path(eye).stem, Cell(cell.line, Path(left).stem)) for left, cell in pairs.items() for eye in (left, cell.value)
    )
    examinations = by_key(table, eyes)
    check_rows(table, examinations, images)
    return examinations


def _grades(table: Path, column: str, images: dict[str, Path]) -> dict[str, Cell]:
    cells = by_key(table, ((Path(name).stem, cell) for name, cell in read_column(table, "image_id", column).items()))
    check_rows(table, cells, images)
    return cells
