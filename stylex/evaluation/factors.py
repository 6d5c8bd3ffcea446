"""Attributes measured against truth, where it is known: which factor does each one move, and is it a cause.

Not in the papers, which show attributes to people ([L] 4.2.2). On a drawn dataset the factors of an image are told by a
regressor; an attribute is applied alone, as sufficiency does, and the mean change of each factor is its signature.
Random moves (a coordinate and a direction drawn uniformly) are measured beside them: what chance finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pandas
import torch
from torch import Tensor

from stylex.artifacts import provenance, read_json, write_table
from stylex.attfind.records import Attribute, Direction, read_attributes
from stylex.classifiers.regressor import FactorRegressor, load_regressor, r_squared, standardised
from stylex.config import ExperimentConfig, ExperimentPaths, load_experiment, regressor_paths
from stylex.datasets import dataset_spec, load_split
from stylex.datasets.factors import read_factors
from stylex.errors import ConfigError
from stylex.evaluation.counterfactuals import (
    apply_attributes,
    images_to_turn,
    positions_of,
    rendered,
    target_classes,
)
from stylex.latents.table import Latents, read_latents
from stylex.networks.model import load_stylex
from stylex.networks.stylespace import StyleSpaceLayout, StyleVector
from stylex.networks.synthesis import Synthesis
from stylex.progress import progress

CHANGE = "change_"  # prefix of the columns with the mean change of each factor
FIT_COLUMNS = ("experiment", "factor", "cause", "n", "r2_images", "r2_reconstructions", "logit_weight")


def factors(root: Path, name: str, device: str) -> None:
    """Write the experiment's factors.csv and factor_fit.csv.

    Raises `ConfigError` when the experiment names no regressor of factors.
    """
    config, paths = load_experiment(root, name), ExperimentPaths(root, name)
    if config.evaluation.factor_regressor is None:
        raise ConfigError(f"experiment '{name}': set evaluation.factor_regressor to measure the factors moved")
    trained = regressor_paths(root, config.evaluation.factor_regressor)
    regressor = load_regressor(trained.model, device)
    latents = read_latents(paths.latents).under(config.attfind.protocol)
    synthesis = load_stylex(paths.stylex_model, device).synthesis
    batch_size, origin = config.evaluation.batch_size, provenance(config.digest(), config.seed, device)

    causes = dataset_spec(root, config.dataset.name).causes
    base = factors_of(regressor, synthesis, latents.style_vector(), batch_size)
    moves = all_moves(config, paths, latents, synthesis.layout)
    rows = []
    with progress(f"factors {name}", sum(map(len, moves.values())), "moves") as counter:
        for method, attributes in moves.items():
            for attribute in attributes:
                change = changes(regressor, synthesis, latents, base, attribute, config)
                rows.append(
                    {"experiment": name, "method": method} | row_of(attribute, change, regressor.class_names, causes)
                )
                counter.advance(1)
    write_table(paths.factors, pandas.DataFrame(rows), origin)
    fit = _fit(root, config, latents, regressor, read_json(trained.metrics), base)
    frame = pandas.DataFrame([{"experiment": name} | row for row in fit], columns=list(FIT_COLUMNS))
    write_table(paths.factor_fit, frame, origin)


def all_moves(
    config: ExperimentConfig, paths: ExperimentPaths, latents: Latents, layout: StyleSpaceLayout
) -> dict[str, list[Attribute]]:
    """Return the moves to measure by method; `random` is drawn from the experiment's seed."""
    lists = paths.attribute_lists(config.method)
    found = {method: list(chain.from_iterable(read_attributes(path).values())) for method, path in lists.items()}
    generator = torch.Generator().manual_seed(config.seed)
    count = min(config.evaluation.random_moves, 2 * layout.size)
    targets = target_classes(latents, config.attfind.against)
    return found | {"random": random_moves(targets, layout, count, generator)}


def random_moves(
    class_names: Sequence[str], layout: StyleSpaceLayout, count: int, generator: torch.Generator
) -> list[Attribute]:
    """Draw `count` different moves (coordinate and direction) for each class, uniformly."""
    moves = []
    for name in class_names:
        drawn = torch.randperm(2 * layout.size, generator=generator)[:count].tolist()
        for rank, move in enumerate(drawn, start=1):
            direction, index = divmod(move, layout.size)
            moves.append(Attribute(name, rank, index, *layout.locate(index), Direction(direction), 0.0, 0))
    return moves


