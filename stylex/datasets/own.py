"""Whether a user's own images may have changed since they were prepared, told without reading them: for Snakemake."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from stylex.datasets.catalog import DatasetSpec, own_images
from stylex.datasets.layouts import load_layout
from stylex.datasets.layouts.records import check_names
from stylex.datasets.layouts.tree import Tree


def stamp(root: Path, spec: DatasetSpec) -> str:
    """Return a digest of the names, sizes and times of a user's own images; empty for other datasets.

    Raises `ConfigError` when there is no such folder or table, `DatasetError` for a table that is wrong, a folder that
    cannot be read or a name that is no text.
    """
    place, file = own_images(root, spec), spec.file
    if place is None or file is None:
        return ""
    if file.csv:
        paths = [record.path for record in load_layout(file.layout)(place, file.label, spec.class_names).records]
    else:
        paths = sorted(Tree(place).images_below(place))
    check_names(paths)
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path}\t{_state(path)}\n".encode())
    return digest.hexdigest()[:16]


def _state(path: Path) -> str:
    try:
        status = os.stat(path)
    except OSError:  # preparation will say so
        return "not there"
    return f"{status.st_size} {status.st_mtime_ns}"
