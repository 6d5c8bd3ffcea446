"""Some classes of a listing, in the order in which a dataset's file asks for them; and the labels of a layout."""

from __future__ import annotations

from dataclasses import replace

from stylex.config.loading import unknown_name
from stylex.datasets.layouts.records import Listing
from stylex.errors import DatasetError


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
