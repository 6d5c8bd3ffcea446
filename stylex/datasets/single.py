"""Single image files, prepared by what prepares the images of their dataset: for `stylex explain`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylex.config import DatasetConfig
from stylex.datasets import built_in
from stylex.datasets.catalog import dataset_spec
from stylex.datasets.image_files import boxes_of
from stylex.datasets.images import read_image

if TYPE_CHECKING:
    import torch


def read_files(root: Path, config: DatasetConfig, paths: Sequence[Path]) -> torch.Tensor:
    """Return image files as uint8 [N, C, resolution, resolution]; of the dataset's own files, the bytes of its split.

    A box that the dataset has for an image holds for that very file; of a file from elsewhere, a copy included, the
    central square is taken. Raises `ConfigError` for an unknown dataset, `ImageError` for a file that cannot be read.
    """
    import torch

    spec, side = dataset_spec(root, config.name), config.resolution
    if spec.file is None:
        return torch.stack([built_in.read_file(spec, path, side) for path in paths])
    boxes = boxes_of(root, spec, paths)
    return torch.stack([read_image(path, spec.channels, side, box) for path, box in zip(paths, boxes, strict=True)])
