"""Caltech-UCSD Birds-200-2011 (Wah et al. 2011): 200 species of birds with an official split and bounding boxes.

CUB_200_2011.tgz, as the README inside it describes it. A line begins with the number of its image (in classes.txt of
its class), and the files are joined by these numbers:

    CUB_200_2011/classes.txt             1 001.Black_footed_Albatross
    CUB_200_2011/images.txt              1 001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg
    CUB_200_2011/image_class_labels.txt  1 1
    CUB_200_2011/train_test_split.txt    1 0                          1: training, 0: test
    CUB_200_2011/bounding_boxes.txt      1 60.0 27.0 325.0 304.0      x, y, width, height in pixels
    CUB_200_2011/images/001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg
"""

from __future__ import annotations

import warnings
from pathlib import Path

from stylex.datasets.layouts.label_files import Cell, by_key, check_rows, find_file, translate
from stylex.datasets.layouts.records import ImageRecord, Listing, Part
from stylex.datasets.layouts.selection import check_label, select_classes
from stylex.errors import DatasetError

ROOT = Path("CUB_200_2011", "CUB_200_2011")  # the archive's folder, in the folder that the archive is unpacked into
PARTS: dict[str, Part] = {"1": "train", "0": "test"}


def list_images(folder: Path, label: str | None, classes: tuple[str, ...] | None) -> Listing:
    """List the birds in the official split, each with the smallest square around its bounding box.

    There is one label: the species, as `class_name` spells them. Raises `DatasetError` for another label, an unknown
    class, a file that is missing or malformed, an image without a line, or a line without an image.
    """
    check_label(label, (), "cub")
    root = folder / ROOT
    names = {number: class_name(cell.value) for number, cell in _read(root / "classes.txt").items()}
    images = _images(root)
    species = translate(*_of_images(root / "image_class_labels.txt", images), names)
    parts = translate(*_of_images(root / "train_test_split.txt", images), PARTS)
    boxes_file, boxes = _of_images(root / "bounding_boxes.txt", images)
    class_names = tuple(names.values())
    records = [
        ImageRecord(
            id=path.relative_to(root / "images").as_posix(),
            path=path,
            source=path.relative_to(folder).as_posix(),
            label=class_names.index(species[number]),
            part=parts[number],
            box=_square(path, _numbers(boxes_file, boxes[number])),
        )
        for number, path in images.items()
    ]
    return select_classes(Listing(class_names, sorted(records, key=lambda record: record.id)), classes)


def class_name(published: str) -> str:
    """Return a name that can be typed: brewer-blackbird for 009.Brewer_Blackbird."""
    return published.split(".", 1)[-1].replace("_", "-").lower()


def _read(path: Path) -> dict[str, Cell]:
    """Return what follows the number of each line, by that number."""
    lines = find_file(path.parent, path.name).read_text(encoding="utf-8", errors="replace").splitlines()
    numbered = (line.strip().partition(" ") for line in lines)
    return by_key(path, ((number, Cell(line, value)) for line, (number, _, value) in enumerate(numbered, 1)))


def _images(root: Path) -> dict[str, Path]:
    """Return the images by number; those of images.txt must be those that are there."""
    listed, folder = _read(root / "images.txt"), root / "images"
    there = {path.relative_to(folder).as_posix(): path for path in folder.glob("*/*.jpg")}
    check_rows(root / "images.txt", {cell.value: cell for cell in listed.values()}, there)
    return {number: there[cell.value] for number, cell in listed.items()}


def _of_images(path: Path, images: dict[str, Path]) -> tuple[Path, dict[str, Cell]]:
    """Read a file that has one line for each image."""
    cells = _read(path)
    check_rows(path, cells, images)
    return path, cells


def _numbers(path: Path, cell: Cell) -> list[float]:
    try:
        numbers = list(map(float, cell.value.split()))
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise DatasetError(f"{path}, line {cell.line}: '{cell.value}' are not four numbers; download the dataset again")
    return numbers


def _square(path: Path, box: list[float]) -> tuple[float, float, float, float] | None:
    """Return a square inside the image: as long as the longer side of the box, around its centre if it fits there.

    None (the central square) for an image that cannot be opened: preparation says so.
    """
    from PIL import Image

    if not path.is_file():  # to open a named pipe would be to wait for ever
        return None
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            across, down = image.size
    except Exception:  # of a damaged file, Pillow raises almost anything
        return None
    x, y, width, height = box
    side = min(max(width, height), across, down)
    left = min(max(x + (width - side) / 2, 0), across - side)
    upper = min(max(y + (height - side) / 2, 0), down - side)
    return left, upper, left + side, upper + side
