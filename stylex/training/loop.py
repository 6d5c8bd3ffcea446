"""Train the StylEx of an experiment: resume, step, measure, checkpoint, and write the averaged networks."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas
import torch

from stylex.artifacts import write_table
from stylex.config import ExperimentPaths, experiment_paths
from stylex.diagnosis import diagnose, tell
from stylex.errors import AtWorkError
from stylex.locks import exclusive
from stylex.networks.model import save_stylex
from stylex.progress import Counter, progress
from stylex.training.board import Board
from stylex.training.checkpoints import (
    remove_leftovers,
    restore_checkpoint,
    save_checkpoint,
    take_checkpoint,
    tell_of_foreign,
    warn_of_unused,
    was_taken,
)
from stylex.training.divergence import refuse_repetition, roll_back, spoilt
from stylex.training.interruption import Interruption
from stylex.training.measure import write_samples
from stylex.training.processes import Processes, joined
from stylex.training.run import Run, prepare
from stylex.training.schedule import rate_factor, rates
from stylex.training.state import TrainingState
from stylex.training.step import advance

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
        run.board = Board(run.paths.tensorboard if tensorboard and processes.first else None)
        _resume(run, state, checkpoint)
        budget = run.config.stylex.training.images
        if state.images >= budget and not (state.history and state.history[-1]["images"] == state.images):
            _record(run, state)  # of a training that was to be longer
        with _counted(run, state) as counter:
            while state.images < budget:
                _advance(run, state)
                counter.advance(state.images - counter.done, _note(state))
                reason = interruption.reason()
                if processes.any(reason is not None):
                    _checkpoint(run, state)
                    cause = reason or "another process"
                    logger.info("%s: stopped at %d of %d images; run again to resume", cause, state.images, budget)
                    return False
        _finish(run, state)
        return True


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
    if checkpoint is not None and not was_taken(run, checkpoint):
        take_checkpoint(run, state, checkpoint)
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


@contextmanager
def _counted(run: Run, state: TrainingState) -> Iterator[Counter]:
    """Show the progress, in the first process only."""
    label, budget = f"train {run.paths.name}", run.config.stylex.training.images
    if run.processes.first:
        with progress(label, budget, "images", state.images) as counter:
            yield counter
    else:
        yield Counter(label, budget, "images", state.images)


def _advance(run: Run, state: TrainingState) -> None:
    """Do one step and whatever is due after it."""
    start, training, before = time.monotonic(), run.config.stylex.training, state.images
    run.origin = run.here
    for term, value in advance(state, run.config.stylex, run.judges, run.batches, run.processes).items():
        run.sums[term] = run.sums.get(term, torch.zeros((), device=run.device)) + value
        run.counts[term] = run.counts.get(term, 0) + 1
    last = state.images >= training.images
    due = last or state.images // training.sample_interval > before // training.sample_interval
    bad = spoilt(run, state) if due or state.step % FINITE_CHECK_STEPS == 0 else []
    state.seconds += time.monotonic() - start  # after the check, which waits for the device
    if bad:
        roll_back(run, state, bad)
        return
    if due:
        _record(run, state)
    if last or state.images // training.checkpoint_interval > before // training.checkpoint_interval:
        _checkpoint(run, state)


def _checkpoint(run: Run, state: TrainingState) -> None:
    """Save the state, or go back when it is spoilt: a bad checkpoint would push out the good ones."""
    bad = spoilt(run, state)
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
    run.board.add(row)


def _note(state: TrainingState) -> str:
    if not state.history or "val_l1" not in state.history[-1]:
        return ""
    return f"L1 {state.history[-1]['val_l1']:.3f}, class kept {state.history[-1]['val_class_kept']:.3f}"


def _finish(run: Run, state: TrainingState) -> None:
    """Write the artifacts, and say whether the model is good; the last checkpoint is written already."""
    if not run.processes.first:
        return
    told = {"training_key": run.key} | ({"taken_checkpoint": "; ".join(run.taken)} if run.taken else {})
    networks, measured = state.averaged(), run.origin
    if "val_l1" not in state.history[-1]:  # the last row is of these networks
        state.history[-1] |= run.validation.measure(networks)
        measured = run.here
    write_table(run.paths.stylex_history, pandas.DataFrame(state.history), measured | told)
    grid = (networks, run.judges, run.validation_split, run.config.seed, run.device)
    write_samples(run.paths.stylex_samples, *grid)
    save_stylex(run.paths.stylex_model, networks, run.origin | told)
    tell_of_foreign(run)
    found = diagnose(networks, run.judges.classifier, run.validation_split, run.config.seed, run.device)
    tell(run.paths.name, found)
