"""Where an attribute acts, and what it does alone: the mean change of each pixel, and whom the images convince.

Not in the papers, which leave it to the eye (figures 4 to 8 of [L]). An attribute's map is the mean |x' - x| over the
images to be turned into its target class, those of sufficiency, and over the channels: x the reconstruction, x' the
same with the one coordinate moved by the shift of AttFind, both as a file holds them. Of these x', the classifier gives
`flipped` to the target class, and of those the oracle `agreed`, if there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import nan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylex.attfind.records import Attribute, map_name, mapped, read_attributes, write_maps
from stylex.classifiers.metrics import matched
from stylex.evaluation.counterfactuals import Run
from stylex.evaluation.intervals import fraction_columns
from stylex.latents.table import Latents
from stylex.progress import progress

FRACTIONS = {"flipped": "validity", "agreed": "agreement"}  # as in counterfactuals.csv
QUALITY = [each for count, name in FRACTIONS.items() for each in (count, name, f"{name}_low", f"{name}_high")]
COLUMNS = (
    "experiment", "protocol", "target_class", "rank", "style_index", "direction", "shift", "n", *QUALITY, "mean_change",
    "area_90", "centre_x", "centre_y",
)  # fmt: skip
MOST = 0.9  # of the change, for `area_90`
ALWAYS = 5  # attributes of a class, which the teaser and the animations show whatever evaluation.figure_attributes is


def maps(root: Path, name: str, device: str) -> None:
    """Write attribute_maps.safetensors and attribute_maps.csv of the attributes that figures may show.

    Those are, by the main protocol and of each target class, the first evaluation.figure_attributes, and `ALWAYS`.
    """
    run, found, rows = Run.load(root, name, device), dict[str, Tensor](), list[dict[str, Any]]()
    count, lists = max(ALWAYS, run.config.evaluation.figure_attributes), read_attributes(run.paths.attributes)
    attributes = [attribute for found_first in lists.values() for attribute in mapped(found_first, count)]
    common = {"experiment": name, "protocol": run.latents.protocol, "shift": run.config.attfind.shift}
    with progress(f"maps {name}", len(attributes), "attributes") as counter:
        for attribute in attributes:
            images = run.images_to_turn(run.latents, attribute.target_class)
            change, answers = moved_alone(run, run.latents, images, attribute, judges(run, attribute.target_class))
            found[map_name(attribute)] = change
            measured = quality(answers, [run.latents.ids[row] for row in images.tolist()], run.config.seed)
            rows.append(common | move_columns(attribute) | {"n": len(images)} | measured | numbers(change))
            counter.advance(1)
    write_maps(run.paths.maps, found, run.origin())
    run.write(run.paths.map_numbers, rows, COLUMNS)


def move_columns(attribute: Attribute) -> dict[str, Any]:
    """Return the columns that say which move a row is of."""
    columns = {key: getattr(attribute, key) for key in ("target_class", "rank", "style_index")}
    return columns | {"direction": attribute.direction.label}


def judges(run: Run, target: str) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return who says whether images [N, C, H, W] are of the target class, [N] bool: the classifier, and the oracle."""
    label, oracle = run.latents.class_names.index(target), run.oracle
    found = {"flipped": lambda images: run.classifier(images).argmax(dim=1) == label}
    if oracle is not None:
        known = matched(oracle.class_names, run.latents.class_names, run.config.dataset.one_vs_rest)
        found["agreed"] = lambda images: known.to(images.device)[oracle(images).argmax(dim=1)] == label
    return found


@torch.inference_mode()
def moved_alone(
    run: Run, latents: Latents, images: Tensor, attribute: Attribute, judges: Mapping[str, Callable[[Tensor], Tensor]]
) -> tuple[Tensor, dict[str, list[bool]]]:
    """Return the map of an attribute, [H, W] float64 in [0, 2], and what each of `judges` says of each moved image.

    images [n] int64: rows of `latents`. The map is NaN where there are none.
    """
    total = torch.zeros(run.config.dataset.resolution, run.config.dataset.resolution, dtype=torch.float64)
    answers: dict[str, list[bool]] = {name: [] for name in judges}
    moved = run.rendered(run.moved(latents, images, [attribute]))
    for before, after in zip(run.rendered(latents.style_vector(images)), moved, strict=True):
        total += pixel_change(before, after).cpu().double().sum(dim=0)
        for name, convinced in judges.items():
            answers[name] += convinced(after).tolist()
    return total / len(images), answers  # 0 / 0 is NaN


def quality(answers: Mapping[str, list[bool]], ids: list[str], seed: int) -> dict[str, Any]:
    """Return the columns `QUALITY`, those of the oracle where there is one; ids: of the images that are answered about.

    `agreed` counts the images that flip and that the oracle, too, gives to the target class.
    """
    columns = {}
    for count, name in FRACTIONS.items():
        if count in answers:
            both = zip(answers["flipped"], answers[count], strict=True)
            given = dict(zip(ids, (all(each) for each in both), strict=True))
            columns |= fraction_columns([given], seed, count, (name, f"{name}_low", f"{name}_high"))
    return columns


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
