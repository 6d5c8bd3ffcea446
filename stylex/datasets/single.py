"""Single image files, prepared by what prepares the images of their dataset: for `stylex explain`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from stylex.config import DatasetConfig, DatasetPaths
from stylex.datasets.built_in import read_file
from stylex.datasets.catalog import DatasetSpec, dataset_spec
from stylex.datasets.images import Bytes, ImageInfo, ImageSummary, Rendering, read_image
from stylex.datasets.layouts import load_layout
from stylex.datasets.layouts.records import Box

if TYPE_CHECKING:
    import torch


def read_files(root: Path, config: DatasetConfig, paths: Sequence[Path]) -> torch.Tensor:
    """Return image files as uint8 [N, C, resolution, resolution]; of the dataset's own files, the bytes of its split.

    A box that the dataset has for an image holds for that very file; of a file from elsewhere, a copy included, the
    central square is taken. Transparency and 16 bits are treated as the dataset's file says, and logged. Raises
    `ConfigError` for an unknown dataset, `ImageError` for a file that cannot be read.
    """
    spec, side = dataset_spec(root, config.name), config.resolution
    if spec.file is None:
        return _stacked(paths, [read_file(spec, path, side) for path in paths], Rendering(), spec.name, None)
    rendering, boxes = Rendering.of(spec.file), _boxes(root, spec, paths)
    read = [read_image(path, spec.channels, side, box, rendering) for path, box in zip(paths, boxes, strict=True)]
    return _stacked(paths, read, rendering, spec.name, f"config/datasets/{spec.name}.yaml")


def read_squares(paths: Sequence[Path], channels: int, side: int) -> torch.Tensor:
    """Return the central squares of image files as uint8 [N, channels, side, side], where no dataset says more."""
    return _stacked(paths, [read_image(path, channels, side) for path in paths], Rendering(), "explain", None)


def _stacked(
    paths: Sequence[Path], read: list[tuple[Bytes, ImageInfo]], rendering: Rendering, name: str, where: str | None
) -> torch.Tensor:
    import torch

    summary = ImageSummary(rendering)
    for path, (_, seen) in zip(paths, read, strict=True):
        summary.add(str(path), seen)
    summary.report(name, where)
    return torch.from_numpy(numpy.stack([image for image, _ in read]))


def _boxes(root: Path, spec: DatasetSpec, paths: Sequence[Path]) -> list[Box | None]:
    """Return the box that the dataset has for each file, if it is one of the dataset's own; None: the central square.

    The images are listed only when some file lies in their folder.
    """
    assert spec.file is not None
    folder = DatasetPaths(root, spec.raw).raw if spec.file.own is None else root / spec.file.own
    inside = [path for path in paths if os.path.isfile(path) and _is_inside(path, folder)]
    records = load_layout(spec.file.layout)(folder, spec.file.label, spec.class_names).records if inside else []
    boxed = [record for record in records if record.box is not None]
    return [next((each.box for each in boxed if path in inside and each.path.samefile(path)), None) for path in paths]


def _is_inside(path: Path, folder: Path) -> bool:
    """Say whether `path` lies in `folder`, by its name or by where links lead."""
    named = Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))
    return named or path.resolve().is_relative_to(folder.resolve())
