"""Arrow shards of bounded size, written as images come: one record batch a shard, so that readers map it as one array.

Columns: image (fixed_shape_tensor uint8 [C, H, W]), label (position in class_names), id (stable), source (the file that
the image comes from).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import numpy

from stylex.artifacts import sha256, storage_errors
from stylex.datasets.content import SPLITS, Row

Entry: TypeAlias = dict[str, str | int]  # of the manifest: file, rows, bytes, sha256
SHARD_BYTES = 256 << 20  # of pixels, in the shards of all splits that are being filled


class _Shard:
    """Rows in memory that become one file."""

    def __init__(self, rows: int, shape: tuple[int, ...]) -> None:
        self.images = numpy.empty((rows, *shape), numpy.uint8)
        self.labels: list[int] = []
        self.ids: list[str] = []
        self.sources: list[str] = []

    def add(self, row: Row) -> None:
        self.images[len(self.ids)] = row.pixels
        self.labels.append(row.label)
        self.ids.append(row.id)
        self.sources.append(row.source)


class ShardWriter:
    """Divides rows by split, and writes <split>-NNNNN.arrow into a folder.

    Memory holds the shards being filled, `SHARD_BYTES` in all, and one that is being written meanwhile.
    """

    def __init__(self, folder: Path, dataset: str, shape: tuple[int, int, int], planned: Mapping[str, int]) -> None:
        self.folder, self.dataset, self.shape = folder, dataset, shape
        budget, total = SHARD_BYTES // math.prod(shape), max(1, sum(planned.values()))
        self.rows = {split: max(1, min(count, budget * count // total)) for split, count in planned.items()}
        self.filling: dict[str, _Shard] = {}
        self.entries: dict[str, list[Future[Entry]]] = {split: [] for split in SPLITS}
        self.thread = ThreadPoolExecutor(1)
        self.last: Future[Entry] | None = None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.thread.shutdown(cancel_futures=True)

    def add(self, row: Row) -> None:
        """Copy one row; raise `StorageError` when a shard cannot be written."""
        shard = self.filling.get(row.split)
        if shard is None:
            shard = self.filling[row.split] = _Shard(self.rows[row.split], self.shape)
        shard.add(row)
        if len(shard.ids) == len(shard.images):
            self._close(row.split)

    def finish(self) -> dict[str, list[Entry]]:
        """Write what is left; return the entries of the manifest by split, in the order of the rows."""
        for split in sorted(self.filling, key=SPLITS.index):
            self._close(split)
        return {split: [future.result() for future in futures] for split, futures in self.entries.items()}

    def _close(self, split: str) -> None:
        if self.last is not None:
            self.last.result()  # no more than one shard waits in memory
        path = self.folder / f"{split}-{len(self.entries[split]):05d}.arrow"
        metadata = {"dataset": self.dataset, "split": split}
        self.last = self.thread.submit(_write, path, self.filling.pop(split), metadata)
        self.entries[split].append(self.last)


def _write(path: Path, shard: _Shard, metadata: dict[str, str]) -> Entry:
    import pyarrow

    columns = {
        "image": pyarrow.FixedShapeTensorArray.from_numpy_ndarray(shard.images[: len(shard.ids)]),
        "label": pyarrow.array(shard.labels, pyarrow.int64()),
        "id": pyarrow.array(shard.ids, pyarrow.string()),
        "source": pyarrow.array(shard.sources, pyarrow.string()),
    }
    batch = pyarrow.record_batch(columns, metadata=metadata)
    with storage_errors(path), path.open("wb") as file:
        with pyarrow.ipc.new_file(file, batch.schema) as writer:
            writer.write_batch(batch)
        file.flush()
        os.fsync(file.fileno())
    return {"file": path.name, "rows": len(shard.ids), "bytes": path.stat().st_size, "sha256": sha256(path)}
