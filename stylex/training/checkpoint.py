"""Resumable checkpoints: complete, atomic, verified on load; the newest three of a training are kept.

The name is <key of the training>-<images>-<start of the content's sha256>.pt: torch.load alone does not notice a
changed byte. The key is a digest of what decides the weights, and of nothing else. A finished training is a checkpoint
of its key with images enough: whatever is missing in the key would let old weights pass for new ones, and whatever is
too much would throw away a week of training.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from stylex.artifacts import atomic_path, content_digest, read_json, storage_errors
from stylex.config import DatasetPaths, ExperimentConfig, ExperimentPaths, backbone_paths
from stylex.config.base import Split
from stylex.errors import ArtifactError
from stylex.pretrained import WEIGHTS
from stylex.source import CHECKED, code_digest

if TYPE_CHECKING:
    from stylex.training.run import Run
    from stylex.training.state import TrainingState

KEPT = 3
HASH_DIGITS = 16
NAME = re.compile(rf"(?P<key>[0-9a-f]+)-(?P<images>\d+)-(?P<checksum>[0-9a-f]{{{HASH_DIGITS}}})\.pt")
CHECKPOINT_FORMAT = "3"  # to be raised when what a checkpoint holds changes: older ones are then foreign
NETWORKS = ("generator", "encoder", "discriminator")
# How long, how fast, how often written down. Batches in parts and compiled code differ by rounding, as machines do.
UNDECISIVE = {
    "images", "accumulation", "cache_mib", "acceleration", "checkpoint_interval", "sample_interval", "precision",
}  # fmt: skip
CODE = ("stylex.training.run", "stylex.training.step")
# What these import beside; the loop, too, only decides when to measure, to save and to stop.
WITHOUT = (
    *CHECKED,
    "stylex.config",  # arrives as values; widths as what they come to
    "stylex.pretrained",  # checks digests
    "stylex.training.checkpoint",  # stores; CHECKPOINT_FORMAT is part of the key
)
MEASURES = "stylex.training.metrics"  # looks at networks, and has a key of its own
logger = logging.getLogger("stylex")


def save_checkpoint(run: Run, state: TrainingState) -> None:
    """Write the whole state; the oldest of more than three checkpoints of this training are removed."""
    buffer = io.BytesIO()
    content = {
        "format": CHECKPOINT_FORMAT,
        "shapes": state.shapes(),
        "taken": run.adopted,
        "origin": run.origin,
        "measured": run.measurement_key,
        "state": state.dump(),
        "batches": run.sampler.state(),
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
    chosen = run.processes.of_first(newest_checkpoint(run) if run.processes.first else None)
    if chosen is None:
        return None
    content = torch.load(run.paths.checkpoints / chosen, map_location="cpu", weights_only=True)
    _restore(run, state, content)
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


def adopt_checkpoint(run: Run, state: TrainingState, path: Path) -> None:
    """Go on from a checkpoint of another training, which its user knows to fit; from here on it is recorded.

    Rates, losses and data are those of this training. Raises `ArtifactError` when the file is missing, damaged, of
    another version, of networks of other sizes, or beyond the budget.
    """
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist: give a checkpoint, as they lie in the folder checkpoints")
    packed, name = path.read_bytes(), NAME.fullmatch(path.name)
    if name is None or name["checksum"] != _checksum(packed):
        raise ArtifactError(f"{path} is damaged or renamed, its checksum is not that of its name: give another one")
    content = torch.load(io.BytesIO(packed), map_location="cpu", weights_only=True)
    if content.get("format") != CHECKPOINT_FORMAT:
        raise ArtifactError(f"{path} was written by another version of stylex, and cannot be gone on from: start anew")
    theirs, ours = content["shapes"], state.shapes()
    for name in (*ours, *theirs):
        if theirs.get(name) != ours.get(name):
            there, here = (shapes.get(name, "missing") for shapes in (theirs, ours))
            raise ArtifactError(
                f"{path} does not fit: {name} is {there} there and {here} here; set stylex.networks, conditioning and"
                " dataset as they were, or start anew without --checkpoint"
            )
    if _beyond(run, images := content["state"]["counters"]["images"]):
        raise ArtifactError(
            f"{path} has seen {images} images, beyond stylex.training.images {run.config.stylex.training.images}: raise"
            " that, or take an earlier one"
        )
    _restore(run, state, content)
    state.rollbacks = state.diverged_at = 0
    if len(run.sampler.order) != len(run.sampler.split):
        run.sampler.restart()
    run.sums, run.counts = {}, {}  # of losses that may be others
    run.adopted = [*run.adopted, f"{path.name} at {images} images"]


def _restore(run: Run, state: TrainingState, content: dict[str, Any]) -> None:
    state.restore(content["state"])
    run.sampler.restore(content["batches"])
    run.adopted, run.origin = content["taken"], content["origin"]
    if state.history and content["measured"] != run.measurement_key:
        state.history = [{name: row[name] for name in row if not name.startswith("val_")} for row in state.history]
        logger.warning(
            "the history's columns val_* up to image %d are left empty: they were measured by other code, networks or"
            " images",
            state.images,
        )


def warn_of_unused(run: Run) -> None:
    """Log which checkpoints are set aside: those beyond the budget and, if there is nothing else, those of others."""
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


def log_foreign(run: Run) -> None:
    """Log that the checkpoints of other configurations, which stay, may go."""
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


def _sorted(run: Run) -> tuple[list[Path], list[Path], list[Path]]:
    """Return the checkpoints of this training, those of it that are beyond its budget, and all others, newest last.

    The last one written is the newest: after a rollback it may have seen fewer images than an older one.
    """
    own, beyond, foreign = [], [], []
    named = [path for path in run.paths.checkpoints.glob("*.pt") if NAME.fullmatch(path.name)]
    for path in sorted(named, key=lambda path: (path.stat().st_mtime_ns, path.name)):
        if not path.name.startswith(f"{run.key}-"):
            foreign.append(path)
        else:
            (beyond if _beyond(run, _images(path)) else own).append(path)
    return own, beyond, foreign


def _beyond(run: Run, images: int) -> bool:
    # The last step may go beyond the budget by less than a batch.
    training = run.config.stylex.training
    return images >= training.images + training.batch_size


def _count(paths: Sequence[Path]) -> str:
    return f"{len(paths)} checkpoint{'s' if len(paths) > 1 else ''}"


def _images(path: Path) -> int:
    return int(path.name.split("-")[1])


def _checksum(content: memoryview | bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:HASH_DIGITS]


def training_key(config: ExperimentConfig, paths: ExperimentPaths, device: str) -> str:
    """Return the key as 16 hex digits; raise `ArtifactError` when what the training reads is missing."""
    kind = torch.device(device).type  # decides the random numbers; of several machines of a kind each may go on
    stylex, sizes = config.stylex, config.stylex.networks
    # With rates that fall to the end, the length of a training decides its weights.
    undecisive = UNDECISIVE - {"images"} if stylex.training.decay else UNDECISIVE
    published = stylex.lpips_network
    backbone = backbone_paths(paths.root, stylex.perceptual_backbone).model
    widths = {f"{name}_channels": sizes.widths(name, config.dataset.resolution) for name in NETWORKS}
    return _digest({
        "format": CHECKPOINT_FORMAT,
        "code": code_digest(*CODE, without=(*WITHOUT, MEASURES)),
        "seed": config.seed,
        "device": kind,
        "precision": [getattr(stylex.training.precision, kind), kind == "cuda" and stylex.training.acceleration.tf32],
        "training": stylex.training.model_dump(mode="json", exclude=undecisive),
        "networks": sizes.model_dump(mode="json", exclude=set(widths)) | widths,  # whatever the notation of widths
        "losses": stylex.losses.model_dump(mode="json"),
        "conditioning": [stylex.conditioning, stylex.conditional_discriminator],
        "perceptual": [stylex.perceptual, WEIGHTS[published].file.sha256 if published else content_digest(backbone)],
        "classifier": content_digest(paths.classifier.model),
        "data": _data(config, paths, "train"),
    })  # fmt: skip


def measurement_key(config: ExperimentConfig, paths: ExperimentPaths) -> str:
    """Return the digest of what decides the columns val_* of the history, beside the weights."""
    networks = backbone_paths(paths.root, config.stylex.perceptual_backbone).model, paths.classifier.model
    code = code_digest(MEASURES, without=WITHOUT)
    return _digest({"code": code, "networks": [*map(content_digest, networks)], "data": _data(config, paths, "val")})


def _data(config: ExperimentConfig, paths: ExperimentPaths, split: Split) -> dict[str, Any]:
    """Return which images are asked for, by their content, and how they are labelled."""
    dataset = config.dataset
    manifest = read_json(DatasetPaths(paths.root, dataset.name).manifest(dataset.resolution))
    question = {"known": manifest["class_names"], "classes": dataset.classes, "one_vs_rest": dataset.one_vs_rest}
    return question | {"shards": [shard["sha256"] for shard in manifest["shards"][split]]}


def _digest(parts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
