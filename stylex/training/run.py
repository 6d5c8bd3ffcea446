"""What a training consists of beside its state, prepared from a project; and the way back from NaN or infinity.

Where values are not finite, the training goes back to the last good checkpoint with a fresh batch order. That has not
helped when they are again before it has come any further, or after three rollbacks: then it stops and leaves
checkpoints/diverged.pt (the bad state) and diverged.json: which values, when, the history, and which training it was,
so that a scheduler does not try the same again.
"""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from stylex.artifacts import atomic_path, provenance, read_json, write_json
from stylex.classifiers import load_backbone, load_classifier, load_perceptual
from stylex.config import ExperimentConfig, ExperimentPaths, backbone_paths, experiment_paths, load_experiment
from stylex.datasets import load_split
from stylex.errors import ConfigError, TrainingDivergedError
from stylex.precision import format_name, multiply_in_tf32
from stylex.training.checkpoint import measurement_key, newest_checkpoint, restore_checkpoint, training_key
from stylex.training.distributed import Processes
from stylex.training.metrics import Validation
from stylex.training.sampler import BatchSampler, FrozenNetworks
from stylex.training.state import TrainingState, initial_state, training_dtype

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

ROLLBACKS = 3
NAMED = 3  # of the values that are not finite, how many a message names
logger = logging.getLogger("stylex")


@dataclass
class Run:
    """What the loop needs.

    `key` and `measurement_key`: of the weights, and of what the history measures of them (stylex.training.checkpoint).
    `here`: the provenance of what is computed now; `origin`: that of the weights, whose last step an earlier commit or
    another machine may have done. `adopted`: the checkpoints of other trainings that this one has gone on from. `sums`
    and `counts` are of the loss terms since the last row of the history.
    """

    config: ExperimentConfig
    paths: ExperimentPaths
    processes: Processes
    device: str
    frozen: FrozenNetworks
    sampler: BatchSampler
    validation: Validation
    key: str
    measurement_key: str
    here: dict[str, str]
    origin: dict[str, str] = field(default_factory=dict)
    tensorboard: SummaryWriter | None = None
    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    adopted: list[str] = field(default_factory=list)


def prepare(root: Path, name: str, device: str, processes: Processes) -> tuple[Run, TrainingState]:
    """Read the experiment and what it trains on; return it with the state at step 0."""
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    stylex = config.stylex
    _check(config, device, processes)
    multiply_in_tf32(stylex.training.acceleration.tf32)
    classifier = load_classifier(paths.classifier.model, device)
    backbone = load_backbone(backbone_paths(root, stylex.perceptual_backbone).model, device)
    dtype = training_dtype(stylex.training, device)
    frozen = FrozenNetworks(classifier, backbone, dtype, load_perceptual(root, stylex, device))
    split, validation = load_split(root, config.dataset, "train"), load_split(root, config.dataset, "val")
    state = initial_state(stylex, split.resolution, split.channels, len(split.class_names), config.seed, device)
    run = Run(
        config=config,
        paths=paths,
        processes=processes,
        device=device,
        frozen=frozen,
        sampler=BatchSampler(split, frozen, stylex, processes, device),
        validation=Validation(validation, frozen, device),
        key=training_key(config, paths, device),
        measurement_key=measurement_key(config, paths),
        here=provenance(config.digest(), config.seed, device) | {"precision": format_name(dtype)},
    )
    return run, state


def _check(config: ExperimentConfig, device: str, processes: Processes) -> None:
    """Raise `ConfigError` where this machine or this number of processes cannot do what the config says."""
    training, group = config.stylex.training, config.stylex.networks.minibatch_stddev_group
    divisor = group * training.accumulation * processes.size
    if training.batch_size % divisor:
        raise ConfigError(
            f"stylex.training.batch_size {training.batch_size} cannot be shared by {processes.size} processes: make it"
            f" a multiple of {divisor} (minibatch_stddev_group {group} x accumulation {training.accumulation} x"
            f" {processes.size}) or start fewer"
        )
    share = training.batch_size // (training.accumulation * processes.size)
    if 0 < training.counterfactuals * share < 1:
        raise ConfigError(
            f"stylex.training.counterfactuals {training.counterfactuals} makes none of the {share} samples that are"
            f" rendered together one: make it at least {1 / share:g}"
        )
    key, acceleration = "stylex.training.acceleration", training.acceleration
    if acceleration.compile and device == "cpu" and not shutil.which(os.environ.get("CXX", "g++")):
        raise ConfigError(f"{key}.compile: true needs a C++ compiler on a CPU: install g++ or set it to false")
    if acceleration.cuda_graphs and device == "cpu":
        raise ConfigError(f"{key}.cuda_graphs: true needs a GPU, and this training runs on a CPU: set it to false")


def not_finite(run: Run, state: TrainingState) -> list[str]:
    """Return the names of the loss terms, parameters and moments of Adam that are not finite in any process."""
    values = {**run.sums, **{name: flat.vector.detach() for name, flat in state.weights.items()}}
    for optimizer in (state.generator_optimizer, state.discriminator_optimizer):
        for name, flat in state.weights.items():
            if flat.vector in optimizer.state:
                # Where only the square of a gradient overflows, Adam divides by infinity: weights are finite and stay.
                values[f"Adam's second moment of the {name}"] = optimizer.state[flat.vector]["exp_avg_sq"]
    # One number for all: a check that stalls the device once.
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
        run.sampler.restart()
        back = f"back to image {state.images}, new order"
        logger.warning("training of '%s' diverged near image %d: %s; %s", name, at, what, back)
        return
    error = (
        f"training of '{name}' diverged near image {at} {tried}: {what}; lower stylex.training.learning_rate"
        f" ({run.config.stylex.training.learning_rate}) or the weight of that loss (the evidence, without which the"
        f" same is tried again, is {_evidence(run)}; earlier artifacts and checkpoints are intact)"
    )
    if run.processes.first:
        with atomic_path(run.paths.checkpoints / "diverged.pt") as temporary:
            torch.save({"training_key": run.key, "state": state.dump()}, temporary)
        means = {term: str(float(value) / run.counts[term]) for term, value in run.sums.items()}
        which = {"error": error, "training_key": run.key, "checkpoint": newest_checkpoint(run)}
        facts = {"step": state.step, "images": state.images, "not_finite": bad, "mean_losses": means}
        write_json(_evidence(run), {**which, **facts, "rollbacks": state.rollbacks, "history": state.history})
    raise TrainingDivergedError(error)


def refuse_repetition(run: Run, checkpoint: str | None) -> None:
    """Raise the `TrainingDivergedError` of an earlier run that went on from the same checkpoint to the same end."""
    error = None
    if run.processes.first and checkpoint is not None and _evidence(run).is_file():
        facts = read_json(_evidence(run))
        if (facts.get("training_key"), facts.get("checkpoint")) == (run.key, checkpoint):
            error = facts["error"]
    error = run.processes.of_first(error)
    if error is not None:
        raise TrainingDivergedError(error)


def _evidence(run: Run) -> Path:
    return run.paths.checkpoints / "diverged.json"
