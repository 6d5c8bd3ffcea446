"""One split of a prepared dataset: a memory map, and the rows and labels of the classes that were asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy
import numpy.typing

from stylex.artifacts import read_json
from stylex.config import DatasetConfig, DatasetPaths
from stylex.config.base import REST, Split
from stylex.datasets.catalog import validate_dataset
from stylex.errors import ArtifactError

if TYPE_CHECKING:
    import pyarrow
    import torch

Bytes: TypeAlias = numpy.typing.NDArray[numpy.uint8]


class Shards:
    """The memory maps of several files [Mi, C, H, W] as one table."""

    def __init__(self, tables: list[Bytes]) -> None:
        self.tables = tables
        self.ends = numpy.cumsum([len(table) for table in tables])

    def take(self, rows: numpy.typing.NDArray[numpy.int64], axis: Literal[0], out: Bytes, mode: str) -> Bytes:
        """Gather the images at `rows` [n] into `out` [n, C, H, W]; `mode`: that of numpy's take."""
        images = out
        homes = numpy.searchsorted(self.ends, rows, side="right")
        for home in numpy.unique(homes):
            (places,) = numpy.nonzero(homes == home)
            table = self.tables[home]
            images[places] = table.take(rows[places] - (self.ends[home] - len(table)), axis=axis, mode=mode)
        return images


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """The images of some classes of one split; images stay on disk until they are asked for."""

    labels: torch.Tensor  # int64 [N], positions in class_names
    ids: list[str]
    class_names: tuple[str, ...]
    channels: int
    resolution: int
    table: Bytes | Shards  # [M, C, H, W], the memory map of the whole split
    rows: numpy.typing.NDArray[numpy.int64]  # [N], where image i lies in the table

    def __len__(self) -> int:
        return len(self.ids)

    def raw(self, indices: torch.Tensor | None = None, into: torch.Tensor | None = None) -> torch.Tensor:
        """Return the images at `indices` (int64 [n], default: all) as uint8 [n, C, H, W], gathered in one copy.

        into: memory of that shape, by default new one.
        """
        import torch

        rows = self.rows if indices is None else self.rows[indices.cpu().numpy()]
        if into is None:
            into = torch.empty((len(rows), self.channels, self.resolution, self.resolution), dtype=torch.uint8)
        # numpy checks indices twice unless it is told to clip them; those of `rows` are in the table
        self.table.take(rows, axis=0, out=into.numpy(), mode="clip")
        return into

    def images(self, indices: torch.Tensor | None = None) -> torch.Tensor:
        """Return the images at `indices` (int64 [n], default: all) as float32 [n, C, H, W] in [-1, 1]."""
        from stylex.quantization import from_uint8

        return from_uint8(self.raw(indices))

    def part(self, indices: torch.Tensor) -> ImageSplit:
        """Return the split of the images at `indices` (int64 [n])."""
        chosen = [self.ids[index] for index in indices.tolist()]
        return replace(self, labels=self.labels[indices], ids=chosen, rows=self.rows[indices.cpu().numpy()])


def load_split(root: Path, config: DatasetConfig, split: Split) -> ImageSplit:
    """Open a split of the prepared dataset, keep the images of the classes asked for, and label them.

    `classes`: labels follow the order of the list. `one_vs_rest`: 1 is the class, 0 ("rest") all others. Neither: all
    classes. Raises `ConfigError` for an unknown dataset or class, `ArtifactError` when it is not prepared or damaged.
    """
    import torch

    validate_dataset(root, config)
    remedy = f"run `stylex prepare {config.name} --resolution {config.resolution}`"
    manifest_path = DatasetPaths(root, config.name).manifest(config.resolution)
    if not manifest_path.is_file():
        raise ArtifactError(f"{manifest_path} does not exist; {remedy} first")
    manifest = read_json(manifest_path)
    entries = manifest["shards"][split]
    if not isinstance(entries, list):
        raise ArtifactError(f"{manifest_path} is of an earlier version of stylex; {remedy} again")
    batches = [_open(manifest_path.parent / entry["file"], entry["bytes"], remedy) for entry in entries]
    class_names, relabel = _relabelling(config, manifest["class_names"])
    labels = relabel[numpy.concatenate([batch.column("label").to_numpy() for batch in batches])]
    rows = numpy.flatnonzero(labels >= 0)
    ids = [identity for batch in batches for identity in batch.column("id").to_pylist()]
    tables = [batch.column("image").to_numpy_ndarray() for batch in batches]
    return ImageSplit(
        labels=torch.from_numpy(labels[rows]),
        ids=[ids[row] for row in rows.tolist()],
        class_names=class_names,
        channels=manifest["channels"],
        resolution=manifest["resolution"],
        table=tables[0] if len(tables) == 1 else Shards(tables),
        rows=rows,
    )


def load_all_classes(root: Path, name: str, resolution: int, split: Split) -> ImageSplit:
    """Open a split of the prepared dataset with all its classes."""
    config = DatasetConfig(name=name, resolution=resolution, classes=None, one_vs_rest=None)
    return load_split(root, config, split)


def analysis_indices(labels: torch.Tensor, count: int) -> torch.Tensor:
    """Choose at most `count` images, as evenly over the classes as their sizes allow and evenly spaced in each.

    labels [N] int64. Returns sorted indices; the same labels always give the same choice, whatever the seed.
    """
    import torch

    members = [torch.nonzero(labels == label).flatten() for label in labels.unique()]
    chosen: list[torch.Tensor] = []
    left = min(count, len(labels))
    for position, rows in enumerate(sorted(members, key=len)):  # small classes first: large ones take up the rest
        quota = min(len(rows), left // (len(members) - position))
        chosen.append(rows[torch.arange(quota) * len(rows) // max(quota, 1)])
        left -= quota
    return torch.cat(chosen).sort().values


def _open(path: Path, size: int, remedy: str) -> pyarrow.RecordBatch:
    """Memory-map a shard: one record batch, nothing copied."""
    import pyarrow

    if not path.is_file() or path.stat().st_size != size:
        raise ArtifactError(f"{path} is missing or not of {size} bytes as its manifest says; {remedy} again")
    try:
        with pyarrow.memory_map(str(path)) as source:  # the map outlives the open file
            return pyarrow.ipc.open_file(source).get_batch(0)
    except pyarrow.ArrowInvalid as error:
        raise ArtifactError(f"{path} is damaged ({error}); {remedy} again") from None


def _relabelling(config: DatasetConfig, known: list[str]) -> tuple[tuple[str, ...], numpy.typing.NDArray[numpy.int64]]:
    """Return the class names and, for each label of the dataset, the new label or -1 to leave the image out."""
    if config.one_vs_rest is not None:
        relabel = numpy.array([int(name == config.one_vs_rest) for name in known], numpy.int64)
        return (REST, config.one_vs_rest), relabel
    class_names = tuple(config.classes or known)
    positions = {name: label for label, name in enumerate(class_names)}
    return class_names, numpy.array([positions.get(name, -1) for name in known], numpy.int64)
