"""NaN or infinity: back to the last good checkpoint with a fresh batch order, three times; then the evidence, and stop.

What is left behind is checkpoints/diverged.pt (the spoilt state) and diverged.json (which values, when, the history).
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from stylex.artifacts import atomic_path, write_json
from stylex.errors import TrainingDivergedError
from stylex.training.checkpoints import restore_checkpoint
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
    """Restore the last good state and reseed; if there is none, or after three times, raise `TrainingDivergedError`."""
    where, rollbacks = f"near image {state.images}: {', '.join(bad[:NAMED])} is not finite", state.rollbacks + 1
    folder, seed = run.paths.checkpoints, run.config.seed
    if rollbacks > ROLLBACKS or not restore_checkpoint(run, state):
        if run.processes.first:
            _keep_evidence(run, state, bad)
        raise TrainingDivergedError(
            f"training of '{run.paths.name}' diverged {where}, after {rollbacks - 1} returns to a checkpoint; lower"
            f" stylex.training.learning_rate ({run.config.stylex.training.learning_rate}) or the weight of that loss"
            f" (the evidence is {folder / 'diverged.json'}; earlier artifacts and checkpoints are intact)"
        )
    state.rollbacks = rollbacks
    state.random.manual_seed(seed + rollbacks)
    run.batches.restart()
    logger.warning("training of '%s' diverged %s; back to image %d, new order", run.paths.name, where, state.images)


def _moments(state: TrainingState) -> dict[str, Tensor]:
    # Where only the square of a gradient overflows, Adam divides by infinity: the weights are finite, and stand still.
    return {
        f"Adam's second moment of the {name}": optimizer.state[flat.vector]["exp_avg_sq"]
        for optimizer in (state.generator_optimizer, state.discriminator_optimizer)
        for name, flat in state.weights.items()
        if flat.vector in optimizer.state
    }


def _keep_evidence(run: Run, state: TrainingState, bad: list[str]) -> None:
    folder = run.paths.checkpoints
    with atomic_path(folder / "diverged.pt") as temporary:
        torch.save({"digest": run.digest, "state": state.dump()}, temporary)
    sums = {name: str(float(value) / run.counts[name]) for name, value in run.sums.items()}
    facts = {"step": state.step, "images": state.images, "not_finite": bad, "mean_losses": sums}
    write_json(folder / "diverged.json", {**facts, "rollbacks": state.rollbacks, "history": state.history})
