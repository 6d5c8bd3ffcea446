"""The stages of the pipeline that train a network of classes: an experiment's classifier, a backbone, an oracle."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pandas
from torch import Tensor

from stylex.artifacts import provenance, write_json, write_table
from stylex.classifiers.accuracy import accuracy, balanced_accuracy, confusion_matrix, predict
from stylex.classifiers.calibration import calibration
from stylex.classifiers.image_network import ImageNetwork
from stylex.classifiers.initial_weights import initial_weights
from stylex.classifiers.training import train_network
from stylex.classifiers.wrapper import NetworkDescription, Role, save_network
from stylex.config import (
    ClassifierConfig,
    DatasetConfig,
    ExperimentPaths,
    FineTuningConfig,
    NetworkPaths,
    backbone_paths,
    load_backbone_config,
    load_experiment,
    load_oracle_config,
    oracle_paths,
)
from stylex.config.finetuning import NOTHING
from stylex.datasets import load_split
from stylex.datasets.factors import by_halves, read_factors
from stylex.errors import AccuracyError, ConfigError


class _Trained(NamedTuple):
    network: ImageNetwork
    description: NetworkDescription
    history: pandas.DataFrame
    metrics: dict[str, Any]


def fine_tune(root: Path, experiment_name: str, device: str = "cpu") -> None:
    """Train the experiment's classifier; write model.safetensors, metrics.json and history.csv.

    Raise `AccuracyError` when its balanced accuracy on the validation split is below classifier.min_accuracy: then
    metrics.json and history.csv are in the folder rejected/, and there is no classifier. Raise `ConfigError` when the
    experiment has no classifier of its own.
    """
    config = load_experiment(root, experiment_name)
    if config.classifier_of is not None:
        raise ConfigError(
            f"experiment '{experiment_name}' explains the classifier of '{config.classifier_of}' (classifier_of); run"
            f" `stylex classifier {config.classifier_of}`"
        )
    trained = _train(root, "classifier", experiment_name, config.classifier, config.dataset, config.seed, device)
    paths = ExperimentPaths(root, experiment_name).classifier
    source = provenance(config.digest(), config.seed, device)
    rejected = NetworkPaths(paths.folder / "rejected")
    if trained.metrics["val_balanced_accuracy"] < config.classifier.min_accuracy:
        _record(rejected, trained, source)
        raise AccuracyError(_inaccurate(experiment_name, config.classifier, trained.metrics, rejected.metrics))
    shutil.rmtree(rejected.folder, ignore_errors=True)
    _write(paths, trained, source)


def _inaccurate(name: str, config: ClassifierConfig, metrics: dict[str, Any], record: Path) -> str:
    advice = "classifier.epochs"
    if config.pretrained == NOTHING:
        advice += " or classifier.width, start from published weights (classifier.pretrained)"
    return (
        f"classifier of '{name}': balanced accuracy {metrics['val_balanced_accuracy']:.4f} on {metrics['val_n']}"
        f" validation images is below classifier.min_accuracy = {config.min_accuracy} (accuracy"
        f" {metrics['val_accuracy']:.4f}; one answer for all has {metrics['val_majority']:.4f}); raise {advice}, or"
        f" lower the bound (confusion matrix: {record}, history.csv beside it)"
    )


def train_backbone(root: Path, backbone_name: str, device: str = "cpu") -> None:
    """Train config/backbones/<backbone_name>.yaml on all images of its dataset; write files as `fine_tune` does."""
    config = load_backbone_config(root, backbone_name)
    name, dataset = f"{config.architecture}-{backbone_name}", _all_classes(config.dataset, config.resolution)
    trained = _train(root, "backbone", name, config, dataset, config.seed, device, config.labels == "factors")
    _write(backbone_paths(root, backbone_name), trained, provenance(config.digest(), config.seed, device))


def train_oracle(root: Path, oracle_name: str, device: str = "cpu") -> None:
    """Train config/oracles/<oracle_name>.yaml on all images of its dataset; write files as `fine_tune` does."""
    config = load_oracle_config(root, oracle_name)
    name, dataset = f"{config.architecture}-{oracle_name}", _all_classes(config.dataset, config.resolution)
    trained = _train(root, "oracle", name, config, dataset, config.seed, device)
    _write(oracle_paths(root, oracle_name), trained, provenance(config.digest(), config.seed, device))


def _all_classes(dataset: str, resolution: int) -> DatasetConfig:
    return DatasetConfig(name=dataset, resolution=resolution, classes=None, one_vs_rest=None)


def _train(
    root: Path,
    role: Role,
    name: str,
    config: FineTuningConfig,
    dataset: DatasetConfig,
    seed: int,
    device: str,
    halves: bool = False,
) -> _Trained:
    """Train on the training split, choose the epoch on the validation split, measure on the test split.

    halves: the classes are the halves in which the known factors lie, not those of the dataset.
    """
    splits = [load_split(root, dataset, split) for split in ("train", "val", "test")]
    if halves:
        factors = read_factors(root, dataset.name, dataset.resolution)
        splits = [by_halves(split, factors) for split in splits]
    train, val, test = splits
    initial = initial_weights(root, config)
    network, history = train_network(config, train, val, seed, device, f"{role} {name}", initial)
    description = NetworkDescription.of(role, name, config, train.channels, dataset.resolution, train.class_names)
    logits, val_logits = predict(network, test, device), predict(network, val, device)
    metrics = {
        **_measured(logits, test.labels),
        "n": len(test),
        "class_names": list(test.class_names),
        "confusion_matrix": confusion_matrix(logits, test.labels).tolist(),
        **{f"val_{name}": value for name, value in _measured(val_logits, val.labels).items()},
        "val_n": len(val),
        "train_n": len(train),
        "calibration": calibration((val_logits, val.labels), (logits, test.labels)),
    }
    return _Trained(network, description, history, metrics)


def _measured(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Return the accuracies, and what the largest class alone would give."""
    return {
        "accuracy": accuracy(logits, labels),
        "balanced_accuracy": balanced_accuracy(logits, labels),
        "majority": labels.bincount().max().item() / len(labels),
    }


def _write(paths: NetworkPaths, trained: _Trained, source: dict[str, str]) -> None:
    _record(paths, trained, source)
    save_network(paths.model, trained.network, trained.description, source)


def _record(paths: NetworkPaths, trained: _Trained, source: dict[str, str]) -> None:
    write_table(paths.history, trained.history, source)
    write_json(paths.metrics, {**trained.metrics, "provenance": source})
