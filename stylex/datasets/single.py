"""Single image files, prepared by what prepares the images of their dataset: for `stylex explain`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylex.config import DatasetConfig
from stylex.datasets import built_in
from stylex.datasets.catalog import dataset_spec
from stylex.datasets.image_files import boxes_of
from stylex.datasets.images import DEFAULT, ImageInfo, ImageSummary, read_image, rendering_of

if TYPE_CHECKING:
    import torch


def read_files(root: Path, config: DatasetConfig, paths: Sequence[Path]) -> torch.Tensor:
    """Return image files as uint8 [N, C, resolution, resolution]; of the dataset's own files, the bytes of its split.

    A box that the dataset has for an image holds for that very file; of a file from elsewhere, a copy included, the
    central square is taken. Transparency and 16 bits are treated as the dataset's file says, and logged. Raises
    `ConfigError` for an unknown dataset, `ImageError` for a file that cannot be read.
    """
    spec, side = dataset_spec(root, config.name), config.resolution
    rendering, where = rendering_of(spec.file), f"config/datasets/{spec.name}.yaml" if spec.file else None
    if spec.file is None:
        read = [built_in.read_file(spec, path, side) for path in paths]
    else:
        boxes = boxes_of(root, spec, paths)
        read = [read_image(path, spec.channels, side, box, rendering) for path, box in zip(paths, boxes, strict=True)]
    return _stacked(paths, read, ImageSummary(rendering), spec.name, where)


def read_squares(paths: Sequence[Path], channels: int, side: int) -> torch.Tensor:
    """Return the central squares of image files as uint8 [N, channels, side, side], where no dataset says more."""
    read = [read_image(path, channels, side) for path in paths]
    return _stacked(paths, read, ImageSummary(DEFAULT), "explain", None)


def _stacked(
    paths: Sequence[Path],
    read: list[tuple[torch.Tensor, ImageInfo]],
    sightings: ImageSummary,
    name: str,
    where: str | None,
) -> torch.Tensor:
    import torch

    for path, (_, seen) in zip(paths, read, strict=True):
        sightings.add(str(path), seen)
    sightings.report(name, where)
    return torch.stack([image for image, _ in read])
