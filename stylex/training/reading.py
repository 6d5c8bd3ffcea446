"""Images of a training on their way to the device: read ahead by threads, sent as bytes, normalised there.

Threads suffice: to gather the rows of a batch from the memory map releases Python's lock, and the pages that are not in
memory yet are waited for meanwhile. Worker processes would copy each batch once more (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from stylex.datasets import ImageSplit
from stylex.quantization import from_uint8


class _Batch(NamedTuple):
    images: Tensor  # uint8 [n, C, H, W]
    parts: list[Future[Tensor]]  # whose ends they wait for


class Reader:
    """Gives images of a split to a device; `threads` of its own read what is asked for next, 0: none does."""

    def __init__(self, split: ImageSplit, device: str, threads: int = 0) -> None:
        self.split, self.device, self.threads = split, device, threads
        self.pinned = torch.device(device).type == "cuda"
        self._pool = ThreadPoolExecutor(threads, "reader") if threads else None
        self._begun: dict[bytes, _Batch] = {}

    def images(self, index: Tensor, following: Sequence[Tensor] = ()) -> Tensor:
        """Return the images at `index` (int64 [n]) as float32 [n, C, H, W] in [-1, 1] on the device.

        following: the indices of the batches that come next, as far as they are known.
        """
        wait = self._pool is None  # for what is not pinned, the device waits anyway
        return from_uint8(self.bytes(index, following).to(self.device, non_blocking=not wait))

    def bytes(self, index: Tensor, following: Sequence[Tensor] = ()) -> Tensor:
        """Return the same as uint8 on the CPU, in pinned memory where threads read for a GPU."""
        if self._pool is None:
            return self.split.raw(index)
        begun, self._begun = self._begun, {}
        for each in (index, *following):
            key = each.numpy().tobytes()
            self._begun[key] = begun.get(key) or self._begin(self._pool, each)
        batch = self._begun.pop(index.numpy().tobytes())
        for part in batch.parts:
            part.result()
        return batch.images

    def _begin(self, pool: ThreadPoolExecutor, index: Tensor) -> _Batch:
        shape = len(index), self.split.channels, self.split.resolution, self.split.resolution
        images = torch.empty(shape, dtype=torch.uint8, pin_memory=self.pinned)
        parts = zip(index.tensor_split(self.threads), images.tensor_split(self.threads), strict=True)
        return _Batch(images, [pool.submit(self.split.raw, rows, into) for rows, into in parts if len(rows)])
