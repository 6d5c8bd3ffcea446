"""Resumable checkpoints: complete, atomic, verified on load; the newest three of a configuration are kept.

The name is <configuration digest>-<images>-<start of the content's sha256>.pt: torch.load alone does not notice a
changed byte.
"""

from __future__ import annotations

import hashlib
import io
import logging
from pathlib import Path

import torch

from stylex.artifacts import atomic_path, storage_errors
from stylex.training.run import Run
from stylex.training.state import TrainingState

KEPT = 3
HASH_DIGITS = 16
logger = logging.getLogger("stylex")


def save_checkpoint(run: Run, state: TrainingState) -> None:
    """Write the whole state; the oldest of more than three checkpoints of this configuration are removed."""
    buffer = io.BytesIO()
    content = {"state": state.dump(), "batches": run.batches.state(), "sums": run.sums, "counts": run.counts}
    torch.save(content, buffer)
    packed, folder = buffer.getbuffer(), run.paths.checkpoints
    with atomic_path(folder / f"{run.digest}-{state.images:010d}-{_checksum(packed)}.pt") as temporary:
        temporary.write_bytes(packed)
    for old in sorted(folder.glob(f"{run.digest}-*.pt"), key=_age)[:-KEPT]:
        old.unlink()


def restore_checkpoint(run: Run, state: TrainingState) -> bool:
    """Restore the newest sound checkpoint of this very configuration; a torn or foreign one is named and skipped."""
    chosen = _choose(run) if run.processes.first else None
    chosen = run.processes.of_first(chosen)
    if chosen is None:
        return False
    content = torch.load(run.paths.checkpoints / chosen, map_location="cpu", weights_only=True)
    state.restore(content["state"])
    run.batches.restore(content["batches"])
    run.sums = {name: value.to(run.device) for name, value in content["sums"].items()}
    run.counts = content["counts"]
    return True


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process was writing in `folder` or below."""
    for path in folder.rglob(".*.tmp"):
        with storage_errors(path):
            path.unlink()


def remove_foreign(run: Run) -> None:
    """Remove the checkpoints of other configurations: this one is finished and has replaced their model."""
    for path in run.paths.checkpoints.glob("*-*.pt"):
        if not path.name.startswith(f"{run.digest}-"):
            path.unlink()


def _choose(run: Run) -> str | None:
    """Return the name of the newest sound checkpoint."""
    for path in sorted(run.paths.checkpoints.glob("*-*.pt"), key=_age, reverse=True):
        if not path.name.startswith(f"{run.digest}-"):
            logger.warning("skipping %s: it belongs to another configuration, seed or classifier", path)
        elif not path.stem.endswith(f"-{_checksum(path.read_bytes())}"):
            logger.warning("skipping the damaged checkpoint %s: its checksum is not that of its name", path)
        else:
            return path.name
    return None


def _age(path: Path) -> tuple[int, str]:
    # The last one written is the newest: after a rollback it may have seen fewer images than an older one.
    return path.stat().st_mtime_ns, path.name


def _checksum(content: memoryview | bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:HASH_DIGITS]
