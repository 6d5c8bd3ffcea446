"""The image files of a dataset of config/datasets: listed by its layout, divided, and decoded in several processes.

The pixels go through memory that the processes share, a slot for each batch on its way; through a pipe, they would be
copied four times. Of several images with the same pixels, the first one is kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import multiprocessing
import os
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import pairwise, repeat
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy

from stylex.allocator import keep_freed_memory
from stylex.artifacts import sha256
from stylex.config.datasets import DatasetFile, Shares
from stylex.datasets.catalog import DatasetSpec, check_classes, own_images
from stylex.datasets.extraction import unpack
from stylex.datasets.factors import Factors
from stylex.datasets.images import NAMED, Bytes, ImageInfo, Rendering, read_pixels
from stylex.datasets.layouts import load_layout
from stylex.datasets.layouts.records import ImageRecord, check_names, listed
from stylex.datasets.partition import check_splits, default_shares, split_records
from stylex.datasets.shards import Content, Findings, Row
from stylex.errors import DatasetError, ImageError

Batches: TypeAlias = Sequence[Sequence[ImageRecord]]
Answer: TypeAlias = tuple[bytes, ImageInfo] | str  # sha256 of the pixels, or why the file is unreadable
BATCH_BYTES = 2 << 20  # of pixels that a process prepares before it is asked for more
BATCH_IMAGES = 64
BATCHES = 16  # on their way, a process: what it works off while a shard is written
logger = logging.getLogger("stylex")

# Of a worker, which has them from its parent.
_slots: Bytes  # [slots, images, channels, side, side]
_batches: Batches
_rendering: Rendering


class ImageFiles(NamedTuple):
    """The images of a dataset as its layout lists them, and the split of each."""

    name: str
    file: DatasetFile
    class_names: tuple[str, ...]
    records: list[ImageRecord]  # sorted by id
    shares: Shares
    splits: list[str]
    factors: tuple[str, ...] = ()  # names of the records' factors

    def digest(self) -> str:
        """Return the sha256 of all that is known of the images, of a user's own also of what the files hold."""
        digest, contents = hashlib.sha256(), repeat(None, len(self.records))
        if self.file.own:
            with ThreadPoolExecutor(available_processes()) as threads:
                contents = list(threads.map(_content, (record.path for record in self.records)))
        for each, split, content in zip(self.records, self.splits, contents, strict=True):
            row = [each.id, each.source, each.label, split, each.identity, each.box, content, *each.factors]
            digest.update(json.dumps(row).encode() + b"\n")
        return digest.hexdigest()

    def present(self) -> list[str]:
        """Return the classes that have images; a copy of a published dataset may lack some that are stated."""
        labels = {each.label for each in self.records}
        return [name for label, name in enumerate(self.class_names) if label in labels]

    def description(self) -> dict[str, Any]:
        """Return what the manifest says of the preparation."""
        identities = any(each.identity is not None for each in self.records)
        return {
            "layout": self.file.layout,
            "label": self.file.label,
            "crop": "box of the dataset" if any(each.box for each in self.records) else "central square",
            "background": self.file.background,
            "white_level": self.file.white_level,
            "resize": "lanczos, antialiased",
            "splits": "official" if self.shares.official else "by identity" if identities else "stratified by class",
            "shares": self.shares.model_dump(mode="json", exclude_none=True),
        } | ({"factors": list(self.factors)} if self.factors else {})


def _content(path: Path) -> str | None:
    """Return the sha256 of a file; None: it cannot be read, which preparation will say."""
    try:
        return sha256(path) if path.is_file() else None
    except OSError:
        return None


def list_files(root: Path, spec: DatasetSpec, folder: Path, checksums: Mapping[str, str]) -> ImageFiles:
    """Unpack the raw files in `folder`, whose sha256 are `checksums`, and list the images.

    Raises `ConfigError` for own images that are not there and for a class name that none can have, `DatasetError` when
    the images are not as the layout expects.
    """
    file, folder = spec.file, own_images(root, spec) or folder
    assert file is not None
    unpack(folder, checksums, {each.name: each.members for source in spec.sources for each in source.files})
    class_names, records, notes = load_layout(file.layout)(folder, file.label, spec.class_names)
    check_classes(spec.name, class_names)
    check_names(record.path for record in records)
    assert all(one.id < other.id for one, other in pairwise(records)), "sorted by id, each once"
    if not records:
        raise DatasetError(f"dataset '{spec.name}' has no image in {folder}; look at its layout and its classes")
    for note in notes:
        logger.info("%s: %s", spec.name, note)
    shares = file.shares or default_shares(records)
    splits = split_records(records, shares)
    files = ImageFiles(spec.name, file, class_names, records, shares, splits, spec.factors)
    counts = Counter((split, class_names[record.label]) for record, split in zip(records, splits, strict=True))
    check_splits(spec.name, files.present(), counts)
    return files


