"""AttFind's files: effects-NNNNN.parquet (one row per image, streamed by row groups), attributes.csv, and the maps.

attribute_maps.safetensors says where each attribute changes the images, one map per attribute, named by its move.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import NamedTuple

import pandas
import pyarrow
import pyarrow.parquet
import torch
from torch import Tensor

from stylex.artifacts import atomic_path, load_tensors, read_table, save_tensors, write_table
from stylex.config import AttFindConfig
from stylex.errors import ArtifactError
from stylex.latents.table import Latents, damage_reported, json_metadata, read_parquet, vector_column, vectors
from stylex.networks.stylespace import StyleSpaceLayout

IMAGES_TOWARDS = "images towards"  # key, before a class, of the provenance of independent.csv and subset.csv
ROW_GROUP = 16  # images held in memory while writing
COLUMNS = ("target_class", "rank", "style_index", "layer", "channel", "direction", "mean_effect", "images_explained")


class Method(StrEnum):
    """How the coordinates that explain a single image are chosen ([L] 3.4)."""

    INDEPENDENT = "independent"
    SUBSET = "subset"


class Direction(IntEnum):
    """Towards a coordinate's minimum or maximum over the analysis set; the index into axis [2] of effects."""

    TO_MIN = 0
    TO_MAX = 1

    @property
    def label(self) -> str:
        """The value of attributes.csv's column `direction`."""
        return self.name.lower()


@dataclass(frozen=True)
class EffectsHeader:
    """What holds for all rows of an effects file."""

    class_names: tuple[str, ...]
    shift: float
    precision: str
    minima: list[float]  # [K]
    maxima: list[float]  # [K]
    layers: list[int]  # [K], layer of each coordinate
    channels: list[int]  # [K], channel of each coordinate in its layer
    provenance: dict[str, str]

    @classmethod
    def of(
        cls, latents: Latents, layout: StyleSpaceLayout, shift: float, precision: str, provenance: dict[str, str]
    ) -> EffectsHeader:
        """Return the header for moves of these latents by `shift`."""
        layers, channels = zip(*map(layout.locate, range(layout.size)), strict=True)
        extremes = latents.minima.tolist(), latents.maxima.tolist()
        return cls(latents.class_names, shift, precision, *extremes, list(layers), list(channels), provenance)

    @property
    def shape(self) -> tuple[int, int, int]:
        """[2, K, classes] of one image's effects; axis 0 is `Direction`."""
        return 2, len(self.minima), len(self.class_names)


@dataclass(frozen=True)
class Effects:
    """An effects file in memory; row i belongs to `ids[i]`."""

    ids: list[str]
    base_logits: Tensor  # [N, classes], C of the unmoved reconstruction
    effect: Tensor  # [N, 2, K, classes], change of the logits
    header: EffectsHeader
    discriminator_change: Tensor | None = None  # [N, 2, K], |D before - D after the move|; None: not measured


class EffectsRow(NamedTuple):
    """What is measured on one image."""

    base_logits: Tensor  # [classes]
    effect: Tensor  # [2, K, classes]
    discriminator_change: Tensor | None = None  # [2, K]


