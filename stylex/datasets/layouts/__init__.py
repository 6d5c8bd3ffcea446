"""The layouts of image datasets, one module each: folders and label files to a listing of images.

A module has `list_images(folder, label, classes) -> Listing` (records.py): `folder` of the raw files, archives unpacked
in it; `label`, where the layout has several; `classes` in the order of their labels, or None for all.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from stylex.datasets.layouts.records import ImageRecord, Listing

ListImages = Callable[[Path, str | None, tuple[str, ...] | None], Listing]

LAYOUTS = {
    "afhq": "stylex.datasets.layouts.afhq",
    "celeba": "stylex.datasets.layouts.celeba",
    "cub": "stylex.datasets.layouts.cub",
    "ffhq": "stylex.datasets.layouts.ffhq",
    "folders": "stylex.datasets.layouts.folders",
    "messidor2": "stylex.datasets.layouts.messidor2",
    "plantvillage": "stylex.datasets.layouts.plantvillage",
    "table": "stylex.datasets.layouts.table",
}

__all__ = ["LAYOUTS", "ImageRecord", "ListImages", "Listing", "load_layout"]


def load_layout(name: str) -> ListImages:
    """Import the module of a layout and return its `list_images`."""
    return importlib.import_module(LAYOUTS[name]).list_images