def content(files: ImageFiles, channels: int, resolution: int, processes: int) -> Content:
    """Return the images; asking for the last row raises `ImageError` when more are unreadable than may be."""
    findings = Findings(Rendering.of(files.file))
    factors = None
    if files.factors:
        known = numpy.array([record.factors for record in files.records], numpy.float64)
        factors = Factors([record.id for record in files.records], files.factors, known)
    return Content(Counter(files.splits), _rows(files, channels, resolution, processes, findings), findings, factors)


def _rows(files: ImageFiles, channels: int, resolution: int, processes: int, findings: Findings) -> Iterator[Row]:
    """Yield the first of all images with the same pixels: neither its label nor its split has a say."""
    first: dict[bytes, tuple[ImageRecord, str]] = {}
    prepared = _prepared(files.records, channels, resolution, findings.rendering, processes)
    for (record, pixels, answer), split in zip(prepared, files.splits, strict=True):
        if isinstance(answer, str):
            findings.unreadable.append({"file": record.source, "reason": answer})
            continue
        digest, info = answer
        findings.add(record.source, info)
        if digest in first:
            earlier, earlier_split = first[digest]
            findings.dropped += 1
            findings.in_another_split += earlier_split != split
            if earlier.label != record.label:
                pair = [f"{each.source} ({files.class_names[each.label]})" for each in (earlier, record)]
                findings.conflicts.append(" and ".join(pair))
        else:
            first[digest] = record, split
            yield Row(split, pixels, record.label, record.id, record.source)
    _report(files, findings)


def _report(files: ImageFiles, findings: Findings) -> None:
    where = f"config/datasets/{files.name}.yaml"
    if unreadable := findings.unreadable:
        named = listed([f"{each['file']} ({each['reason']})" for each in unreadable], NAMED)
        what = f"{len(unreadable)} of {len(files.records)} images of '{files.name}' cannot be read: {named}"
        if len(unreadable) > (most := files.file.max_unreadable):
            raise ImageError(f"{what}; fix or remove them, or raise max_unreadable, which is {most}, in {where}")
        logger.warning("%s; they are left out and listed in the manifest", what)
    if findings.dropped:
        logger.info("%s: dropped %d images whose pixels are those of an earlier one", files.name, findings.dropped)
    if conflicts := findings.conflicts:
        what = f"{len(conflicts)} of these have another class than the one that is kept; fix the labels"
        logger.warning("%s: %s: %s", files.name, what, listed(conflicts, NAMED))
    findings.report(files.name, where)


def available_processes() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _prepared(
    records: Sequence[ImageRecord], channels: int, side: int, rendering: Rendering, processes: int
) -> Iterator[tuple[ImageRecord, Bytes, Answer]]:
    """Yield all records with their pixels [channels, side, side], which the next batch overwrites."""
    size = channels * side * side
    rows = max(1, min(BATCH_IMAGES, BATCH_BYTES // size))
    batches = [records[start : start + rows] for start in range(0, len(records), rows)]
    processes = min(processes, len(batches))
    count = processes * BATCHES if processes > 1 else 1
    memory = mmap.mmap(-1, count * rows * size)
    slots = numpy.frombuffer(memory, numpy.uint8).reshape(count, rows, channels, side, side)
    alone = (_prepare_batch(batch, slots[0], rendering) for batch in batches)
    results = _in_order(slots, batches, rendering, processes) if processes > 1 else alone
    for index, (batch, answers) in enumerate(zip(batches, results, strict=True)):
        yield from zip(batch, slots[index % count], answers, strict=False)


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
            futures.append(pool.submit(_work, index % len(slots), index))
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


def _work(slot: int, index: int) -> list[Answer]:
    return _prepare_batch(_batches[index], _slots[slot], _rendering)


def _prepare_batch(batch: Sequence[ImageRecord], slot: Bytes, rendering: Rendering) -> list[Answer]:
    answers: list[Answer] = []
    for record, pixels in zip(batch, slot, strict=False):
        try:
            info = read_pixels(record.path, pixels, record.box, rendering)
            answers.append((hashlib.sha256(pixels.data).digest(), info))
        except ImageError as error:
            answers.append(str(error))
    return answers
