"""Resumable checkpoints: complete, atomic, checked on load; the newest two of a configuration are kept."""

from __future__ import annotations

import logging
import pickle
from pathlib import Path
from typing import Any

import torch

from stylex.artifacts import atomic_path
from stylex.training.batches import RealBatches
from stylex.training.state import TrainingState

KEPT = 2
logger = logging.getLogger("stylex")


def save_checkpoint(folder: Path, state: TrainingState, batches: RealBatches, digest: str) -> Path:
    """Write the whole state to <folder>/<digest>-<images>.pt; older ones of this digest beyond two are removed."""
    path = folder / f"{digest}-{state.images:010d}.pt"
    with atomic_path(path) as temporary:
        torch.save({"digest": digest, "state": state.dump(), "batches": batches.state()}, temporary)
    for old in sorted(folder.glob(f"{digest}-*.pt"))[:-KEPT]:
        old.unlink()
    return path


def restore_checkpoint(folder: Path, state: TrainingState, batches: RealBatches, digest: str) -> bool:
    """Restore the newest sound checkpoint of this very configuration; a torn or foreign one is named and skipped."""
    for path in sorted(folder.glob("*.pt"), key=lambda path: path.stem.rpartition("-")[2], reverse=True):
        content = _read(path, digest)
        if content is not None:
            state.restore(content["state"])
            batches.restore(content["batches"])
            logger.info("resumed from %s at %d images", path, state.images)
            return True
    return False


def _read(path: Path, digest: str) -> dict[str, Any] | None:
    try:
        content = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        logger.warning("skipping the damaged checkpoint %s (%s)", path, str(error).splitlines()[0])
        return None
    if content.get("digest") != digest:
        logger.warning("skipping %s: it belongs to another configuration, seed or classifier", path)
        return None
    return content
