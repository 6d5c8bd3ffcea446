"""A network that tells the known factors of a drawn dataset from an image: the measure of what an attribute moves.

It learns from the true factors of the training split, standardised, so that a difference of two of its outputs is a
change in sd of the factor. It takes no part in the training of StylEx, and it is no judge of classes.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from stylex.artifacts import provenance, write_json, write_table
from stylex.classifiers.accuracy import predict
from stylex.classifiers.initial_weights import initial_weights
from stylex.classifiers.training import train_regressor
from stylex.classifiers.wrapper import FrozenNetwork, NetworkDescription, load_network, save_network
from stylex.config import load_regressor_config, regressor_paths
from stylex.datasets import ImageSplit, load_all_classes
from stylex.datasets.factors import Factors, read_factors


class FactorRegressor(FrozenNetwork):
    """A frozen network that gives factors; `class_names` are their names, in the order of its outputs."""

    def forward(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to float32 factors [N, F], in sd from their mean."""
        return self.network(images).float()


def load_regressor(path: Path, device: str = "cpu") -> FactorRegressor:
    """Load the regressor of `path`; raise `ArtifactError` when it is missing, damaged or no regressor."""
    return FactorRegressor(*load_network(path, "regressor")).to(device)


def fit_factors(root: Path, name: str, device: str = "cpu") -> None:
    """Train config/regressors/<name>.yaml; write model.safetensors, metrics.json (R² of each factor) and history.csv.

    Raises `ConfigError` when its dataset has no known factors, `ArtifactError` when that is not prepared.
    """
    config, paths = load_regressor_config(root, name), regressor_paths(root, name)
    factors = read_factors(root, config.dataset, config.resolution)
    train, val, test = (
        load_all_classes(root, config.dataset, config.resolution, split) for split in ("train", "val", "test")
    )
    known = torch.from_numpy(factors.of(train.ids)).float()
    mean, sd = known.mean(0), known.std(0)

    def with_targets(split: ImageSplit) -> tuple[ImageSplit, Tensor]:
        return split, standardised(factors, split.ids, mean, sd)

    initial = initial_weights(root, config)
    network, history = train_regressor(
        config, with_targets(train), with_targets(val), config.seed, device, f"regressor {name}", initial
    )
    origin = provenance(config.digest(), config.seed, device)
    measured = r_squared(predict(network, test, device), with_targets(test)[1])
    metrics = {
        "r2": dict(zip(factors.names, measured.tolist(), strict=True)),
        "n": len(test),
        "mean": dict(zip(factors.names, mean.tolist(), strict=True)),
        "sd": dict(zip(factors.names, sd.tolist(), strict=True)),
        "provenance": origin,
    }
    named = f"{config.architecture}-{name}"
    description = NetworkDescription.of("regressor", named, config, train.channels, config.resolution, factors.names)
    write_table(paths.history, history, origin)
    write_json(paths.metrics, metrics)
    save_network(paths.model, network, description, origin)


def standardised(factors: Factors, ids: list[str], mean: Tensor, sd: Tensor) -> Tensor:
    """Return the factors [n, F] of the images `ids`, float32, in `sd` [F] from `mean` [F]."""
    return (torch.from_numpy(factors.of(ids)).float() - mean) / sd


def r_squared(predicted: Tensor, true: Tensor) -> Tensor:
    """Return 1 - (squared error) / (squared deviation from the mean) of each column of [N, F], as [F] float64."""
    predicted, true = predicted.double(), true.double()
    return 1 - (predicted - true).square().sum(0) / (true - true.mean(0)).square().sum(0)
