"""Where an attribute acts: the mean change of each pixel when it alone is moved.

Not in the papers, which leave it to the eye (figures 4 to 8 of [L]). An attribute's map is the mean |x' - x| over the
images to be turned into its target class, those of sufficiency, and over the channels: x the reconstruction, x' the
same with the one coordinate moved by the shift of AttFind, both as a file holds them.
"""

from __future__ import annotations

from math import nan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylex.attfind.records import Attribute, map_name, mapped, read_attributes, write_maps
from stylex.evaluation.counterfactuals import Run
from stylex.latents.table import Latents
from stylex.progress import progress

COLUMNS = (
    "experiment", "protocol", "target_class", "rank", "style_index", "direction", "shift", "n", "mean_change",
    "area_90", "centre_x", "centre_y",
)  # fmt: skip
MOST = 0.9  # of the change, for `area_90`


def maps(root: Path, name: str, device: str) -> None:
    """Write attribute_maps.safetensors and attribute_maps.csv of the attributes that figures may show.

    Those are, by the main protocol and of each target class, the first evaluation.figure_attributes.
    """
    run, found, rows = Run.load(root, name, device), dict[str, Tensor](), list[dict[str, Any]]()
    count, lists = run.config.evaluation.figure_attributes, read_attributes(run.paths.attributes)
    attributes = [attribute for found_first in lists.values() for attribute in mapped(found_first, count)]
    common = {"experiment": name, "protocol": run.latents.protocol, "shift": run.config.attfind.shift}
    with progress(f"maps {name}", len(attributes), "attributes") as counter:
        for attribute in attributes:
            images = run.images_to_turn(run.latents, attribute.target_class)
            found[map_name(attribute)] = change = mean_change(run, run.latents, images, attribute)
            rows.append(common | move_columns(attribute) | {"n": len(images)} | numbers(change))
            counter.advance(1)
    write_maps(run.paths.maps, found, run.origin())
    run.write(run.paths.map_numbers, rows, COLUMNS)


def move_columns(attribute: Attribute) -> dict[str, Any]:
    """Return the columns that say which move a row is of."""
    columns = {key: getattr(attribute, key) for key in ("target_class", "rank", "style_index")}
    return columns | {"direction": attribute.direction.label}


def mean_change(run: Run, latents: Latents, images: Tensor, attribute: Attribute) -> Tensor:
    """Return the map of an attribute, [H, W] float64 in [0, 2]; NaN where there are no images.

    images [n] int64: rows of `latents`.
    """
    total = torch.zeros(run.config.dataset.resolution, run.config.dataset.resolution, dtype=torch.float64)
    moved = run.rendered(run.moved(latents, images, [attribute]))
    for before, after in zip(run.rendered(latents.style_vector(images)), moved, strict=True):
        total += pixel_change(before, after).cpu().double().sum(dim=0)
    return total / len(images)  # 0 / 0 is NaN


def pixel_change(before: Tensor, after: Tensor) -> Tensor:
    """Return [N, H, W] in [0, 2]: the absolute change of each pixel of [N, C, H, W], mean over the channels."""
    return (after - before).abs().mean(dim=1)


def change_ranks(change: Tensor) -> Tensor:
    """Return the rank of each pixel of [N, H, W] by its change, [N, H * W] int64: 0 the largest, ties as one reads."""
    return change.flatten(1).argsort(dim=1, descending=True, stable=True).argsort(dim=1)


def numbers(change: Tensor) -> dict[str, float]:
    """Return the columns that describe a map [H, W]; where nothing changes it lies nowhere (NaN).

    mean_change: in [0, 2]. area_90: share of the image in the smallest set of pixels that has 90 % of the change; 0.9
    of an even change. centre_x, centre_y: centre of mass, from the left and from the top edge, in sides of the image.
    """
    mean = float(change.mean())
    if not mean > 0:  # nor NaN
        return {"mean_change": mean, "area_90": nan, "centre_x": nan, "centre_y": nan}
    y, x = ((torch.arange(size, dtype=torch.float64) + 0.5) / size for size in change.shape)
    weights = change / change.sum()
    return {
        "mean_change": mean,
        "area_90": smallest_area(change, MOST),
        "centre_x": float((weights.sum(dim=0) * x).sum()),
        "centre_y": float((weights.sum(dim=1) * y).sum()),
    }


def smallest_area(change: Tensor, part: float) -> float:
    """Return how large a share of a map's pixels holds `part` of its sum, taking the largest first."""
    held = change.flatten().sort(descending=True).values.cumsum(dim=0)
    needed = part * held[-1] * (1 - 1e-9)  # of equal pixels, exactly that part of them
    return (int((held < needed).sum()) + 1) / change.numel()
