"""What a training consists of beside its state: configuration, data, judges, processes; prepared from a project."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from stylex.artifacts import provenance
from stylex.classifiers import load_backbone, load_classifier, load_perceptual
from stylex.config import ExperimentConfig, ExperimentPaths, backbone_paths, experiment_paths, load_experiment
from stylex.datasets import ImageSplit, load_split
from stylex.errors import ConfigError
from stylex.precision import format_name
from stylex.training.batches import RealBatches
from stylex.training.board import Board
from stylex.training.judges import Judges, precision
from stylex.training.key import measurement_key, training_key
from stylex.training.measure import Validation
from stylex.training.processes import Processes
from stylex.training.state import TrainingState, initial_state


@dataclass
class Run:
    """What the loop needs.

    `key` and `measurement_key`: of the weights, and of what the history measures of them (stylex.training.key).
    `here`: the provenance of what is computed now; `origin`: that of the weights, whose last step an earlier commit or
    another machine may have done. `taken`: the checkpoints of other trainings that this one has gone on from. `sums`
    and `counts` are of the loss terms since the last row of the history.
    """

    config: ExperimentConfig
    paths: ExperimentPaths
    processes: Processes
    device: str
    judges: Judges
    batches: RealBatches
    validation_split: ImageSplit
    validation: Validation
    key: str
    measurement_key: str
    here: dict[str, str]
    origin: dict[str, str] = field(default_factory=dict)
    board: Board = field(default_factory=Board)
    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)


def prepare(root: Path, name: str, device: str, processes: Processes) -> tuple[Run, TrainingState]:
    """Read the experiment and what it trains on; return it with the state at step 0."""
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    stylex = config.stylex
    _check(config, device, processes)
    backbone = backbone_paths(root, stylex.perceptual_backbone).model
    classifier = load_classifier(paths.classifier.model, device)
    perceptual = load_perceptual(root, stylex, device)
    dtype = precision(stylex.training, device)
    judges = Judges(classifier, load_backbone(backbone, device), dtype, perceptual)
    split, validation = load_split(root, config.dataset, "train"), load_split(root, config.dataset, "val")
    state = initial_state(stylex, split.resolution, split.channels, len(split.class_names), config.seed, device)
    here = provenance(config.digest(), config.seed, device) | {"precision": format_name(dtype)}
    run = Run(
        config=config,
        paths=paths,
        processes=processes,
        device=device,
        judges=judges,
        batches=RealBatches(split, judges, stylex, processes, device),
        validation_split=validation,
        validation=Validation(validation, judges, device),
        key=training_key(config, paths, device),
        measurement_key=measurement_key(config, paths),
        here=here,
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
    if training.compile and device == "cpu" and not shutil.which(os.environ.get("CXX", "g++")):
        raise ConfigError("stylex.training.compile: true needs a C++ compiler on a CPU: install g++ or set it to false")
