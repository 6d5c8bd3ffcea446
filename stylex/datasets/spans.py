"""Which bytes of a file that several connections fetch are still missing, recorded so that a killed download goes on.

All connections write into one `<target>.part`, which has the full length from the start, with holes. What is missing
stands in `<target>.part.json`, written after the bytes before it reached the disk: what was received since is fetched
again. A part without that record is the beginning of the file, as one connection leaves it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from stylex.artifacts import read_json, write_json
from stylex.errors import ArtifactError


@dataclass
class Span:
    """Bytes `position` to `end` (exclusive) are missing; `position` moves on as they are written."""

    position: int
    end: int


def record_path(part: Path) -> Path:
    """Return where the spans of `part` are recorded."""
    return part.with_name(f"{part.name}.json")


def plan(part: Path, size: int, connections: int) -> list[Span]:
    """Return what is missing of the `size` bytes of `part`: what was recorded, or else `connections` equal spans."""
    recorded = _recorded(part, size)
    if recorded is not None:
        return recorded
    start = part.stat().st_size
    step = max(1, -(-(size - start) // connections))
    return [Span(position, min(position + step, size)) for position in range(start, size, step)]


def begin(part: Path, size: int, spans: list[Span]) -> None:
    """Record `spans`, then give `part` its full length: in this order, as a full part without a record is complete."""
    record(part, spans)
    os.truncate(part, size)


def left(spans: list[Span]) -> int:
    """Return how many bytes are missing."""
    return sum(max(0, span.end - span.position) for span in spans)


def record(part: Path, spans: list[Span]) -> None:
    """Write down what is missing from `part`, once everything else is on the disk; raise `StorageError`."""
    missing = [[span.position, span.end] for span in spans if span.position < span.end]
    sync(part)
    write_json(record_path(part), missing)


def sync(part: Path) -> None:
    """Wait until the bytes of `part` are on the disk."""
    with part.open("rb") as stream:
        os.fsync(stream.fileno())


def clear(part: Path) -> None:
    """Empty `part` and forget its spans."""
    os.truncate(part, 0)
    record_path(part).unlink(missing_ok=True)


def _recorded(part: Path, size: int) -> list[Span] | None:
    """Return the recorded spans, or None without a record or with one that cannot be of this part."""
    if not record_path(part).is_file() or part.stat().st_size != size:
        return None
    try:
        spans = [Span(*each) for each in read_json(record_path(part))]
        return spans if all(0 <= span.position < span.end <= size for span in spans) else None
    except (ArtifactError, TypeError):
        return None
