"""The stages that train a network: an experiment's classifier, a backbone, an oracle, a regressor of known factors.

Each writes model.safetensors, metrics.json and history.csv. The regressor learns the true factors of drawn images,
standardised, so that a difference of two of its outputs is a change in sd of the factor.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas
import torch
from torch import Tensor

from stylex.artifacts import provenance, write_json, write_table
from stylex.classifiers.frozen import NetworkDescription, Role, save_network
from stylex.classifiers.initial_weights import initial_weights
from stylex.classifiers.metrics import measured, predict, r_squared
from stylex.classifiers.networks import ImageNetwork
from stylex.classifiers.training import train_network
from stylex.config import (
    ExperimentPaths,
    FineTuningConfig,
    ImportedClassifierConfig,
    NetworkPaths,
    backbone_paths,
    load_backbone_config,
    load_experiment,
    load_oracle_config,
    load_regressor_config,
    oracle_paths,
    regressor_paths,
)
from stylex.config.base import Split
from stylex.config.finetuning import NOTHING
from stylex.datasets import ImageSplit, dataset_spec, load_all_classes, load_split
from stylex.datasets.factors import Factors, by_halves, read_factors
from stylex.errors import AccuracyError, ConfigError

SPLITS: tuple[Split, ...] = ("train", "val", "test")


class _Trained(NamedTuple):
    network: ImageNetwork
    description: NetworkDescription
    history: pandas.DataFrame
    metrics: dict[str, Any]

    def write(self, paths: NetworkPaths, source: dict[str, str], accepted: bool = True) -> None:
        """Write the files of a network; of one that is not accepted, all but the weights."""
        write_table(paths.history, self.history, source)
        write_json(paths.metrics, {**self.metrics, "provenance": source})
        if accepted:
            save_network(paths.model, self.network, self.description, source)


def fine_tune(root: Path, experiment_name: str, device: str = "cpu") -> None:
    """Train the experiment's classifier; one that is the user's own is checked and written as it is.

    Raises `AccuracyError` when its balanced accuracy on the validation split is below classifier.min_accuracy: then
    metrics.json and history.csv are in the folder rejected/, and there is no classifier. Raises `ConfigError` when the
    experiment has no classifier of its own.
    """
    experiment = load_experiment(root, experiment_name)
    if experiment.classifier_of is not None:
        raise ConfigError(
            f"experiment '{experiment_name}' explains the classifier of '{experiment.classifier_of}' (classifier_of);"
            f" run `stylex classifier {experiment.classifier_of}`"
        )
    if isinstance(experiment.classifier, ImportedClassifierConfig):
        from stylex.classifiers.checks import import_classifier

        return import_classifier(root, experiment_name, experiment, device)
    config, seed = experiment.classifier, experiment.seed
    splits = [load_split(root, experiment.dataset, split) for split in SPLITS]
    trained = _classifying(root, "classifier", experiment_name, config, splits, seed, device)
    paths, source = ExperimentPaths(root, experiment_name).classifier, provenance(experiment.digest(), seed, device)
    rejected, metrics = NetworkPaths(paths.folder / "rejected"), trained.metrics
    if metrics["val_balanced_accuracy"] < config.min_accuracy:
        trained.write(rejected, source, accepted=False)
        advice = "classifier.epochs"
        if config.pretrained == NOTHING:
            advice += " or classifier.width, start from published weights (classifier.pretrained)"
        raise AccuracyError(
            f"classifier of '{experiment_name}': balanced accuracy {metrics['val_balanced_accuracy']:.4f} on"
            f" {metrics['val_n']} validation images is below classifier.min_accuracy = {config.min_accuracy} (accuracy"
            f" {metrics['val_accuracy']:.4f}; one answer for all has {metrics['val_majority']:.4f}); raise {advice}, or"
            f" lower the bound (confusion matrix: {rejected.metrics}, history.csv beside it)"
        )
    shutil.rmtree(rejected.folder, ignore_errors=True)
    trained.write(paths, source)


def train_backbone(root: Path, backbone_name: str, device: str = "cpu") -> None:
    """Train config/backbones/<backbone_name>.yaml on all images of its dataset."""
    config, paths = load_backbone_config(root, backbone_name), backbone_paths(root, backbone_name)
    splits = _splits(root, config.dataset, config.resolution)
    if config.labels == "factors":  # the classes are the halves in which the known factors lie
        factors = read_factors(root, config.dataset, config.resolution)
        splits = [by_halves(split, factors) for split in splits]
    name = f"{config.architecture}-{backbone_name}"
    trained = _classifying(root, "backbone", name, config, splits, config.seed, device)
    trained.write(paths, provenance(config.digest(), config.seed, device))


def train_oracle(root: Path, oracle_name: str, device: str = "cpu") -> None:
    """Train config/oracles/<oracle_name>.yaml on all images of its dataset."""
    config, name = load_oracle_config(root, oracle_name), oracle_name
    splits = _splits(root, config.dataset, config.resolution)
    trained = _classifying(root, "oracle", f"{config.architecture}-{name}", config, splits, config.seed, device)
    trained.write(oracle_paths(root, name), provenance(config.digest(), config.seed, device))


def train_regressor(root: Path, name: str, device: str = "cpu") -> None:
    """Train config/regressors/<name>.yaml; its metrics are the R² of each factor.

    Raises `ConfigError` when its dataset has no known factors or is not drawn, so that their regions are not known,
    `ArtifactError` when it is not prepared.
    """
    config = load_regressor_config(root, name)
    if dataset_spec(root, config.dataset).format == "images":
        raise ConfigError(f"dataset '{config.dataset}' is not drawn; choose one that is, such as leaves")
    factors = read_factors(root, config.dataset, config.resolution)
    train, val, test = _splits(root, config.dataset, config.resolution)
    known = torch.from_numpy(factors.of(train.ids)).float()
    mean, sd = known.mean(0), known.std(0)
    targets = [standardised(factors, split.ids, mean, sd) for split in (train, val, test)]
    label, initial = f"regressor {name}", initial_weights(root, config)
    network, history = train_network(config, train, val, config.seed, device, label, initial, (targets[0], targets[1]))
    measured = {"r2": r_squared(predict(network, test, device), targets[2]), "mean": mean, "sd": sd}
    by_factor = {key: dict(zip(factors.names, values.tolist(), strict=True)) for key, values in measured.items()}
    metrics = {"r2": by_factor.pop("r2"), "n": len(test), **by_factor}
    named = f"{config.architecture}-{name}"
    description = NetworkDescription.of("regressor", named, config, train.channels, config.resolution, factors.names)
    source = provenance(config.digest(), config.seed, device)
    _Trained(network, description, history, metrics).write(regressor_paths(root, name), source)


def standardised(factors: Factors, ids: list[str], mean: Tensor, sd: Tensor) -> Tensor:
    """Return the factors [n, F] of the images `ids`, float32, in `sd` [F] from `mean` [F]."""
    return (torch.from_numpy(factors.of(ids)).float() - mean) / sd


def _splits(root: Path, dataset: str, resolution: int) -> list[ImageSplit]:
    return [load_all_classes(root, dataset, resolution, split) for split in SPLITS]


def _classifying(
    root: Path, role: Role, name: str, config: FineTuningConfig, splits: Sequence[ImageSplit], seed: int, device: str
) -> _Trained:
    """Train on the training split, choose the epoch on the validation split, measure on the test split."""
    train, val, test = splits
    network, history = train_network(config, train, val, seed, device, f"{role} {name}", initial_weights(root, config))
    description = NetworkDescription.of(role, name, config, train.channels, train.resolution, train.class_names)
    metrics = {**measured(network, val, test, device), "train_n": len(train)}
    return _Trained(network, description, history, metrics)
