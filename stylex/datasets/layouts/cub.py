"""Caltech-UCSD Birds-200-2011 (Wah et al. 2011): 200 species of birds with an official split and bounding boxes.

The layout of CUB_200_2011.tgz, from the README inside it. Every line of a file begins with the number of its image (of
its class in classes.txt), and files are joined by these numbers:

    CUB_200_2011/classes.txt             1 001.Black_footed_Albatross
    CUB_200_2011/images.txt              1 001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg
    CUB_200_2011/image_class_labels.txt  1 1
    CUB_200_2011/train_test_split.txt    1 0                          (1: training, 0: test)
    CUB_200_2011/bounding_boxes.txt      1 60.0 27.0 325.0 304.0      (x, y, width, height in pixels)
    CUB_200_2011/images/001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, TypeVar

from stylex.datasets.layouts.records import ImageRecord, Listing
from stylex.datasets.layouts.selection import check_label, select_classes
from stylex.errors import DatasetError

T = TypeVar("T")
ROOT = Path("CUB_200_2011", "CUB_200_2011")  # the archive's folder, inside the folder it is unpacked into


class Line(NamedTuple):
    """A line of one of the files, without the number that it begins with."""

    where: str  # file and number of the line, for messages
    values: list[str]


def list_images(folder: Path, label: str | None, classes: tuple[str, ...] | None) -> Listing:
    """List the birds in the official split, each with the smallest square around its bounding box.

    There is one label: the species, as `class_name` spells them. Raises `DatasetError` for another label, an unknown
    class, a file that is missing or malformed, an image without a line, or a line without an image.
    """
    check_label(label, (), "cub")
    root = folder / ROOT
    species = {number: class_name(line.values[0]) for number, line in _read(root / "classes.txt", 1).items()}
    names = tuple(species.values())
    images = _read(root / "images.txt", 1)
    labels = _joined(root / "image_class_labels.txt", 1, images)
    parts = _joined(root / "train_test_split.txt", 1, images)
    boxes = _joined(root / "bounding_boxes.txt", 4, images)
    _check_images(root, images)
    records = []
    for number, image in images.items():
        path = root / "images" / image.values[0]
        records.append(
            ImageRecord(
                id=image.values[0],
                path=path,
                source=path.relative_to(folder).as_posix(),
                label=names.index(_choice(labels[number], species)),
                part=_choice(parts[number], {"1": "train", "0": "test"}),
                box=_square(path, boxes[number]),
            )
        )
    return select_classes(Listing(names, sorted(records, key=lambda record: record.id)), classes)


def class_name(published: str) -> str:
    """Return a name that is easy to type: 009.Brewer_Blackbird is brewer-blackbird."""
    return published.split(".", 1)[-1].replace("_", "-").lower()


def _read(path: Path, columns: int) -> dict[str, Line]:
    """Read a file of a number and `columns` values a line; return the lines by their number."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else "is not text"
        raise DatasetError(f"{path} {reason}; run `stylex download` again") from None
    lines: dict[str, Line] = {}
    for position, content in enumerate(text.splitlines(), 1):
        number, *values = content.split()
        where = f"{path}, line {position}"
        if len(values) != columns:
            raise DatasetError(f"{where}: {content!r} has {len(values)} values after the number, expected {columns}")
        if number in lines:
            raise DatasetError(f"{where}: number {number} is there twice")
        lines[number] = Line(where, values)
    return lines


def _joined(path: Path, columns: int, images: dict[str, Line]) -> dict[str, Line]:
    """Read a file that has one line for every image, and no other."""
    lines = _read(path, columns)
    for number, image in images.items():
        if number not in lines:
            raise DatasetError(f"{path} has no line for image {number} ({image.where})")
    for number, line in lines.items():
        if number not in images:
            raise DatasetError(f"{line.where}: no image has the number {number} in images.txt")
    return lines


def _check_images(root: Path, images: dict[str, Line]) -> None:
    files = {path.relative_to(root / "images").as_posix() for path in (root / "images").glob("*/*.jpg")}
    for line in images.values():
        if line.values[0] not in files:
            raise DatasetError(f"{line.where}: {root / 'images' / line.values[0]} does not exist")
    unlisted = files - {line.values[0] for line in images.values()}
    if unlisted:
        raise DatasetError(f"{root / 'images' / min(unlisted)} has no line in {root / 'images.txt'}")


def _choice(line: Line, meanings: dict[str, T]) -> T:
    if line.values[0] not in meanings:
        raise DatasetError(f"{line.where}: {line.values[0]!r} is not one of the {len(meanings)} known values")
    return meanings[line.values[0]]


def _square(path: Path, line: Line) -> tuple[float, float, float, float] | None:
    """Return a square inside the image: as long as the longer side of the bounding box, around its centre if it fits.

    None (the central square) for an image that cannot be opened: preparation reports it.
    """
    from PIL import Image

    try:
        x, y, width, height = map(float, line.values)
    except ValueError:
        raise DatasetError(f"{line.where}: {' '.join(line.values)} are not four numbers") from None
    try:
        with Image.open(path) as image:
            shape = image.size
    except OSError:
        return None
    side = min(max(width, height), *shape)
    left = min(max(x + (width - side) / 2, 0), shape[0] - side)
    upper = min(max(y + (height - side) / 2, 0), shape[1] - side)
    return left, upper, left + side, upper + side