def changes(
    regressor: FactorRegressor,
    synthesis: Synthesis,
    latents: Latents,
    base: Tensor,
    attribute: Attribute,
    config: ExperimentConfig,
) -> Tensor:
    """Return [n, F]: the change of each factor, in sd, where the attribute alone is applied to the images to be turned.

    base [N, F]: the factors of the unmoved reconstructions. The n images are those of sufficiency.
    """
    rows = images_to_turn(latents, attribute.target_class, config.attfind.against)
    styles = apply_attributes(latents, rows, [attribute], config.attfind.shift)
    return factors_of(regressor, synthesis, styles, config.evaluation.batch_size) - base[rows]


def factors_of(regressor: FactorRegressor, synthesis: Synthesis, styles: StyleVector, batch_size: int) -> Tensor:
    """Return the factors [N, F], in sd, that the regressor tells from the images of `styles`."""
    parts = [regressor(images).cpu() for images in rendered(synthesis, styles, batch_size)]
    return torch.cat(parts) if parts else torch.zeros(0, len(regressor.class_names))


def row_of(attribute: Attribute, change: Tensor, names: Sequence[str], causes: Sequence[str]) -> dict[str, Any]:
    """Return the columns of factors.csv of one move; change [n, F] in sd.

    factor: the one with the largest absolute mean change; purity: its share of the sum of those of all factors. Both
    are empty where nothing was moved. cause: whether it is one of the label's.
    """
    mean = change.double().mean(dim=0) if len(change) else torch.full((len(names),), torch.nan, dtype=torch.float64)
    total = float(mean.abs().sum())
    moved = total > 0  # False for NaN
    best = int(mean.abs().argmax()) if moved else 0
    return {
        "target_class": attribute.target_class,
        "rank": attribute.rank,
        "style_index": attribute.style_index,
        "direction": attribute.direction.label,
        "n": len(change),
        "factor": names[best] if moved else None,
        "cause": moved and names[best] in causes,
        "purity": float(mean[best].abs()) / total if moved else None,
        "change": float(mean[best]) if moved else None,
    } | {CHANGE + name: float(value) for name, value in zip(names, mean, strict=True)}


def _fit(
    root: Path, config: ExperimentConfig, latents: Latents, regressor: FactorRegressor, metrics: Mapping, base: Tensor
) -> list[dict[str, Any]]:
    """Return the rows of factor_fit.csv: what images and reconstructions tell of the factors, and how C weighs them."""
    dataset, names, causes = config.dataset, regressor.class_names, dataset_spec(root, config.dataset.name).causes
    mean, sd = (torch.tensor([metrics[key][name] for name in names]) for key in ("mean", "sd"))
    true = standardised(read_factors(root, dataset.name, dataset.resolution), latents.ids, mean, sd)
    split = load_split(root, dataset, config.attfind.split)
    device = next(regressor.parameters()).device
    with torch.inference_mode():
        batches = positions_of(split, latents).split(config.evaluation.batch_size)
        told = torch.cat([regressor(split.images(rows).to(device)).cpu() for rows in batches])
    columns = {
        "r2_images": r_squared(told, true),
        "r2_reconstructions": r_squared(base, true),
        "logit_weight": logit_weights(latents.logits, true),
    }
    rows = []
    for index, name in enumerate(names):
        measured = {key: float(values[index]) for key, values in columns.items()}
        rows.append({"factor": name, "cause": name in causes, "n": len(true)} | measured)
    return rows


def logit_weights(logits: Tensor, true: Tensor) -> Tensor:
    """Return [F]: change of the last class's logit less the first's, a sd of each factor, by least squares.

    logits [N, classes] of the images, true [N, F] in sd. What the classifier goes by, as far as that is linear.
    """
    design = torch.cat([true, torch.ones(len(true), 1)], dim=1).double()
    margin = (logits[:, -1] - logits[:, 0]).double()
    return torch.linalg.lstsq(design, margin[:, None]).solution[:-1, 0]
