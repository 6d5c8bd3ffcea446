"""Where an attribute acts: the mean change of each pixel when it alone is moved.

Not in the papers, which leave it to the eye (figures 4 to 8 of [L]). An attribute's map is the mean |x' - x| over the
images to be turned into its target class, those of sufficiency, and over the channels: x the reconstruction, x' the
same with the one coordinate moved by the shift of AttFind, both as a file holds them.
"""

from __future__ import annotations

from math import nan
from pathlib import Path

import pandas
import torch
from torch import Tensor

from stylex.artifacts import provenance, write_table
from stylex.attfind.maps import map_name, mapped, write_maps
from stylex.attfind.records import Attribute, read_attributes
from stylex.config import ExperimentConfig, ExperimentPaths, load_experiment
from stylex.evaluation.counterfactuals import apply_attributes, images_to_turn, rendered
from stylex.latents.table import Latents, read_latents
from stylex.networks.model import load_stylex
from stylex.networks.synthesis import Synthesis
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
    config, paths = load_experiment(root, name), ExperimentPaths(root, name)
    latents = read_latents(paths.latents).under(config.attfind.protocol)
    synthesis = load_stylex(paths.stylex_model, device).synthesis
    count, lists = config.evaluation.figure_attributes, read_attributes(paths.attributes)
    attributes = [attribute for found in lists.values() for attribute in mapped(found, count)]
    common = {"experiment": name, "protocol": latents.protocol, "shift": config.attfind.shift}
    found, rows = {}, []
    with progress(f"maps {name}", len(attributes), "attributes") as counter:
        for attribute in attributes:
            images = images_to_turn(latents, attribute.target_class, config.attfind.against)
            found[map_name(attribute)] = each = mean_change(synthesis, latents, images, attribute, config)
            rows.append(common | named(attribute) | {"n": len(images)} | numbers(each))
            counter.advance(1)
    origin = provenance(config.digest(), config.seed, device)
    write_maps(paths.maps, found, origin)
    write_table(paths.map_numbers, pandas.DataFrame(rows, columns=list(COLUMNS)), origin)


def named(attribute: Attribute) -> dict[str, object]:
    """Return the columns that say which move a row is of."""
    return {
        "target_class": attribute.target_class,
        "rank": attribute.rank,
        "style_index": attribute.style_index,
        "direction": attribute.direction.label,
    }


def mean_change(
    synthesis: Synthesis, latents: Latents, images: Tensor, attribute: Attribute, config: ExperimentConfig
) -> Tensor:
    """Return the map of an attribute, [H, W] float64 in [0, 2]; NaN where there are no images.

    images [n] int64: rows of `latents`.
    """
    side, batch_size = config.dataset.resolution, config.evaluation.batch_size
    total = torch.zeros(side, side, dtype=torch.float64)
    before = rendered(synthesis, latents.style_vector(images), batch_size)
    moved = apply_attributes(latents, images, [attribute], config.attfind.shift)
    for one, other in zip(before, rendered(synthesis, moved, batch_size), strict=True):
        total += pixel_change(one, other).double().sum(dim=0)
    return total / len(images)  # 0 / 0 is NaN


def pixel_change(before: Tensor, after: Tensor) -> Tensor:
    """Return [N, H, W] on the CPU, in [0, 2]: the absolute change of each pixel, mean over the channels.

    before, after [N, C, H, W] in [-1, 1].
    """
    return (after - before).abs().mean(dim=1).cpu()


def numbers(each: Tensor) -> dict[str, float]:
    """Return the columns that describe a map [H, W]; where nothing changes it lies nowhere (NaN).

    mean_change: in [0, 2]. area_90: share of the image in the smallest set of pixels that has 90 % of the change; 0.9
    of an even change. centre_x, centre_y: centre of mass, from the left and from the top edge, in sides of the image.
    """
    mean = float(each.mean())
    if not mean > 0:  # nor NaN
        return {"mean_change": mean, "area_90": nan, "centre_x": nan, "centre_y": nan}
    y, x = ((torch.arange(size, dtype=torch.float64) + 0.5) / size for size in each.shape)
    weights = each / each.sum()
    return {
        "mean_change": mean,
        "area_90": smallest_area(each, MOST),
        "centre_x": float((weights.sum(dim=0) * x).sum()),
        "centre_y": float((weights.sum(dim=1) * y).sum()),
    }


def smallest_area(each: Tensor, part: float) -> float:
    """Return how large a share of a map's pixels holds `part` of its sum, taking the largest first."""
    held = each.flatten().sort(descending=True).values.cumsum(dim=0)
    needed = part * held[-1] * (1 - 1e-9)  # of equal pixels, exactly that part of them
    return (int((held < needed).sum()) + 1) / each.numel()
