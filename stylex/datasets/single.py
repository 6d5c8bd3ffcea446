"""Single image files, prepared by what prepares the images of their dataset: for `stylex explain`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy

from stylex.config import DatasetConfig, DatasetPaths
from stylex.datasets.built_in import SIDE, prepared
from stylex.datasets.catalog import DatasetSpec, dataset_spec
from stylex.datasets.images import DEFAULT, Bytes, ImageInfo, ImageSummary, Rendering, read_image
from stylex.datasets.layouts import load_layout
from stylex.datasets.layouts.records import Box

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Preparation:
    """How an image file becomes an image of a dataset, boxes apart."""

    channels: int  # 1: grey, 3: RGB
    resolution: int
    margin: bool = False  # one of 28x28 pixels, as digits and garments are downloaded, gets their margin
    rendering: Rendering = DEFAULT

    @classmethod
    def of(cls, root: Path, config: DatasetConfig) -> Self:
        """Return that of a dataset; raise `ConfigError` when it is unknown."""
        spec = dataset_spec(root, config.name)
        rendering = Rendering.of(spec.file) if spec.file else DEFAULT
        return cls(spec.channels, config.resolution, spec.format in ("idx", "csv"), rendering)

    def read(self, path: Path, box: Box | None = None) -> tuple[Bytes, ImageInfo]:
        """Read an image file as uint8 [channels, resolution, resolution]; raise `ImageError` when it cannot be read."""
        image, seen = read_image(path, self.channels, self.resolution, box, self.rendering)
        if self.margin and seen.size == (SIDE, SIDE):
            image, seen = read_image(path, self.channels, SIDE)
            image = prepared(image, self.resolution)[0]
        return image, seen


def read_files(root: Path, config: DatasetConfig, paths: Sequence[Path]) -> torch.Tensor:
    """Return image files as uint8 [N, C, resolution, resolution]; of the dataset's own files, the bytes of its split.

    A box that the dataset has for an image holds for that very file; of a file from elsewhere, a copy included, the
    central square is taken. Transparency and 16 bits are treated as the dataset's file says, and logged. Raises
    `ConfigError` for an unknown dataset, `ImageError` for a file that cannot be read.
    """
    spec, preparation = dataset_spec(root, config.name), Preparation.of(root, config)
    where = f"config/datasets/{spec.name}.yaml" if spec.file else None
    boxes = _boxes(root, spec, paths) if spec.file else [None] * len(paths)
    return _read(preparation, paths, boxes, spec.name, where)


def read_squares(preparation: Preparation, paths: Sequence[Path]) -> torch.Tensor:
    """Return image files as uint8 [N, C, resolution, resolution], of each the central square: no dataset is here."""
    return _read(preparation, paths, [None] * len(paths), "explain", None)


def _read(
    preparation: Preparation, paths: Sequence[Path], boxes: Sequence[Box | None], name: str, where: str | None
) -> torch.Tensor:
    import torch

    read = [preparation.read(path, box) for path, box in zip(paths, boxes, strict=True)]
    summary = ImageSummary(preparation.rendering)
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
