"""CelebA (Liu et al. 2015): aligned faces of 178x218 pixels, 40 attributes of -1 and 1, an official partition.

    img_align_celeba/img_align_celeba/000001.jpg
    list_attr_celeba.txt         number of images; names of the attributes; a row an image
    list_eval_partition.txt      0: train, 1: val, 2: test
    identity_CelebA.txt          number of the person

The copy on Kaggle that [V] used has the first two tables as .csv with a header, and no identities. Neither [L] nor [V]
says how the images were cropped, and [V]'s code does not crop. Here it is the central square (preparation): the aligned
eyes, nose and mouth lie in it.
"""

from __future__ import annotations

from pathlib import Path

from stylex.config.loading import unknown_name
from stylex.datasets.layouts.label_files import (
    AGAIN,
    Cell,
    by_key,
    check_rows,
    find_file,
    find_images,
    read_column,
    translate,
)
from stylex.datasets.layouts.records import ImageRecord, Listing, Part
from stylex.errors import DatasetError

DEFAULT = "Male"  # [V] 4.2
NAMES = {"Male": ("female", "male"), "Young": ("old", "young")}  # of the classes without and with the attribute
PARTS: dict[str, Part] = {"0": "train", "1": "val", "2": "test"}


def list_images(folder: Path, label: str | None, classes: tuple[str, ...] | None) -> Listing:
    """List the images of the raw folder.

    label: an attribute, default Male. classes: names of the images without and with it. Raises `DatasetError` for an
    unknown attribute, and for label files that do not fit the images or each other.
    """
    attribute = label or DEFAULT
    names = classes or NAMES.get(attribute, (f"not {attribute}", attribute))
    if len(names) != 2:
        raise DatasetError(f"classes = {', '.join(names)}: name two, of images without and with {attribute}")
    images = find_images(folder, "**/img_align_celeba/*", (".jpg",))
    attributes, partition = (
        find_file(folder, f"{name}.txt", f"{name}.csv") for name in ("list_attr_celeba", "list_eval_partition")
    )
    labels = translate(attributes, _column(attributes, attribute, images), {"-1": 0, "1": 1})
    parts = translate(partition, _column(partition, "partition", images), PARTS)
    identities = _identities(folder, images)
    records = [
        ImageRecord(
            id=name,
            path=path,
            source=path.relative_to(folder).as_posix(),
            label=labels[name],
            part=parts[name],
            identity=identities.get(name),
        )
        for name, path in images.items()
    ]
    return Listing(names, records)


def _identities(folder: Path, images: dict[str, Path]) -> dict[str, str]:
    """Return the person of each image, where the file is there."""
    path = folder / "identity_CelebA.txt"
    if not path.is_file():
        return {}
    return {name: cell.value for name, cell in _column(path, "identity", images).items()}


def _column(path: Path, name: str, images: dict[str, Path]) -> dict[str, Cell]:
    """Read one column of a table that has one row for each image; the keys are names without ending."""
    table = read_column(path, "image_id", name) if path.suffix == ".csv" else _text_column(path, name)
    cells = by_key(path, ((key.removesuffix(".jpg"), cell) for key, cell in table.items()))
    check_rows(path, cells, images)
    return cells


def _text_column(path: Path, name: str) -> dict[str, Cell]:
    """Read a column of a table separated by spaces: of the attributes by name, else the only one."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    first, columns = (2, lines[1].split() if len(lines) > 1 else []) if "attr" in path.name else (0, [name])
    if name not in columns:
        raise DatasetError(f"{path}, line {first}: {unknown_name('attribute', name, columns)}")
    cells: list[tuple[str, Cell]] = []
    for number, line in enumerate(lines[first:], first + 1):
        key, *values = line.split() or [""]
        if len(values) != len(columns):
            raise DatasetError(f"{path}, line {number}: {len(values)} values, expected {len(columns)}; {AGAIN}")
        cells.append((key, Cell(number, values[columns.index(name)])))
    return by_key(path, cells)
