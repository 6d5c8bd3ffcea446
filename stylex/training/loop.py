"""Train the StylEx of an experiment: resume, step, measure, checkpoint, and write the averaged networks."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import pandas
import torch

from stylex.artifacts import write_table
from stylex.config import ExperimentPaths, experiment_paths
from stylex.diagnosis import diagnose, log_findings
from stylex.errors import AtWorkError, ConfigError
from stylex.locks import exclusive
from stylex.networks.model import save_stylex
from stylex.progress import Counter, progress
from stylex.training.checkpoint import (
    adopt_checkpoint,
    log_foreign,
    remove_leftovers,
    restore_checkpoint,
    save_checkpoint,
    warn_of_unused,
)
from stylex.training.distributed import Processes, joined
from stylex.training.launch import Interruption
from stylex.training.run import Run, not_finite, prepare, refuse_repetition, roll_back
from stylex.training.state import TrainingState, rate_factor, rates
from stylex.training.step import advance

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FINITE_CHECK_STEPS = 50  # reading a loss stalls the device: look at the sums now and then
logger = logging.getLogger("stylex")


def train(
    root: Path,
    name: str,
    device: str = "cpu",
    time_limit_minutes: float | None = None,
    tensorboard: bool = False,
    checkpoint: Path | None = None,
) -> bool:
    """Train experiment `name` to its budget; under torchrun, together with the other processes.

    `tensorboard`: write the history as event files, too. `checkpoint`: go on from this one, though it is of another
    training, unless that was done already. Returns False when a signal or the time limit came first: all is saved, run
    again to resume. Raises `TrainingDivergedError` when losses stay NaN or infinite, where checkpoints and earlier
    artifacts stay, and `AtWorkError` when another process trains this experiment.
    """
    with (
        Interruption(time_limit_minutes) as interruption,
        joined(device) as (processes, own_device),
        _alone(experiment_paths(root, name), processes),
    ):
        run, state = prepare(root, name, own_device, processes)
        if tensorboard and processes.first:
            run.tensorboard = _summary_writer(run.paths.tensorboard)
        _resume(run, state, checkpoint)
        if not _train_to_budget(run, state, interruption):
            return False
        _finish(run, state)
        return True


def _train_to_budget(run: Run, state: TrainingState, interruption: Interruption) -> bool:
    budget, processes = run.config.stylex.training.images, run.processes
    if state.images >= budget and not (state.history and state.history[-1]["images"] == state.images):
        _record(run, state)  # of a training that was to be longer
    shown = f"train {run.paths.name}", budget, "images", state.images
    with progress(*shown) if processes.first else nullcontext(Counter(*shown)) as counter:
        while state.images < budget:
            _advance(run, state)
            row = state.history[-1] if state.history else {}
            note = f"L1 {row['val_l1']:.3f}, class kept {row['val_class_kept']:.3f}" if "val_l1" in row else ""
            counter.advance(state.images - counter.done, note)
            reason = interruption.reason()
            if processes.any(reason is not None):
                _checkpoint(run, state)
                cause = reason or "another process"
                logger.info("%s: stopped at %d of %d images; run again to resume", cause, state.images, budget)
                return False
    return True


def _summary_writer(folder: Path) -> SummaryWriter:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ConfigError("--tensorboard needs a package that is missing: pip install tensorboard") from None
    return SummaryWriter(str(folder))


@contextmanager
def _alone(paths: ExperimentPaths, processes: Processes) -> Iterator[None]:
    """Hold the lock of the experiment's training, in the first process; all raise `AtWorkError` when it is held."""
    refusal = None
    with ExitStack() as stack:
        if processes.first:
            try:
                stack.enter_context(exclusive(paths.checkpoints / "lock", f"'{paths.name}' is being trained"))
            except AtWorkError as error:
                refusal = str(error)
        refusal = processes.of_first(refusal)
        if refusal is not None:
            raise AtWorkError(refusal)
        yield


