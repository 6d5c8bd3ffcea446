"""Single image files, prepared by what prepares the images of their dataset: for `stylex explain`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from stylex.config import DatasetConfig
from stylex.datasets import built_in
from stylex.datasets.catalog import dataset_spec
from stylex.datasets.decoding import SIDE
from stylex.datasets.image_files import boxes_of
from stylex.datasets.images import DEFAULT, Box, ImageInfo, ImageSummary, Rendering, read_image, rendering_of

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
        return cls(spec.channels, config.resolution, spec.format in ("idx", "csv"), rendering_of(spec.file))

    def read(self, path: Path, box: Box | None = None) -> tuple[torch.Tensor, ImageInfo]:
        """Read an image file as uint8 [channels, resolution, resolution]; raise `ImageError` when it cannot be read."""
        import torch

        image, seen = read_image(path, self.channels, self.resolution, box, self.rendering)
        if not self.margin or seen.size != (SIDE, SIDE):
            return image, seen
        image, seen = read_image(path, self.channels, SIDE)
        return torch.from_numpy(built_in.prepared(image.numpy(), self.resolution)), seen


def read_files(root: Path, config: DatasetConfig, paths: Sequence[Path]) -> torch.Tensor:
    """Return image files as uint8 [N, C, resolution, resolution]; of the dataset's own files, the bytes of its split.

    A box that the dataset has for an image holds for that very file; of a file from elsewhere, a copy included, the
    central square is taken. Transparency and 16 bits are treated as the dataset's file says, and logged. Raises
    `ConfigError` for an unknown dataset, `ImageError` for a file that cannot be read.
    """
    spec, preparation = dataset_spec(root, config.name), Preparation.of(root, config)
    where = f"config/datasets/{spec.name}.yaml" if spec.file else None
    boxes = boxes_of(root, spec, paths) if spec.file else [None] * len(paths)
    return _read(preparation, paths, boxes, spec.name, where)


def read_squares(preparation: Preparation, paths: Sequence[Path]) -> torch.Tensor:
    """Return image files as uint8 [N, C, resolution, resolution], of each the central square: no dataset is here."""
    return _read(preparation, paths, [None] * len(paths), "explain", None)


def _read(
    preparation: Preparation, paths: Sequence[Path], boxes: Sequence[Box | None], name: str, where: str | None
) -> torch.Tensor:
    import torch

    read = [preparation.read(path, box) for path, box in zip(paths, boxes, strict=True)]
    sightings = ImageSummary(preparation.rendering)
    for path, (_, seen) in zip(paths, read, strict=True):
        sightings.add(str(path), seen)
    sightings.report(name, where)
    return torch.stack([image for image, _ in read])
