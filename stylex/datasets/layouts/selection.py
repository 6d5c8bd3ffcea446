"""Some classes of a listing in the order asked for, the labels of a layout, and names that are alike."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from stylex.config.loading import unknown_name
from stylex.datasets.layouts.records import Listing
from stylex.errors import DatasetError

logger = logging.getLogger("stylex")


def select_classes(listing: Listing, classes: tuple[str, ...] | None) -> Listing:
    """Return the images of `classes`, labelled in their order; None: all. Raises `DatasetError` for an unknown one."""
    if classes is None:
        return listing
    for name in classes:
        if name not in listing.class_names:
            raise DatasetError(f"classes: {unknown_name('class', name, list(listing.class_names))}")
    positions = {listing.class_names.index(name): position for position, name in enumerate(classes)}
    kept = [record for record in listing.records if record.label in positions]
    return Listing(classes, [replace(record, label=positions[record.label]) for record in kept])


def check_label(label: str | None, known: tuple[str, ...], layout: str) -> None:
    """Raise `DatasetError` when a dataset's file names a label that the layout does not have; None is the default."""
    if label is None or label in known:
        return
    if not known:
        raise DatasetError(f"label = {label!r}: the layout {layout} has one label; remove the key")
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
    for alike in forms.values():
        if len(alike) < 2 or not used & set(alike):
            continue
        if len({_visible(name) for name in alike}) < len(alike):
            raise DatasetError(
                f"{where}: {' and '.join(map(ascii, alike))} are different classes, and look the same; make"
                " one of them, or rename one"
            )
        what = "are different classes" if used >= set(alike) else "are different, and only what `classes` names is used"
        pair = " and ".join(map(repr, alike))
        logger.warning("%s: %s %s; if they mean the same, make one of them", where, pair, what)


def _visible(name: str) -> str:
    seen = "".join(each for each in unicodedata.normalize("NFC", name) if unicodedata.category(each) != "Cf")
    return " ".join(seen.split())
