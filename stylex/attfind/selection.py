"""Algorithm 1 of [L] 3.3: which coordinates, in which direction, raise a target class."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from stylex.artifacts import provenance
from stylex.attfind.records import Attribute, Direction, Effects, read_effects, write_attributes
from stylex.config import ExperimentPaths, load_experiment
from stylex.errors import AttributesNotFoundError

logger = logging.getLogger("stylex")


@dataclass(frozen=True)
class Selection:
    """Attributes of one target class in the order found, and why the search ended."""

    attributes: list[Attribute]
    images: int  # with which it began: those whose reconstruction is not classified as the target
    stopped: str


def select(root: Path, name: str) -> None:
    """Write the experiment's attributes.csv, and in its provenance why each search ended.

    A class whose search finds nothing has no attributes, and the log says why; if no class has any, that is an error.
    """
    config, paths = load_experiment(root, name), ExperimentPaths(root, name)
    effects, attributes = read_effects(paths.effects()), []
    origin = provenance(config.digest(), config.seed) | {"shift": str(effects.header.shift)}
    for target, class_name in enumerate(effects.header.class_names):
        try:
            selection = select_attributes(effects, target, config.attfind.threshold, config.attfind.max_attributes)
        except AttributesNotFoundError as error:
            logger.warning("%s", error)
            origin[f"search {class_name}"] = str(error)
            if target == len(effects.header.class_names) - 1 and not attributes:
                raise
            continue
        attributes += selection.attributes
        origin[f"search {class_name}"] = (
            f"{len(selection.attributes)} attributes of {selection.images} images: {selection.stopped}"
        )
    write_attributes(paths.attributes, attributes, origin)


def select_attributes(effects: Effects, target: int, threshold: float, max_attributes: int) -> Selection:
    """Run Algorithm 1 for the class `target` on the images whose reconstruction is classified otherwise.

    The mean effect is over the images not yet explained; `threshold` in logits. Fewer than `max_attributes` come back
    when every image is explained or no coordinate is left that raises the class: a mean over no image is not an effect.
    Raises `AttributesNotFoundError` when there is no image or nothing raises the class.
    """
    class_name = effects.header.class_names[target]
    others = effects.base_logits.argmax(dim=1) != target
    unexplained = effects.effect[others, :, :, target].double()  # [X, 2, K]
    if not len(unexplained):
        raise AttributesNotFoundError(
            f"every reconstruction is classified as '{class_name}', so no image can be turned into it;"
            " train longer (stylex.training.images) or analyse more images (attfind.images)"
        )
    images, found, stopped = len(unexplained), [], f"the limit of {max_attributes} is reached"
    used = torch.zeros(unexplained.shape[2], dtype=torch.bool)
    while len(found) < max_attributes:
        if not len(unexplained):
            stopped = "every image is explained"
            break
        best = _best_move(unexplained, used)
        if best is None:
            stopped = "no coordinate left raises the class"
            break
        direction, index, mean = best
        explained = unexplained[:, direction, index] > threshold
        place = effects.header.layers[index], effects.header.channels[index]
        found.append(Attribute(class_name, len(found) + 1, index, *place, direction, mean, int(explained.sum())))
        used[index] = True
        unexplained = unexplained[~explained]
    if not found:
        raise AttributesNotFoundError(
            f"no style coordinate raises '{class_name}' in one direction only;"
            " train longer (stylex.training.images) or raise attfind.shift"
        )
    return Selection(found, images, stopped)


def _best_move(effect: torch.Tensor, used: torch.Tensor) -> tuple[Direction, int, float] | None:
    """Return the largest positive mean of effect [X, 2, K], neither used nor raised by both directions, or None."""
    mean = effect.mean(dim=0)
    inconsistent = (mean > 0).all(dim=0)
    mean = mean.masked_fill(used | inconsistent, 0)
    direction, index = divmod(int(mean.argmax()), mean.shape[1])
    value = float(mean[direction, index])
    return (Direction(direction), index, value) if value > 0 else None
