"""Attributes measured against truth, where it is known: which factor does each one move, and is it a cause.

Not in the papers, which show attributes to people ([L] 4.2.2). On a drawn dataset the factors of an image are told by a
regressor; an attribute is applied alone, as sufficiency does, and the mean change of each factor is its signature.
Where it changes the image is held against the region of the factor that it moves most. Random moves (a coordinate and a
direction drawn uniformly) are measured beside them: what chance finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pandas
import torch
from torch import Tensor

from stylex.artifacts import provenance, read_json, write_table
from stylex.attfind.records import Attribute, Direction, read_attributes
from stylex.classifiers.regressor import FactorRegressor, load_regressor, r_squared, standardised
from stylex.config import ExperimentConfig, ExperimentPaths, load_experiment, regressor_paths
from stylex.datasets import dataset_spec, load_split
from stylex.datasets.factors import read_factors
from stylex.datasets.regions import regions
from stylex.errors import ConfigError
from stylex.evaluation.counterfactuals import (
    apply_attributes,
    images_to_turn,
    positions_of,
    rendered,
    target_classes,
)
from stylex.evaluation.maps import named, pixel_change
from stylex.evaluation.regions import COLUMNS as OVERLAP
from stylex.evaluation.regions import overlap
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

    causes, areas = dataset_spec(root, config.dataset.name).causes, _regions(root, config, latents)
    base = told(regressor, synthesis, latents.style_vector(), batch_size)
    moves = all_moves(config, paths, latents, synthesis.layout)
    rows = []
    with progress(f"factors {name}", sum(map(len, moves.values())), "moves") as counter:
        for method, attributes in moves.items():
            for attribute in attributes:
                images = images_to_turn(latents, attribute.target_class, config.attfind.against)
                factor, pixels = changes(regressor, synthesis, latents, images, base, attribute, config)
                row = row_of(attribute, factor, regressor.class_names, causes)
                where = overlap_of(pixels, areas, row["factor"], images, config.seed)
                rows.append({"experiment": name, "method": method} | row | where)
                counter.advance(1)
    write_table(paths.factors, pandas.DataFrame(rows), origin)
    fit = _fit(root, config, latents, regressor, read_json(trained.metrics), base.factors)
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


class Told(NamedTuple):
    """Images, and what the regressor tells of them."""

    images: Tensor  # [N, C, H, W] in [-1, 1], on the CPU
    factors: Tensor  # [N, F] in sd


def changes(
    regressor: FactorRegressor,
    synthesis: Synthesis,
    latents: Latents,
    images: Tensor,
    base: Told,
    attribute: Attribute,
    config: ExperimentConfig,
) -> tuple[Tensor, Tensor]:
    """Return what the attribute alone changes: each factor, [n, F] in sd, and each pixel, [n, H, W] in [0, 2].

    images [n] int64: rows of `latents`; base: the unmoved reconstructions, of all rows.
    """
    styles = apply_attributes(latents, images, [attribute], config.attfind.shift)
    moved = told(regressor, synthesis, styles, config.evaluation.batch_size)
    return moved.factors - base.factors[images], pixel_change(base.images[images], moved.images)


def told(regressor: FactorRegressor, synthesis: Synthesis, styles: StyleVector, batch_size: int) -> Told:
    """Return the images of `styles`, and the factors that the regressor tells from them."""
    images, found = [], []
    for batch in rendered(synthesis, styles, batch_size):
        images.append(batch.cpu())
        found.append(regressor(batch).cpu())
    if not images:
        return Told(torch.zeros(0, 1, 1, 1), torch.zeros(0, len(regressor.class_names)))
    return Told(torch.cat(images), torch.cat(found))


def _regions(root: Path, config: ExperimentConfig, latents: Latents) -> dict[str, Tensor]:
    """Return where each factor acts in each analysed image as it was drawn, [N, H, W] bool by its name."""
    known = read_factors(root, config.dataset.name, config.dataset.resolution)
    drawn = regions(known.of(latents.ids), config.dataset.resolution)
    return {name: torch.from_numpy(masks) for name, masks in drawn.items()}


def overlap_of(
    pixels: Tensor, areas: Mapping[str, Tensor], factor: str | None, images: Tensor, seed: int
) -> dict[str, float | None]:
    """Return the columns of `overlap` with the region of the factor that a move moves most; empty where it moves none.

    pixels [n, H, W]: change of the images, rows [n] of the regions.
    """
    return dict.fromkeys(OVERLAP) if factor is None else overlap(pixels, areas[factor][images], seed)


def row_of(attribute: Attribute, change: Tensor, names: Sequence[str], causes: Sequence[str]) -> dict[str, Any]:
    """Return the columns of factors.csv of one move; change [n, F] in sd.

    factor: the one with the largest absolute mean change; purity: its share of the sum of those of all factors. Both
    are empty where nothing was moved. cause: whether it is one of the label's.
    """
    mean = change.double().mean(dim=0) if len(change) else torch.full((len(names),), torch.nan, dtype=torch.float64)
    total = float(mean.abs().sum())
    moved = total > 0  # False for NaN
    best = int(mean.abs().argmax()) if moved else 0
    return (
        named(attribute)
        | {
            "n": len(change),
            "factor": names[best] if moved else None,
            "cause": moved and names[best] in causes,
            "purity": float(mean[best].abs()) / total if moved else None,
            "change": float(mean[best]) if moved else None,
        }
        | {CHANGE + name: float(value) for name, value in zip(names, mean, strict=True)}
    )


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
