"""latents.parquet: one row per analysed image, and tensors as Parquet columns (fixed-size lists of float32).

By the protocol `held_out` the analysed images fall into two halves, by a hash of their ids: what is chosen (extremes of
a coordinate, attributes, directions) is chosen on one and measured on the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import torch
from torch import Tensor

from stylex.artifacts import REMAKE, UNWRITABLE, atomic_path, require
from stylex.config.base import Protocol
from stylex.errors import ArtifactError
from stylex.networks.stylespace import StyleVector, move

VECTORS = ("logits", "w", "styles", "to_rgb_styles", "reconstruction_logits")
SCALARS = ("reconstruction_l1", "reconstruction_perceptual", "discriminator")


@dataclass(frozen=True)
class Latents:
    """The table as tensors on the CPU; row i of each belongs to `ids[i]`."""

    ids: list[str]
    labels: Tensor  # [N] int64, index into class_names
    logits: Tensor  # [N, classes], C of the image
    w: Tensor  # [N, W]
    styles: Tensor  # [N, K], StyleSpace
    to_rgb_styles: Tensor  # [N, R]
    reconstruction_l1: Tensor  # [N], mean |x' - x| in [-1, 1]
    reconstruction_perceptual: Tensor  # [N]
    reconstruction_logits: Tensor  # [N, classes], C of the reconstruction
    discriminator: Tensor  # [N], D of the reconstruction
    class_names: tuple[str, ...]
    provenance: dict[str, str]
    protocol: Protocol = Protocol.SAME_IMAGES

    def under(self, protocol: Protocol) -> Latents:
        """Return the same table, searched and measured by this protocol."""
        return replace(self, protocol=Protocol(protocol))

    @cached_property
    def searched(self) -> Tensor:
        """Which images a search may look at, [N] bool."""
        if self.protocol is Protocol.HELD_OUT:
            return first_half(self.ids, self.labels)
        return torch.ones(len(self.ids), dtype=torch.bool)

    @cached_property
    def measured(self) -> Tensor:
        """Which images what was found is measured on, [N] bool."""
        return ~self.searched if self.protocol is Protocol.HELD_OUT else self.searched

    @cached_property
    def extremes(self) -> Tensor:
        """Smallest and largest value of each coordinate over the searched images, [2, K]; axis 0 is `Direction`."""
        return torch.stack([self.minima, self.maxima])

    @cached_property
    def minima(self) -> Tensor:
        """The first row of `extremes`, [K]."""
        return self.styles[self.searched].amin(0)

    @cached_property
    def maxima(self) -> Tensor:
        """The second row of `extremes`, [K]."""
        return self.styles[self.searched].amax(0)

    def rows(self, ids: Sequence[str]) -> Tensor:
        """Return the rows of these images, [n] int64; raise `ArtifactError` when one is not in the table."""
        known = {identity: row for row, identity in enumerate(self.ids)}
        missing = [identity for identity in ids if identity not in known]
        if missing:
            raise ArtifactError(f"latents.parquet has no image '{missing[0]}'; run encode again")
        return torch.tensor([known[identity] for identity in ids], dtype=torch.long)

    def style_vector(self, rows: Tensor | None = None) -> StyleVector:
        """Return what `Synthesis.render` takes, of the images `rows` [n] or of all."""
        styles = StyleVector(self.styles, self.to_rgb_styles)
        return styles if rows is None else styles.select(rows)

    def moved(self, rows: Tensor, moves: Sequence[tuple[int, int]], shift: float) -> StyleVector:
        """Return the styles of the images `rows` [n] with coordinates moved by `shift` towards their extremes.

        moves: (coordinate, `Direction`) each; where a coordinate comes twice, its last move counts.
        """
        styles = self.style_vector(rows)
        index, direction = torch.tensor(moves, dtype=torch.long).reshape(len(moves), 2).T
        return styles._replace(space=move(styles.space, index, self.extremes[direction, index], shift))


def first_half(ids: list[str], labels: Tensor) -> Tensor:
    """Return which images are of the first half, [N] bool; labels [N] int64.

    The images of each class alternate in the order of the sha256 of their ids: both halves have all classes as far as
    there are two images of a class, whatever order or names the images have. Of a single image the first half has it.
    """
    chosen = torch.zeros(len(ids), dtype=torch.bool)
    for label in labels.unique():
        rows = torch.nonzero(labels == label).flatten().tolist()
        rows.sort(key=lambda row: hashlib.sha256(ids[row].encode()).digest())
        chosen[rows[::2]] = True
    return chosen


def write_latents(path: Path, latents: Latents) -> None:
    """Write the table atomically, provenance and class names in its schema metadata."""
    columns: dict[str, pyarrow.Array] = {
        "id": pyarrow.array(latents.ids, pyarrow.string()),
        "label": pyarrow.array(latents.labels.numpy()),
    }
    columns |= {name: vector_column(getattr(latents, name)) for name in VECTORS}
    columns |= {name: pyarrow.array(getattr(latents, name).numpy()) for name in SCALARS}
    metadata = {"class_names": json.dumps(latents.class_names), "provenance": json.dumps(latents.provenance)}
    with atomic_path(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(columns).replace_schema_metadata(metadata), temporary)


def read_latents(path: Path) -> Latents:
    """Read the table; raise `ArtifactError` when it is missing or damaged."""
    with damage_reported(path):
        table = read_parquet(path)
        metadata = json_metadata(table.schema)
        columns: dict[str, Any] = {name: vectors(table[name]) for name in VECTORS}
        columns |= {name: torch.tensor(table[name].to_numpy()) for name in SCALARS}
        labels, class_names = torch.tensor(table["label"].to_numpy()), tuple(metadata["class_names"])
        provenance = metadata["provenance"]
        return Latents(table["id"].to_pylist(), labels, **columns, class_names=class_names, provenance=provenance)


def concatenated(parts: Sequence[Latents]) -> Latents:
    """Return the rows of all parts, in order, with the class names and the provenance of the first."""
    columns = {name: torch.cat([getattr(part, name) for part in parts]) for name in ("labels", *VECTORS, *SCALARS)}
    return replace(parts[0], ids=[identity for part in parts for identity in part.ids], **columns)


def read_parquet(path: Path) -> pyarrow.Table:
    """Read one Parquet file, without guessing partitions from the names of its folders."""
    with pyarrow.parquet.ParquetFile(require(path)) as file:
        return file.read()


def vector_column(values: Tensor) -> pyarrow.FixedSizeListArray:
    """Turn [N, D] (float32) into a column of N fixed-size lists."""
    flat = values.detach().cpu().float().contiguous()
    return pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(flat.flatten().numpy()), flat.shape[1])


def vectors(column: pyarrow.ChunkedArray | pyarrow.FixedSizeListArray) -> Tensor:
    """Turn a column of N fixed-size lists back into [N, D]."""
    array = column.combine_chunks() if isinstance(column, pyarrow.ChunkedArray) else column
    return torch.tensor(array.flatten().to_numpy()).reshape(len(array), array.type.list_size)


def json_metadata(schema: pyarrow.Schema) -> dict[str, Any]:
    """Return the JSON values of the schema metadata by name."""
    return {key.decode(): json.loads(value) for key, value in (schema.metadata or {}).items() if key != b"ARROW:schema"}


@contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """Turn what a damaged or foreign Parquet file provokes into one clear line."""
    try:
        yield
    except (pyarrow.ArrowException, OSError, KeyError, AttributeError, json.JSONDecodeError) as error:
        if isinstance(error, OSError) and error.errno in UNWRITABLE:  # it may not be read, and need not be damaged
            raise
        reason = " ".join(str(error).split())[:120]
        raise ArtifactError(f"{path} is damaged ({reason}); {REMAKE}") from None
