"""Image files to prepared pixels, in several processes, in order, with a bounded number of images on their way.

The pixels go through memory that the processes share, a slot for each batch on its way; through a pipe, they would be
copied four times.
"""

from __future__ import annotations

import hashlib
import mmap
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import NamedTuple, TypeAlias

import numpy

from stylex.datasets.images import Bytes, read_pixels
from stylex.datasets.layouts.records import ImageRecord
from stylex.datasets.rendering import Rendering, Seen
from stylex.errors import DatasetError, ImageError
from stylex.memory import keep_freed_memory

Batches: TypeAlias = Sequence[Sequence[ImageRecord]]
Answer: TypeAlias = tuple[bytes, Seen] | str  # digest of the pixels, or why the file is unreadable
BATCH_BYTES = 2 << 20  # of pixels that a process prepares before it is asked for more
BATCH_IMAGES = 64
BATCHES = 16  # on their way, a process: what it works off while a shard is written

# Of a worker, which has them from its parent.
_slots: Bytes  # [slots, images, channels, side, side]
_batches: Batches
_rendering: Rendering


class Prepared(NamedTuple):
    """What became of an image file."""

    record: ImageRecord
    pixels: Bytes  # [channels, side, side]; overwritten when the next batch is asked for
    digest: bytes  # sha256 of the pixels; empty for an unreadable file
    reason: str  # why it is unreadable
    seen: Seen


def available_processes() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def prepared_pixels(
    records: Sequence[ImageRecord], channels: int, side: int, rendering: Rendering, processes: int
) -> Iterator[Prepared]:
    """Yield the prepared pixels of all records, in their order; raise `DatasetError` when a process dies."""
    size = channels * side * side
    rows = max(1, min(BATCH_IMAGES, BATCH_BYTES // size))
    batches = [records[start : start + rows] for start in range(0, len(records), rows)]
    processes = min(processes, len(batches))
    count = processes * BATCHES if processes > 1 else 1
    memory = mmap.mmap(-1, count * rows * size)
    slots = numpy.frombuffer(memory, numpy.uint8).reshape(count, rows, channels, side, side)
    many = processes > 1
    results = _in_order(slots, batches, rendering, processes) if many else _here(slots, batches, rendering)
    for index, (batch, answers) in enumerate(zip(batches, results, strict=True)):
        for record, pixels, answer in zip(batch, slots[index % count], answers, strict=False):
            (digest, seen), reason = ((b"", Seen()), answer) if isinstance(answer, str) else (answer, "")
            yield Prepared(record, pixels, digest, reason, seen)


def _here(slots: Bytes, batches: Batches, rendering: Rendering) -> Iterator[list[Answer]]:
    for batch in batches:
        yield [_prepare(record, pixels, rendering) for record, pixels in zip(batch, slots[0], strict=False)]


def _in_order(slots: Bytes, batches: Batches, rendering: Rendering, processes: int) -> Iterator[list[Answer]]:
    """Yield the answers to each batch; its slot is given away only when the answers to the next one are asked for."""
    # Forked, as that shares the memory and starts at once: before this process has threads of its own making.
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(processes, context, _begin, (slots, batches, rendering))
    futures: deque[Future[list[Answer]]] = deque()
    try:
        for index in range(len(batches)):
            if len(futures) == len(slots):
                yield futures.popleft().result()
            futures.append(pool.submit(_prepare_batch, index % len(slots), index))
        while futures:
            yield futures.popleft().result()
    except BrokenProcessPool:
        raise DatasetError(
            "a process that prepares images was killed, perhaps for want of memory: free some, or lower --processes"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(slots: Bytes, batches: Batches, rendering: Rendering) -> None:
    global _slots, _batches, _rendering
    _slots, _batches, _rendering = slots, batches, rendering
    keep_freed_memory()  # else a third of the time goes into pages that come and go with every image
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait for the end of the parent, and end: a worker whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _prepare_batch(slot: int, index: int) -> list[Answer]:
    return [_prepare(record, pixels, _rendering) for record, pixels in zip(_batches[index], _slots[slot], strict=False)]


def _prepare(record: ImageRecord, pixels: Bytes, rendering: Rendering) -> Answer:
    try:
        seen = read_pixels(record.path, pixels, record.box, rendering)
    except ImageError as error:
        return str(error)
    return hashlib.sha256(pixels.data).digest(), seen
