"""NaN or infinity: back to the last good checkpoint with a fresh batch order; where that does not help, stop.

It has not helped when values are spoilt again before the training has come any further, or after three returns. What is
left behind is checkpoints/diverged.pt (the spoilt state) and diverged.json: which values, when, the history, and which
training it was, so that the same one is not tried again by a scheduler.
"""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from stylex.artifacts import atomic_path, read_json, write_json
from stylex.errors import TrainingDivergedError
from stylex.training.checkpoints import newest_checkpoint, restore_checkpoint
from stylex.training.run import Run
from stylex.training.state import TrainingState

ROLLBACKS = 3
NAMED = 3  # of the values that are not finite, how many a message names
logger = logging.getLogger("stylex")


def spoilt(run: Run, state: TrainingState) -> list[str]:
    """Return the names of the loss terms, parameters and moments of Adam that are not finite in any process."""
    values = {**run.sums, **{name: flat.vector.detach() for name, flat in state.weights.items()}, **_moments(state)}
    # One number for all: a glance that stalls the device once.
    whole = torch.stack([value.sum() for value in values.values()]).sum()
    if not run.processes.any(not torch.isfinite(whole)):
        return []
    return [name for name, value in values.items() if not torch.isfinite(value).all()] or ["a value elsewhere"]


def roll_back(run: Run, state: TrainingState, bad: list[str]) -> None:
    """Restore the last good state and reseed; where that has not helped, raise `TrainingDivergedError`."""
    name, at, rollbacks = run.paths.name, state.images, state.rollbacks + 1
    what = f"{', '.join(bad[:NAMED])} is not finite"
    if at <= state.diverged_at:
        tried = "as before, though in another order"
    elif rollbacks > ROLLBACKS or restore_checkpoint(run, state) is None:
        tried = f"after {rollbacks - 1} returns to a checkpoint"
    else:
        state.rollbacks, state.diverged_at = rollbacks, at
        state.random.manual_seed(run.config.seed + rollbacks)
        run.batches.restart()
        back = f"back to image {state.images}, new order"
        logger.warning("training of '%s' diverged near image %d: %s; %s", name, at, what, back)
        return
    error = (
        f"training of '{name}' diverged near image {at} {tried}: {what}; lower stylex.training.learning_rate"
        f" ({run.config.stylex.training.learning_rate}) or the weight of that loss (the evidence, without which the"
        f" same is tried again, is {_record(run)}; earlier artifacts and checkpoints are intact)"
    )
    if run.processes.first:
        _keep_evidence(run, state, bad, error)
    raise TrainingDivergedError(error)


def refuse_repetition(run: Run, checkpoint: str | None) -> None:
    """Raise the `TrainingDivergedError` of an earlier run that went on from the same checkpoint to the same end."""
    error = None
    if run.processes.first and checkpoint is not None and _record(run).is_file():
        facts = read_json(_record(run))
        if (facts.get("training_key"), facts.get("checkpoint")) == (run.key, checkpoint):
            error = facts["error"]
    error = run.processes.of_first(error)
    if error is not None:
        raise TrainingDivergedError(error)


def _moments(state: TrainingState) -> dict[str, Tensor]:
    # Where only the square of a gradient overflows, Adam divides by infinity: the weights are finite, and stand still.
    return {
        f"Adam's second moment of the {name}": optimizer.state[flat.vector]["exp_avg_sq"]
        for optimizer in (state.generator_optimizer, state.discriminator_optimizer)
        for name, flat in state.weights.items()
        if flat.vector in optimizer.state
    }


def _record(run: Run) -> Path:
    return run.paths.checkpoints / "diverged.json"


def _keep_evidence(run: Run, state: TrainingState, bad: list[str], error: str) -> None:
    with atomic_path(run.paths.checkpoints / "diverged.pt") as temporary:
        torch.save({"training_key": run.key, "state": state.dump()}, temporary)
    sums = {name: str(float(value) / run.counts[name]) for name, value in run.sums.items()}
    which = {"error": error, "training_key": run.key, "checkpoint": newest_checkpoint(run)}
    facts = {"step": state.step, "images": state.images, "not_finite": bad, "mean_losses": sums}
    write_json(_record(run), {**which, **facts, "rollbacks": state.rollbacks, "history": state.history})
