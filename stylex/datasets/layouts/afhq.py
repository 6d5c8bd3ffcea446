"""AFHQ (Choi et al. 2020): animal faces of 512 pixels in class folders, with an official test set.

    afhq/train/cat/flickr_cat_000002.jpg      version 1: train, and val, which the authors call the test set
    test/wild/flickr_wild_000004.png          version 2 (2021): train and test

Nothing in AFHQ tells the species of a wild animal, and [L] does not say where the labels of its 'wild cats species'
come from. Whoever has some puts them into species.csv of the raw folder: columns file and species, a row an image.
"""

from __future__ import annotations

from pathlib import Path

from stylex.config.loading import unknown_name
from stylex.datasets.layouts.label_files import by_key, check_rows, find_images, read_column
from stylex.datasets.layouts.records import ImageRecord, Listing
from stylex.errors import DatasetError

LABELS = ("domain", "species")
DOMAINS = ("cat", "dog", "wild")
SPECIES = "species.csv"
SUFFIXES = (".jpg", ".png")


def list_images(folder: Path, label: str | None, classes: tuple[str, ...] | None) -> Listing:
    """List the images of the raw folder that are of one of `classes`; others are left out.

    label: domain (cat, dog, wild; the default) or species (of the wild). classes: default, all that there are. Raises
    `DatasetError` for another label, a class without images, and a species.csv that is missing or does not fit.
    """
    if label is not None and label not in LABELS:
        raise DatasetError(unknown_name("label of AFHQ", label, list(LABELS)))
    labels = _by_species(folder) if label == "species" else _by_domain(folder)
    known = sorted(set(labels.values()))
    names = classes or tuple(known)
    for name in names:
        if name not in known:
            raise DatasetError(f"{folder} has no image of the {unknown_name('class', name, known)}")
    records = [
        ImageRecord(
            id=path.stem,
            path=path,
            source=path.relative_to(folder).as_posix(),
            label=names.index(name),
            part="train" if path.parent.parent.name == "train" else "test",
        )
        for path, name in sorted(labels.items(), key=lambda item: item[0].stem)
        if name in names
    ]
    return Listing(names, records)


def _by_domain(folder: Path) -> dict[Path, str]:
    found = [find_images(folder, f"**/{domain}/*", SUFFIXES) for domain in DOMAINS]
    return {path: path.parent.name for images in found for path in images.values()}


def _by_species(folder: Path) -> dict[Path, str]:
    table, images = folder / SPECIES, find_images(folder, "**/wild/*", SUFFIXES)
    if not table.is_file():
        raise DatasetError(
            f"{table} does not exist: AFHQ does not tell species; write one, columns file and species, with a row for"
            f" each of the {len(images)} images in wild, such as {next(iter(images))},lion"
        )
    rows = read_column(table, "file", "species")
    cells = by_key(table, ((Path(file).stem, cell) for file, cell in rows.items()))
    check_rows(table, cells, images)
    return {path: cells[name].value for name, path in images.items()}
