"""Train the StylEx of an experiment: resume, step, measure, checkpoint, and write the averaged networks."""

from __future__ import annotations

import hashlib
import logging
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas
import torch
from torch import Tensor

from stylex.artifacts import provenance, sha256, write_table
from stylex.classifiers import load_backbone, load_classifier
from stylex.config import ExperimentConfig, ExperimentPaths, backbone_paths, load_experiment
from stylex.datasets import ImageSplit, load_split
from stylex.errors import TrainingDivergedError
from stylex.networks.model import save_stylex
from stylex.progress import Counter, progress
from stylex.training.batches import RealBatches
from stylex.training.checkpoints import restore_checkpoint, save_checkpoint
from stylex.training.measure import measure, write_samples
from stylex.training.state import TrainingState, initial_state
from stylex.training.step import Judges, train_step

DEADLINE_MARGIN = 60.0  # seconds kept for the last checkpoint
FINITE_CHECK_STEPS = 50  # reading a loss stalls the device: look at the sums now and then
logger = logging.getLogger("stylex")


@dataclass
class Run:
    """What the loop needs beside the state."""

    config: ExperimentConfig
    paths: ExperimentPaths
    judges: Judges
    batches: RealBatches
    validation: ImageSplit
    device: str
    digest: str
    deadline: float
    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


def train(root: Path, name: str, device: str = "cpu", time_limit_minutes: float | None = None) -> bool:
    """Train experiment `name` to its budget; return False when the time limit came first (run again to resume).

    Raises TrainingDivergedError on a NaN or infinite loss; checkpoints and earlier artifacts stay.
    """
    run, state = _prepare(root, name, device, time_limit_minutes)
    restore_checkpoint(run.paths.checkpoints, state, run.batches, run.digest)
    budget = run.config.stylex.training.images
    with progress(f"train {name}", budget, "images", state.images) as counter:
        while state.images < budget:
            _advance(run, state, counter)
            if time.monotonic() > run.deadline:
                _checkpoint(run, state)
                logger.info("time limit: stopped at %d of %d images; run again to resume", state.images, budget)
                return False
    _finish(run, state)
    return True


def _prepare(root: Path, name: str, device: str, time_limit_minutes: float | None) -> tuple[Run, TrainingState]:
    config, paths = load_experiment(root, name), ExperimentPaths(root, name)
    stylex, budget = config.stylex, config.stylex.training
    backbone = backbone_paths(root, stylex.perceptual_backbone).model
    judges = Judges(load_classifier(paths.classifier.model, device), load_backbone(backbone, device))
    split = load_split(root, config.dataset, "train")
    state = initial_state(stylex, split.channels, len(split.class_names), config.seed, device)
    batches = RealBatches(split, judges.classifier, budget.batch_size, budget.max_translation, device)
    identity = (
        stylex.digest(),
        config.dataset.digest(),
        str(config.seed),
        sha256(paths.classifier.model),
        sha256(backbone),
    )
    digest = hashlib.sha256(" ".join(identity).encode()).hexdigest()[:16]
    validation = load_split(root, config.dataset, "val")
    deadline = math.inf if time_limit_minutes is None else time.monotonic() + time_limit_minutes * 60 - DEADLINE_MARGIN
    return Run(config, paths, judges, batches, validation, device, digest, deadline), state


def _advance(run: Run, state: TrainingState, counter: Counter) -> None:
    """Do one step and whatever is due after it."""
    start, training = time.monotonic(), run.config.stylex.training
    real, logits = run.batches.next(state.random)
    for term, value in train_step(state, run.config.stylex, run.judges, real, logits).items():
        run.sums[term] = run.sums.get(term, torch.zeros((), device=run.device)) + value
        run.counts[term] = run.counts.get(term, 0) + 1
    state.seconds += time.monotonic() - start
    due = state.images // training.sample_interval > (state.images - len(real)) // training.sample_interval
    last = state.images >= training.images
    if due or last or state.step % FINITE_CHECK_STEPS == 0:
        _check_finite(run, state)
    if due or last:
        _record(run, state)
    if state.images // training.checkpoint_interval > (state.images - len(real)) // training.checkpoint_interval:
        _checkpoint(run, state)
    counter.advance(len(real), _note(state))


def _checkpoint(run: Run, state: TrainingState) -> None:
    """Save the state, unless it is spoilt: a bad checkpoint would push out the good ones."""
    _check_finite(run, state)
    save_checkpoint(run.paths.checkpoints, state, run.batches, run.digest)


def _check_finite(run: Run, state: TrainingState) -> None:
    bad = sorted(term for term, value in run.sums.items() if not torch.isfinite(value))
    bad += sorted(name for name, value in state.networks.named_parameters() if not torch.isfinite(value).all())[:3]
    if bad:
        raise TrainingDivergedError(
            f"training of '{run.paths.name}' diverged near image {state.images}: {', '.join(bad)} is not finite; lower"
            f" stylex.training.learning_rate ({run.config.stylex.training.learning_rate}) or the weight of that loss"
            f" (earlier artifacts and checkpoints in {run.paths.checkpoints} are intact)"
        )


def _record(run: Run, state: TrainingState) -> None:
    """Append a row to the history: mean loss terms since the last row, and held-out measurements."""
    means = {term: float(value) / run.counts[term] for term, value in run.sums.items()}
    run.sums.clear()
    run.counts.clear()
    rate = {"seconds": state.seconds, "images_per_second": state.images / state.seconds}
    learning_rate = {"learning_rate": run.config.stylex.training.learning_rate}
    measured = measure(state.ema, run.judges, run.validation, run.device)
    state.history.append({"images": float(state.images), **rate, **means, **learning_rate, **measured})


def _note(state: TrainingState) -> str:
    if not state.history:
        return ""
    return f"L1 {state.history[-1]['val_l1']:.3f}, class kept {state.history[-1]['val_class_kept']:.3f}"


def _finish(run: Run, state: TrainingState) -> None:
    _checkpoint(run, state)
    origin = provenance(run.config.digest(), run.config.seed, run.device)
    state.ema.discriminator.load_state_dict(state.networks.discriminator.state_dict())  # D is not averaged
    write_table(run.paths.stylex_history, pandas.DataFrame(state.history), origin)
    write_samples(run.paths.stylex_samples, state.ema, run.judges, run.validation, run.config.seed, run.device)
    save_stylex(run.paths.stylex_model, state.ema, origin)
