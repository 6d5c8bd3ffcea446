"""latents.parquet: one row an analysed image, and tensors as Parquet columns (fixed-size lists of float32)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import torch
from torch import Tensor

from stylex.artifacts import atomic_path, require
from stylex.errors import ArtifactError
from stylex.networks.stylespace import StyleVector

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

    def style_vector(self, indices: Tensor | None = None) -> StyleVector:
        """Return what `Synthesis.render` takes, of the rows `indices` [n] or of all."""
        if indices is None:
            return StyleVector(self.styles, self.to_rgb_styles)
        return StyleVector(self.styles[indices], self.to_rgb_styles[indices])

    @property
    def minima(self) -> Tensor:
        """Smallest value of each coordinate over the analysis set, [K]: the extreme of `Direction.TO_MIN`."""
        return self.styles.amin(0)

    @property
    def maxima(self) -> Tensor:
        """Largest value of each coordinate over the analysis set, [K]: the extreme of `Direction.TO_MAX`."""
        return self.styles.amax(0)


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
        return Latents(
            ids=table["id"].to_pylist(),
            labels=torch.tensor(table["label"].to_numpy()),
            **{name: vectors(table[name]) for name in VECTORS},
            **{name: torch.tensor(table[name].to_numpy()) for name in SCALARS},
            class_names=tuple(metadata["class_names"]),
            provenance=metadata["provenance"],
        )


def concatenated(parts: Sequence[Latents]) -> Latents:
    """Return the rows of all parts, in order, with the class names and the provenance of the first."""
    tensors = [name for name, value in vars(parts[0]).items() if isinstance(value, Tensor)]
    columns = {name: torch.cat([getattr(part, name) for part in parts]) for name in tensors}
    return replace(parts[0], ids=[each for part in parts for each in part.ids], **columns)


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
        reason = " ".join(str(error).split())[:120]
        raise ArtifactError(f"{path} is damaged ({reason}); delete it and run its stage again") from None
