"""Attributes measured against truth, where it is known: which factor does each one move, and is it a cause.

Not in the papers, which show attributes to people ([L] 4.2.2). On a drawn dataset a regressor estimates the factors of
an image; an attribute is applied alone, as sufficiency does, and the mean change of each factor is its signature. Where
it changes the image is compared with the region of the factor that it moves most. Random moves (a coordinate and a
direction drawn uniformly) are measured beside them: what chance finds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylex.artifacts import read_json
from stylex.attfind.records import Attribute, read_attributes
from stylex.classifiers.frozen import FactorRegressor, load_regressor
from stylex.classifiers.metrics import r_squared
from stylex.classifiers.stages import standardised
from stylex.config import regressor_paths
from stylex.datasets import dataset_spec, load_split
from stylex.datasets.factors import read_factors
from stylex.datasets.leaves import regions
from stylex.errors import ConfigError
from stylex.evaluation.counterfactuals import Run, images_by_id, ranked
from stylex.evaluation.intervals import bootstrap
from stylex.evaluation.maps import change_ranks, move_columns, pixel_change
from stylex.networks.stylespace import StyleSpaceLayout, StyleVector
from stylex.progress import progress

CHANGE = "change_"  # prefix of the columns with the mean change of each factor
FIT_COLUMNS: Sequence[str] = ("experiment", "factor", "cause", "n", "r2_images", "r2_reconstructions", "logit_weight")
OVERLAP = ("area", "inside", "inside_low", "inside_high", "iou", "iou_low", "iou_high", "iou_chance")


def factors(root: Path, name: str, device: str) -> None:
    """Write the experiment's factors.csv and factor_fit.csv.

    Raises `ConfigError` when the experiment names no regressor of factors.
    """
    run = Run.load(root, name, device)
    config, seed = run.config, run.config.seed
    if config.evaluation.factor_regressor is None:
        raise ConfigError(f"experiment '{name}': set evaluation.factor_regressor to measure the factors moved")
    latents, trained = run.latents, regressor_paths(root, config.evaluation.factor_regressor)
    regressor, causes = load_regressor(trained.model, device), dataset_spec(root, config.dataset.name).causes
    known, names = read_factors(root, config.dataset.name, config.dataset.resolution), regressor.class_names
    drawn = regions(known.of(latents.ids), config.dataset.resolution)
    areas = {factor: torch.from_numpy(masks) for factor, masks in drawn.items()}
    base = estimated(run, regressor, latents.style_vector())
    moves, rows = moves_by_method(run), list[dict[str, Any]]()
    with progress(f"factors {name}", sum(map(len, moves.values())), "moves") as counter:
        for method, attributes in moves.items():
            for attribute in attributes:
                images = run.images_to_turn(latents, attribute.target_class)
                moved = estimated(run, regressor, run.moved(latents, images, [attribute]))
                change, pixels = moved[1] - base[1][images], pixel_change(base[0][images], moved[0])
                row = row_of(attribute, change, names, causes)
                where = overlap_of(pixels, areas, row["factor"], images, seed)
                rows.append({"experiment": name, "method": method} | row | where)
                counter.advance(1)
    run.write(run.paths.factors, rows)

    metrics, batches = read_json(trained.metrics), torch.arange(len(latents.ids)).split(config.evaluation.batch_size)
    mean, sd = (torch.tensor([metrics[key][factor] for factor in names]) for key in ("mean", "sd"))
    true = standardised(known, latents.ids, mean, sd)
    originals = images_by_id(latents, [load_split(root, config.dataset, config.attfind.split)])
    with torch.inference_mode():
        of_images = torch.cat([regressor(originals(batch).to(device)).cpu() for batch in batches])
    fits = r_squared(of_images, true), r_squared(base[1], true), logit_weights(latents.logits, true)
    fit = [
        dict(zip(FIT_COLUMNS, (name, factor, factor in causes, len(true), *map(float, values)), strict=True))
        for factor, *values in zip(names, *fits, strict=True)
    ]
    run.write(run.paths.factor_fit, fit, FIT_COLUMNS)


def moves_by_method(run: Run) -> dict[str, list[Attribute]]:
    """Return the moves to measure; `random` is drawn from the experiment's seed."""
    lists, layout = run.attribute_files(run.latents.protocol), run.networks.synthesis.layout
    found = {method: list(chain.from_iterable(read_attributes(path).values())) for method, path in lists.items()}
    generator, count = torch.Generator().manual_seed(run.config.seed), run.config.evaluation.random_moves
    return found | {"random": random_attributes(run.targets, layout, count, generator)}


