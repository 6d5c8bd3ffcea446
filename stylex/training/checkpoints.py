"""Resumable checkpoints: complete, atomic, verified on load; the newest three of a key are kept, those of others stay.

The name is <key of the training>-<images>-<start of the content's sha256>.pt: torch.load alone does not notice a
changed byte.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from stylex.artifacts import atomic_path, storage_errors
from stylex.errors import ArtifactError
from stylex.training.key import CHECKPOINT_FORMAT
from stylex.training.run import Run
from stylex.training.state import TrainingState

KEPT = 3
HASH_DIGITS = 16
NAME = re.compile(rf"(?P<key>[0-9a-f]+)-(?P<images>\d+)-(?P<checksum>[0-9a-f]{{{HASH_DIGITS}}})\.pt")
logger = logging.getLogger("stylex")


def save_checkpoint(run: Run, state: TrainingState) -> None:
    """Write the whole state; the oldest of more than three checkpoints of this training are removed."""
    buffer = io.BytesIO()
    content = {
        "format": CHECKPOINT_FORMAT,
        "shapes": state.shapes(),
        "taken": run.taken,
        "origin": run.origin,
        "measured": run.measurement_key,
        "state": state.dump(),
        "batches": run.batches.state(),
        "sums": run.sums,
        "counts": run.counts,
    }
    torch.save(content, buffer)
    packed, folder = buffer.getbuffer(), run.paths.checkpoints
    with atomic_path(folder / f"{run.key}-{state.images:010d}-{_checksum(packed)}.pt") as temporary:
        temporary.write_bytes(packed)
    for old in _sorted(run)[0][:-KEPT]:
        old.unlink()


def restore_checkpoint(run: Run, state: TrainingState) -> str | None:
    """Restore the newest sound checkpoint of this training and return its name; a torn one is named and skipped."""
    chosen = newest_checkpoint(run) if run.processes.first else None
    chosen = run.processes.of_first(chosen)
    if chosen is None:
        return None
    content = torch.load(run.paths.checkpoints / chosen, map_location="cpu", weights_only=True)
    _restore(run, state, content)
    run.batches.restore(content["batches"])
    run.sums = {name: value.to(run.device) for name, value in content["sums"].items()}
    run.counts = content["counts"]
    return chosen


def newest_checkpoint(run: Run) -> str | None:
    """Return the name of the newest sound checkpoint that is not beyond the budget."""
    for path in reversed(_sorted(run)[0]):
        if path.stem.endswith(f"-{_checksum(path.read_bytes())}"):
            return path.name
        logger.warning("skipping the damaged checkpoint %s: its checksum is not that of its name", path)
    return None


def take_checkpoint(run: Run, state: TrainingState, path: Path) -> None:
    """Go on from a checkpoint of another training, which its user knows to fit; from here on it is recorded.

    Rates, losses and data are those of this training. Raises `ArtifactError` when the file is missing, damaged, of
    another version, of networks of other sizes, or beyond the budget.
    """
    content = _read(path)
    _check_shapes(path, content["shapes"], state.shapes())
    if _beyond(run, images := content["state"]["counters"]["images"]):
        raise ArtifactError(
            f"{path} has seen {images} images, beyond stylex.training.images {run.config.stylex.training.images}: raise"
            " that, or take an earlier one"
        )
    _restore(run, state, content)
    state.rollbacks = state.diverged_at = 0
    run.batches.restore(content["batches"])
    if len(run.batches.order) != len(run.batches.split):
        run.batches.restart()
    run.sums, run.counts = {}, {}  # of losses that may be others
    run.taken = [*run.taken, f"{path.name} at {images} images"]


def was_taken(run: Run, path: Path) -> bool:
    """Whether this training, as it was restored, has gone on from `path` before."""
    return any(each.startswith(path.name) for each in run.taken)


def warn_of_unused(run: Run) -> None:
    """Say which checkpoints are set aside: those beyond the budget and, if there is nothing else, those of others."""
    own, beyond, foreign = _sorted(run)
    if beyond:
        logger.warning(
            "%s beyond stylex.training.images %d, the newest of %d images: not used",
            _count(beyond), run.config.stylex.training.images, _images(beyond[-1]),
        )  # fmt: skip
    if foreign and _images(foreign[-1]) and not own:
        logger.warning(
            "%s of another configuration, code or data set aside, the newest of %d images; to go on from it"
            " nevertheless: stylex train %s --checkpoint %s",
            _count(foreign), _images(foreign[-1]), run.paths.name, foreign[-1],
        )  # fmt: skip


def tell_of_foreign(run: Run) -> None:
    """Say that the checkpoints of other configurations, which stay, may go."""
    if foreign := _sorted(run)[2]:
        logger.info(
            "%s of other configurations, code or data in %s: no longer needed, unless you want to go back to them",
            _count(foreign), run.paths.checkpoints,
        )  # fmt: skip


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process was writing in `folder` or below."""
    for path in folder.rglob(".*.tmp"):
        with storage_errors(path):
            path.unlink()


