"""The layouts of image datasets: from folders and label files to a listing of images.

A layout is a function of its name, `(folder, label, classes) -> Listing` (records.py), in the module that LAYOUTS
names: `folder` of the raw files, archives unpacked in it; `label`, where the layout has several; `classes` in the order
of their labels, or None for all.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from stylex.datasets.layouts.records import Listing

PUBLISHED, OWN = "stylex.datasets.layouts.published", "stylex.datasets.layouts.own"
LAYOUTS = {
    "emoji": "stylex.datasets.layouts.emoji",
    **dict.fromkeys(("afhq", "celeba", "cub", "ffhq", "messidor2"), PUBLISHED),
    "plantvillage": "stylex.datasets.layouts.plantvillage",
    **dict.fromkeys(("folders", "table"), OWN),
}
FACTORS = {"emoji": ("woman", "google", "dark", "active")}  # what a layout knows of every image, besides its class


def load_layout(name: str) -> Callable[[Path, str | None, tuple[str, ...] | None], Listing]:
    """Import the module of a layout and return its function."""
    return getattr(importlib.import_module(LAYOUTS[name]), name)