def _resume(run: Run, state: TrainingState, checkpoint: Path | None) -> None:
    """Go on from the newest sound checkpoint; there is one from the start, so that a rollback always has one."""
    if run.processes.first:
        remove_leftovers(run.paths.stylex_model.parent)
    restored = restore_checkpoint(run, state)
    if checkpoint is not None and not any(each.startswith(checkpoint.name) for each in run.adopted):
        adopt_checkpoint(run, state, checkpoint)
        _save(run, state)
        logger.info("going on from %s at %d images, as asked", checkpoint, state.images)
        return
    if run.processes.first:
        warn_of_unused(run)
    if restored is None:
        _save(run, state)
        return
    refuse_repetition(run, restored)
    logger.info("resumed at %d images", state.images)


def _advance(run: Run, state: TrainingState) -> None:
    """Do one step and whatever is due after it."""
    start, training, before = time.monotonic(), run.config.stylex.training, state.images
    run.origin = run.here
    for term, value in advance(state, run.config.stylex, run.frozen, run.sampler, run.processes).items():
        run.sums[term] = run.sums.get(term, torch.zeros((), device=run.device)) + value
        run.counts[term] = run.counts.get(term, 0) + 1
    last = state.images >= training.images
    due = last or state.images // training.sample_interval > before // training.sample_interval
    bad = not_finite(run, state) if due or state.step % FINITE_CHECK_STEPS == 0 else []
    state.seconds += time.monotonic() - start  # after the check, which waits for the device
    if bad:
        roll_back(run, state, bad)
        return
    if due:
        _record(run, state)
    if last or state.images // training.checkpoint_interval > before // training.checkpoint_interval:
        _checkpoint(run, state)


def _checkpoint(run: Run, state: TrainingState) -> None:
    """Save the state, or go back when it is not finite: a bad checkpoint would push out the good ones."""
    bad = not_finite(run, state)
    if bad:
        roll_back(run, state, bad)
    else:
        _save(run, state)


def _save(run: Run, state: TrainingState) -> None:
    run.processes.average(list(run.sums.values()))  # one file for all processes
    if run.processes.first:
        save_checkpoint(run, state)


def _record(run: Run, state: TrainingState) -> None:
    """Append a row to the history: mean loss terms and speed since the last row, and held-out measurements."""
    means = {term: value / run.counts[term] for term, value in run.sums.items()}
    run.processes.average(list(means.values()))
    run.sums.clear()
    run.counts.clear()
    if not run.processes.first:
        return
    last = state.history[-1] if state.history else {"images": 0.0, "seconds": 0.0}
    speed = (state.images - last["images"]) / (state.seconds - last["seconds"])
    row = {"images": float(state.images), "seconds": state.seconds, "images_per_second": speed}
    row |= {term: float(value) for term, value in means.items()}
    training = run.config.stylex.training
    factor = rate_factor(training, max(state.images - training.batch_size, 0))  # of the step before
    row |= {name: rate * factor for name, rate in rates(training).items()} | run.validation.measure(state.averaged())
    state.history.append(row)
    if run.tensorboard is not None:
        for name, value in row.items():
            if name != "images":
                run.tensorboard.add_scalar(name, value, state.images)
        run.tensorboard.flush()  # each row is complete in the file: a killed run has them all


def _finish(run: Run, state: TrainingState) -> None:
    """Write the artifacts, and log whether the model is good; the last checkpoint is written already."""
    if not run.processes.first:
        return
    header = {"training_key": run.key} | ({"taken_checkpoint": "; ".join(run.adopted)} if run.adopted else {})
    networks, measured, validation = state.averaged(), run.origin, run.validation
    if "val_l1" not in state.history[-1]:  # the last row is of these networks
        state.history[-1] |= validation.measure(networks)
        measured = run.here
    write_table(run.paths.stylex_history, pandas.DataFrame(state.history), measured | header)
    validation.write_samples(run.paths.stylex_samples, networks, run.config.seed)
    save_stylex(run.paths.stylex_model, networks, run.origin | header)
    log_foreign(run)
    found = diagnose(networks, run.frozen.classifier, validation.split, run.config.seed, run.device)
    log_findings(run.paths.name, found)