def _restore(run: Run, state: TrainingState, content: dict[str, Any]) -> None:
    state.restore(content["state"])
    run.taken, run.origin = content["taken"], content["origin"]
    if state.history and content["measured"] != run.measurement_key:
        state.forget_measurements()
        logger.warning(
            "the history's columns val_* up to image %d are left empty: they were measured by other code, networks or"
            " images",
            state.images,
        )


def _sorted(run: Run) -> tuple[list[Path], list[Path], list[Path]]:
    """Return the checkpoints of this training, those of it that are beyond its budget, and all others, newest last."""
    own, beyond, foreign = [], [], []
    named = [path for path in run.paths.checkpoints.glob("*.pt") if NAME.fullmatch(path.name)]
    for path in sorted(named, key=_age):
        if not path.name.startswith(f"{run.key}-"):
            foreign.append(path)
        else:
            (beyond if _beyond(run, _images(path)) else own).append(path)
    return own, beyond, foreign


def _beyond(run: Run, images: int) -> bool:
    # The last step may go beyond the budget by less than a batch.
    training = run.config.stylex.training
    return images >= training.images + training.batch_size


def _read(path: Path) -> dict[str, Any]:
    """Read a checkpoint that a user names."""
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist: give a checkpoint, as they lie in the folder checkpoints")
    packed, name = path.read_bytes(), NAME.fullmatch(path.name)
    if name is None or name["checksum"] != _checksum(packed):
        raise ArtifactError(f"{path} is damaged or renamed, its checksum is not that of its name: give another one")
    content = torch.load(io.BytesIO(packed), map_location="cpu", weights_only=True)
    if content.get("format") != CHECKPOINT_FORMAT:
        raise ArtifactError(f"{path} was written by another version of stylex, and cannot be gone on from: start anew")
    return content


def _check_shapes(path: Path, theirs: dict[str, list[int]], ours: dict[str, list[int]]) -> None:
    for name in (*ours, *theirs):
        if theirs.get(name) != ours.get(name):
            there, here = (each.get(name, "missing") for each in (theirs, ours))
            raise ArtifactError(
                f"{path} does not fit: {name} is {there} there and {here} here; set stylex.networks, conditioning and"
                " dataset as they were, or start anew without --checkpoint"
            )


def _count(paths: Sequence[Path]) -> str:
    return f"{len(paths)} checkpoint{'s' if len(paths) > 1 else ''}"


def _images(path: Path) -> int:
    return int(path.name.split("-")[1])


def _age(path: Path) -> tuple[int, str]:
    # The last one written is the newest: after a rollback it may have seen fewer images than an older one.
    return path.stat().st_mtime_ns, path.name


def _checksum(content: memoryview | bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:HASH_DIGITS]