class EffectsWriter:
    """Collects rows and writes them as row groups of `ROW_GROUP` images."""

    def __init__(self, writer: pyarrow.parquet.ParquetWriter) -> None:
        self._writer = writer
        self._rows: list[tuple[str, EffectsRow]] = []

    def add(self, identity: str, row: EffectsRow) -> None:
        """Add one image."""
        self._rows.append((identity, row))
        if len(self._rows) == ROW_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write the collected rows, if there are any."""
        if not self._rows:
            return
        ids, rows = zip(*self._rows, strict=True)
        measured = zip(*([value.flatten() for value in row if value is not None] for row in rows), strict=True)
        columns = [pyarrow.array(ids), *(vector_column(torch.stack(values)) for values in measured)]
        self._writer.write_batch(pyarrow.record_batch(columns, schema=self._writer.schema))
        self._rows.clear()


@contextmanager
def effects_writer(path: Path, header: EffectsHeader, discriminator: bool = False) -> Iterator[EffectsWriter]:
    """Yield a writer of `path`, which appears only when all rows are on disk; `discriminator`: rows hold its change."""
    directions, coordinates, classes = header.shape
    fields = [
        pyarrow.field("id", pyarrow.string()),
        pyarrow.field("base_logits", pyarrow.list_(pyarrow.float32(), classes)),
        pyarrow.field("effect", pyarrow.list_(pyarrow.float32(), directions * coordinates * classes)),
    ]
    if discriminator:
        fields.append(pyarrow.field("discriminator_change", pyarrow.list_(pyarrow.float32(), directions * coordinates)))
    metadata = {name: json.dumps(value) for name, value in (asdict(header) | {"shape": header.shape}).items()}
    schema = pyarrow.schema(fields, metadata)
    with atomic_path(path) as temporary, pyarrow.parquet.ParquetWriter(temporary, schema) as parquet:
        writer = EffectsWriter(parquet)
        yield writer
        writer.flush()


def read_effects(paths: Sequence[Path]) -> Effects:
    """Read the shards of an experiment's effects as one; raise `ArtifactError` when one is missing, damaged or foreign.

    Shards may differ in where they were computed, and in nothing else that their headers say.
    """
    shards = [_read_shard(path) for path in paths]
    first = replace(shards[0].header, provenance={})
    for path, shard in zip(paths, shards, strict=True):
        if replace(shard.header, provenance={}) != first:
            raise ArtifactError(f"{path} and {paths[0]} were measured differently; delete both and run the stage again")
    changes = [shard.discriminator_change for shard in shards if shard.discriminator_change is not None]
    return Effects(
        [identity for shard in shards for identity in shard.ids],
        torch.cat([shard.base_logits for shard in shards]),
        torch.cat([shard.effect for shard in shards]),
        shards[0].header,
        torch.cat(changes) if len(changes) == len(shards) else None,
    )


def _read_shard(path: Path) -> Effects:
    with damage_reported(path):
        table = read_parquet(path)
        metadata = json_metadata(table.schema)
        shape = metadata.pop("shape")
        metadata["class_names"] = tuple(metadata["class_names"])
        header = EffectsHeader(**metadata)
        ids, change = table["id"].to_pylist(), None
        if "discriminator_change" in table.column_names:
            change = vectors(table["discriminator_change"]).reshape(len(ids), *shape[:2])
        effect = vectors(table["effect"]).reshape(len(ids), *shape)
        return Effects(ids, vectors(table["base_logits"]), effect, header, change)


@dataclass(frozen=True)
class Attribute:
    """One selected coordinate: a row of attributes.csv."""

    target_class: str
    rank: int  # 1 is the first found
    style_index: int
    layer: int
    channel: int
    direction: Direction
    mean_effect: float  # logits, over the images still unexplained; NaN where another method selected it
    images_explained: int | None  # None where another method selected it

    @property
    def move(self) -> tuple[int, Direction]:
        """The coordinate and where it moves, as `Latents.moved` takes them."""
        return self.style_index, self.direction


def threshold_in_logits(options: AttFindConfig, logits: Tensor) -> float:
    """Return the threshold of Algorithm 1; logits [N, classes]: of the searched reconstructions."""
    if options.threshold_margins is None:
        return options.threshold
    first, second = logits.double().topk(2, dim=1).values.unbind(dim=1)
    return options.threshold_margins * float((first - second).median())


def write_attributes(path: Path, attributes: list[Attribute], provenance: dict[str, str]) -> None:
    """Write attributes.csv and its provenance beside it."""
    rows = [asdict(attribute) | {"direction": attribute.direction.label} for attribute in attributes]
    write_table(path, pandas.DataFrame(rows, columns=list(COLUMNS)), provenance)


def read_attributes(path: Path) -> dict[str, list[Attribute]]:
    """Read attributes.csv: by target class, in order of rank; raise `ArtifactError` when it is missing or damaged."""
    frame = read_table(path, text=("target_class", "direction"))
    missing = [column for column in COLUMNS if column not in frame]
    if missing or not set(frame["direction"]) <= {direction.label for direction in Direction}:
        reason = f"no column {missing[0]}" if missing else "an unknown direction"
        raise ArtifactError(f"{path} is damaged ({reason}); delete it and run its stage again")
    attributes: dict[str, list[Attribute]] = {}
    for values in frame.sort_values("rank", kind="stable")[list(COLUMNS)].itertuples(index=False, name=None):
        row = dict(zip(COLUMNS, values, strict=True))
        row["direction"] = Direction[row["direction"].upper()]
        row["images_explained"] = None if pandas.isna(row["images_explained"]) else int(row["images_explained"])
        attribute = Attribute(**row)
        attributes.setdefault(attribute.target_class, []).append(attribute)
    return attributes


def top_attributes(by_class: Mapping[str, Sequence[Attribute]], count: int) -> list[Attribute]:
    """Merge the lists of all target classes by rank and return the first `count` different coordinates."""
    every = [attribute for attributes in by_class.values() for attribute in attributes]
    every.sort(key=lambda attribute: (attribute.rank, -attribute.mean_effect, attribute.style_index))
    first: dict[int, Attribute] = {}
    for attribute in every:
        first.setdefault(attribute.style_index, attribute)
    return list(first.values())[:count]


def map_name(attribute: Attribute) -> str:
    """Return the name of an attribute's map: its coordinate, direction and target class."""
    return f"{attribute.style_index} {attribute.direction.label} {attribute.target_class}"


def write_maps(path: Path, maps: Mapping[str, Tensor], provenance: Mapping[str, str]) -> None:
    """Write the maps [H, W] by `map_name`, in [0, 2]."""
    save_tensors(path, {name: values.float() for name, values in maps.items()}, provenance)


def read_maps(path: Path, attributes: Sequence[Attribute]) -> list[Tensor]:
    """Return the map [H, W] in [0, 2] of each attribute; NaN where there was no image to move.

    Raises `ArtifactError` when the file is missing or damaged, or has no map of one of them.
    """
    maps, _ = load_tensors(path)
    names = [map_name(attribute) for attribute in attributes]
    for name in names:
        if name not in maps:
            raise ArtifactError(f"{path} has no map of the move '{name}'; run its stage again")
    return [maps[name] for name in names]


def mapped(found: Sequence[Attribute], count: int) -> list[Attribute]:
    """Return the first of a class's list, up to `count` different coordinates: all that a figure of so many shows.

    A list may have a coordinate twice, once in either direction.
    """
    indices = [attribute.style_index for attribute in found]
    return [attribute for place, attribute in enumerate(found) if len(set(indices[: place + 1])) <= count]