def random_attributes(
    class_names: Sequence[str], layout: StyleSpaceLayout, count: int, generator: torch.Generator
) -> list[Attribute]:
    """Draw up to `count` different moves (coordinate and direction) for each class, uniformly."""
    moves = []
    for name in class_names:
        drawn = torch.randperm(2 * layout.size, generator=generator)[:count].tolist()
        moves += ranked(name, [(move % layout.size, move // layout.size) for move in drawn], layout)
    return moves


def estimated(run: Run, regressor: FactorRegressor, styles: StyleVector) -> tuple[Tensor, Tensor]:
    """Return the images [N, C, H, W] of `styles`, in [-1, 1], and their factors [N, F] in sd, both on the CPU."""
    batches = [(images.cpu(), regressor(images).cpu()) for images in run.rendered(styles)]
    if not batches:
        return torch.zeros(0, 1, 1, 1), torch.zeros(0, len(regressor.class_names))
    images, found = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(found)


def row_of(attribute: Attribute, change: Tensor, names: Sequence[str], causes: Sequence[str]) -> dict[str, Any]:
    """Return the columns of factors.csv of one move; change [n, F] in sd.

    factor: the one with the largest absolute mean change; purity: its share of the sum of those of all factors. Both
    are empty where nothing was moved. cause: whether it is one of the label's.
    """
    mean = change.double().mean(dim=0) if len(change) else torch.full((len(names),), torch.nan, dtype=torch.float64)
    total, best = float(mean.abs().sum()), int(mean.abs().argmax())
    found: dict[str, Any] = {"factor": None, "cause": False, "purity": None, "change": None}
    if total > 0:  # False for NaN
        purity = float(mean[best].abs()) / total
        found = {"factor": names[best], "cause": names[best] in causes, "purity": purity, "change": float(mean[best])}
    each = {CHANGE + name: float(value) for name, value in zip(names, mean, strict=True)}
    return move_columns(attribute) | {"n": len(change)} | found | each


def logit_weights(logits: Tensor, true: Tensor) -> Tensor:
    """Return [F]: change of the last class's logit less the first's, for one sd of each factor, by least squares.

    logits [N, classes] of the images, true [N, F] in sd. What the classifier goes by, as far as that is linear.
    """
    design = torch.cat([true, torch.ones(len(true), 1)], dim=1).double()
    margin = (logits[:, -1] - logits[:, 0]).double()
    return torch.linalg.lstsq(design, margin[:, None]).solution[:-1, 0]


def overlap_of(
    pixels: Tensor, areas: Mapping[str, Tensor], factor: str | None, images: Tensor, seed: int
) -> dict[str, float | None]:
    """Return `overlap` of pixels [n, H, W] of the images, rows [n], with the region of a factor; empty without one."""
    return dict.fromkeys(OVERLAP) if factor is None else overlap(pixels, areas[factor][images], seed)


def overlap(change: Tensor, region: Tensor, seed: int) -> dict[str, float | None]:
    """Return the columns `OVERLAP` of a move; all empty where nothing changes.

    change [n, H, W]: |x' - x| of each image; region [n, H, W] bool: that of a factor in it, never empty. Over the
    images in which something changes, with 95 % intervals over images:

    - inside: share of the change, of all images together, that lies in the regions;
      area: what that would be if the change of each image were spread evenly over it, so the area of the regions;
    - iou: intersection over union of the region and of as many pixels, those that change most, mean over images;
      iou_chance: of as many pixels drawn at random, about a / (2 - a) where the region is a share a of the image.
    """
    change, region = change.double().flatten(1), region.flatten(1)
    some = change.sum(dim=1) > 0
    if not some.any():
        return dict.fromkeys(OVERLAP)
    change, region = change[some], region[some]
    total, held = change.sum(dim=1), (change * region).sum(dim=1)
    share, iou = region.double().mean(dim=1), intersection_over_union(most_changed(change, region.sum(dim=1)), region)
    area, inside = (total * share).sum() / total.sum(), held.sum() / total.sum()
    bounds = bootstrap(held.numpy(), seed, total.numpy()), bootstrap(iou.numpy(), seed)
    values = (area, inside, *bounds[0], iou.mean(), *bounds[1], (share / (2 - share)).mean())
    return dict(zip(OVERLAP, map(float, values), strict=True))


def most_changed(change: Tensor, counts: Tensor) -> Tensor:
    """Return which pixels change most, [n, P] bool: `counts` [n] of each image [n, P], none that does not change."""
    return (change_ranks(change) < counts[:, None]) & (change > 0)


def intersection_over_union(one: Tensor, other: Tensor) -> Tensor:
    """Return [n] float64 of two sets of pixels of each image, [n, P] bool, not both empty."""
    return (one & other).sum(dim=1).double() / (one | other).sum(dim=1)
