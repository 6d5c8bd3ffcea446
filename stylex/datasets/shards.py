"""The rows of a dataset, written as they come into Arrow shards of bounded size: one record batch per shard.

Columns: image (fixed_shape_tensor uint8 [C, H, W], mapped as one array), label, id and source, as in `Row`.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

import numpy

from stylex.artifacts import storage_errors
from stylex.datasets.factors import Factors
from stylex.datasets.images import Bytes, ImageSummary
from stylex.datasets.partition import SPLITS

Entry: TypeAlias = dict[str, str | int]  # of the manifest: file, rows, bytes, sha256
SHARD_BYTES = 128 << 20  # of pixels, in the shards of all splits that are being filled


class Row(NamedTuple):
    """One prepared image."""

    split: str
    pixels: Bytes  # [C, H, W]; may be overwritten when the next row is asked for
    label: int  # position in the dataset's class names
    id: str
    source: str  # the file that it comes from


@dataclass
class Findings(ImageSummary):
    """What was left out and what was seen of the rest, complete when all rows were asked for."""

    unreadable: list[dict[str, str]] = field(default_factory=list)  # file, reason
    dropped: int = 0  # with the pixels of an earlier one
    in_another_split: int = 0  # of these, than the earlier one
    conflicts: list[str] = field(default_factory=list)  # pairs of these with different labels

    def record(self) -> dict[str, Any]:
        """Return the part of the manifest."""
        of_split, of_label = self.in_another_split, len(self.conflicts)
        duplicates = {"dropped": self.dropped, "with_another_label": of_label, "in_another_split": of_split}
        return {"unreadable": self.unreadable, "duplicates": duplicates} | super().record()


class Content(NamedTuple):
    """The images of a dataset, before they are written."""

    planned: Mapping[str, int]  # images by split, at the most
    rows: Iterator[Row]
    findings: Findings | None = None  # None: nothing is ever left out
    factors: Factors | None = None  # of the same images, where they are known


class _Shard(NamedTuple):
    """Rows of a split in memory, which is used again for its next file."""

    images: Bytes
    rows: list[tuple[int, str, str]]  # label, id, source


class ShardWriter:
    """Writes rows to <split>-NNNNN.arrow in a folder. Memory holds `SHARD_BYTES` of pixels."""

    def __init__(self, folder: Path, dataset: str, shape: tuple[int, int, int], planned: Mapping[str, int]) -> None:
        self.folder, self.dataset = folder, dataset
        budget, total = SHARD_BYTES // math.prod(shape), max(1, sum(planned.values()))
        rows = {split: max(1, min(count, budget * count // total)) for split, count in planned.items()}
        self.shards = {split: _Shard(numpy.empty((count, *shape), numpy.uint8), []) for split, count in rows.items()}
        self.entries: dict[str, list[Future[Entry]]] = {split: [] for split in SPLITS}
        self.thread = ThreadPoolExecutor(1)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.thread.shutdown(cancel_futures=True)

    def add(self, row: Row) -> None:
        """Copy one row; raise `StorageError` when a shard cannot be written."""
        shard = self.shards[row.split]
        shard.images[len(shard.rows)] = row.pixels
        shard.rows.append((row.label, row.id, row.source))
        if len(shard.rows) == len(shard.images):
            self._close(row.split, shard)

    def finish(self) -> dict[str, list[Entry]]:
        """Write what is left; return the entries of the manifest by split, in the order of the rows."""
        for split, shard in self.shards.items():
            if shard.rows:
                self._close(split, shard)
        return {split: [future.result() for future in futures] for split, futures in self.entries.items()}

    def _close(self, split: str, shard: _Shard) -> None:
        path, count = self.folder / f"{split}-{len(self.entries[split]):05d}.arrow", len(shard.rows)
        with storage_errors(path):
            checksum = _write(path, shard, {"dataset": self.dataset, "split": split})
        shard.rows.clear()
        # The disk takes longer than the copy to the system's memory, and need not be waited for.
        self.entries[split].append(self.thread.submit(_settle, path, count, checksum))


class _Hashed:
    """A file whose bytes are hashed as they are written, which saves reading them again."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest, self.closed = file, hashlib.sha256(), False

    def write(self, data: memoryview) -> int:
        self.digest.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def _write(path: Path, shard: _Shard, metadata: dict[str, str]) -> str:
    """Write a file and return its sha256."""
    import pyarrow

    columns = {"image": pyarrow.FixedShapeTensorArray.from_numpy_ndarray(shard.images[: len(shard.rows)])}
    columns |= dict(zip(("label", "id", "source"), map(pyarrow.array, zip(*shard.rows, strict=True)), strict=True))
    batch = pyarrow.record_batch(columns, metadata=metadata)
    with path.open("wb") as file:
        hashed = _Hashed(file)
        with pyarrow.ipc.new_file(hashed, batch.schema) as writer:
            writer.write_batch(batch)
    return hashed.digest.hexdigest()


def _settle(path: Path, rows: int, checksum: str) -> Entry:
    """Bring a file to the disk; return its entry of the manifest.

    Its copy in the system's memory is given back for the next file: on a virtual machine, fresh memory took 7 times as
    much CPU to write to (2.6 GB in files of 256 MiB: 6.5 and 0.9 s).
    """
    with storage_errors(path), path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return {"file": path.name, "rows": rows, "bytes": path.stat().st_size, "sha256": checksum}
