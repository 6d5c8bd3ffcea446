"""Which coordinates, in which direction, raise a target class: the stage `attributes` ([L] 3.3, options of [N]).

A search is Algorithm 1 of [L] 3.3 or one of the two of the notebook [N]. All take the effects on the images to be
explained, effect [X, 2, K] in logits, and which moves are allowed, [2, K], and return the chosen moves in order and why
there are no more. A move that was not measured on every image (its mean is NaN) is never chosen. An average over no
image is not an effect: when every image is explained, a search ends, where [N] would go on with coordinate 0.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from stylex.artifacts import provenance
from stylex.attfind.records import Attribute, Direction, Effects, read_effects, write_attributes
from stylex.config import AttFindConfig, ExperimentPaths, load_experiment
from stylex.config.analysis import DiscriminatorFilter, UnstableFilter, unknown_class
from stylex.config.base import POOLED
from stylex.errors import ArtifactError, AttributesNotFoundError, ConfigError

EXPLAINED, EXHAUSTED = "every image is explained", "no coordinate left raises the class"
OPTIONS = (
    "engine", "algorithm", "min_images_fraction", "against", "threshold", "tolerance", "max_attributes",
    "discriminator_filter", "unstable_filter",
)  # fmt: skip
logger = logging.getLogger("stylex")


class Found(NamedTuple):
    """A chosen move."""

    direction: Direction
    style_index: int
    mean_effect: float  # logits, over the images unexplained until then
    explained: int  # images that it explains


class Selection(NamedTuple):
    """Attributes of one target class in the order found, and why the search ended."""

    attributes: list[Attribute]
    images: int  # with which it began: those whose reconstruction is to be turned into the target
    stopped: str


def paper(effect: Tensor, allowed: Tensor, options: AttFindConfig) -> tuple[list[Found], str]:
    """Run Algorithm 1 of [L]: an image whose effect of the chosen move is above the threshold is explained and leaves.

    A coordinate whose mean is positive in both directions is discarded, whichever direction is allowed. Images that are
    at one extreme already are hardly moved there, so by rounding alone the best coordinate can be of these: [L]'s limit
    of 0 can be raised by the tolerance. (The screened engine leaves the opposite of a move unmeasured where it knows
    from its bounds that the mean is not positive.) None is used twice: what raises the class in one direction would,
    moved in the other, take it back.
    """
    left, found = effect, []
    used = torch.zeros(effect.shape[2], dtype=torch.bool)
    while len(found) < options.max_attributes:
        if not len(left):
            return found, EXPLAINED
        mean = left.mean(dim=0)
        consistent = ~(mean > options.tolerance).all(dim=0)
        best = _largest(mean, (mean > 0) & consistent & allowed & ~used)
        if best is None:
            return found, EXHAUSTED
        direction, index = best
        explained = left[:, direction, index] > options.threshold
        found.append(Found(direction, index, float(mean[direction, index]), int(explained.sum())))
        used[index] = True
        left = left[~explained]
    return found, _limit(options)


def notebook(effect: Tensor, allowed: Tensor, options: AttFindConfig) -> tuple[list[Found], str]:
    """Run find_significant_styles of [N]: effects count from 0 up, and an image leaves when their sum is the threshold.

    So one direction is never held against the other, and an image can be explained by several moves together. A chosen
    move is not chosen again, but the other direction of its coordinate may be.
    """
    gain, found = effect.clamp_min(0), []
    total = torch.zeros(len(effect), dtype=effect.dtype)
    while len(found) < options.max_attributes:
        left = total < options.threshold
        if not left.any():
            return found, EXPLAINED
        mean = gain[left].mean(dim=0)
        best = _largest(mean, (mean > 0) & allowed)
        if best is None:
            return found, EXHAUSTED
        direction, index = best
        total = total + gain[:, direction, index]
        explained = int((left & (total >= options.threshold)).sum())
        found.append(Found(direction, index, float(mean[direction, index]), explained))
        gain[:, direction, index] = 0
    return found, _limit(options)


def image_fraction(effect: Tensor, allowed: Tensor, options: AttFindConfig) -> tuple[list[Found], str]:
    """Run find_significant_styles_image_fraction of [N]: the moves that raise the most images by the threshold or more.

    Counted once, over all images: none ever leaves, and both directions of a coordinate may be chosen. Of the first
    2 x `max_attributes` moves those that are allowed are taken, until one raises too few images. `explained` is the
    number that a move raises. Of moves that raise equally many the one with the larger mean comes first; [N] leaves
    that open.
    """
    mean = effect.mean(dim=0).flatten()
    count = (effect > options.threshold).sum(dim=0).flatten().masked_fill(mean.isnan(), 0)
    by_mean = mean.argsort(descending=True, stable=True)
    order = by_mean[count[by_mean].argsort(descending=True, stable=True)][: 2 * options.max_attributes]
    found: list[Found] = []
    for move in order.tolist():
        if not count[move] or count[move] < options.min_images_fraction * len(effect):
            return found, "no move left raises enough images by more than the threshold"
        direction, index = divmod(move, effect.shape[2])
        if allowed[direction, index]:
            found.append(Found(Direction(direction), index, float(mean[move]), int(count[move])))
        if len(found) == options.max_attributes:
            return found, _limit(options)
    return found, f"the first {len(order)} moves have been looked at"


ALGORITHMS = {"paper": paper, "notebook": notebook, "image_fraction": image_fraction}


def _largest(mean: Tensor, eligible: Tensor) -> tuple[Direction, int] | None:
    """Return the eligible move with the largest mean; None: no such. mean, eligible [2, K]."""
    if not eligible.any():
        return None
    direction, index = divmod(int(mean.masked_fill(~eligible, -torch.inf).argmax()), mean.shape[1])
    return Direction(direction), index


def _limit(options: AttFindConfig) -> str:
    return f"the limit of {options.max_attributes} is reached"


def select(root: Path, name: str, protocol: str | None = None) -> None:
    """Write the experiment's attributes.csv, and in its provenance the options and why each search ended.

    protocol: one of attfind.protocols; default: the main one. A class whose search finds nothing has no attributes, and
    the log says why; if no class has any, that is an error.
    """
    config = load_experiment(root, name)
    options, protocol = config.attfind, config.attfind.known_protocol(protocol)
    paths = ExperimentPaths(root, name).under(protocol, options.protocol)
    effects = read_effects(paths.effects_shards(options.shards))
    origin = provenance(config.digest(), config.seed) | {"protocol": protocol, "shift": str(effects.header.shift)}
    origin |= {option: str(getattr(options, option)) for option in OPTIONS}
    origin["against"] = options.against or POOLED  # a class may be called None
    if options.unstable_filter is not None:
        unstable = unstable_images(effects, options.unstable_filter)
        origin["unstable images"] = f"{int(unstable.sum())} of {len(unstable)}"
        effects = without_effects(effects, unstable)
    attributes: list[Attribute] = []
    failure = None
    for target in targets(effects, options.against):
        class_name = effects.header.class_names[target]
        try:
            found, images, stopped = select_attributes(effects, target, options)
            attributes += found
            origin[f"search {class_name}"] = f"{len(found)} attributes of {images} images: {stopped}"
        except AttributesNotFoundError as error:
            logger.warning("%s", error)
            origin[f"search {class_name}"] = str(error)
            failure = error
    if failure and not attributes:
        raise failure
    if options.algorithm == "notebook" and options.against is None and len(effects.header.class_names) == 2:
        attributes = merged(effects, attributes, options)
        origin["merged"] = "the lists of both classes, by the two-sided score"
    write_attributes(paths.attributes, attributes, origin)


def select_attributes(effects: Effects, target: int, options: AttFindConfig) -> Selection:
    """Search the moves that raise the class `target` on the images whose reconstruction is classified otherwise.

    Fewer than attfind.max_attributes come back when every image is explained or no coordinate is left that raises the
    class. Raises `AttributesNotFoundError` when there is no image or nothing raises the class.
    """
    class_name, filtered = effects.header.class_names[target], options.discriminator_filter is not None
    rows, effect = images_to_explain(effects, target, options.against)
    allowed = allowed_moves(effects, rows, effect, options.discriminator_filter)
    found, stopped = ALGORITHMS[options.algorithm](effect, allowed, options)
    if not found:
        detail = {"paper": " in one direction only", "notebook": "", "image_fraction": " on enough images"}
        remedies = ["train longer (stylex.training.images)", "raise attfind.shift"]
        if options.algorithm == "image_fraction":
            remedies.append("lower attfind.threshold or attfind.min_images_fraction")
        if filtered:
            remedies.append("raise attfind.discriminator_filter.change")
        raise AttributesNotFoundError(
            f"no style coordinate raises '{class_name}'{detail[options.algorithm]}"
            f"{' and passes the discriminator filter' if filtered else ''};"
            f" {', '.join(remedies[:-1])} or {remedies[-1]}"
        )
    attributes = [attribute_of(effects, class_name, rank, *move) for rank, move in enumerate(found, start=1)]
    return Selection(attributes, len(rows), stopped)


def targets(effects: Effects, against: str | None) -> list[int]:
    """Return the classes to search for: all, but for the one that they are compared with."""
    names = effects.header.class_names
    if against is not None and against not in names:
        raise ConfigError(unknown_class(against, names))
    return [target for target, name in enumerate(names) if name != against]


def images_to_explain(effects: Effects, target: int, against: str | None) -> tuple[Tensor, Tensor]:
    """Return the rows [X] of the images to be turned into `target`, and the effects on them, [X, 2, K] in float64.

    Against all: the images not classified as the target, and the change of its logit. Against one class: the images
    classified as that one, and the change of the difference of the two logits. With two classes the images are the same
    and the effects are not: what lowers the other logit counts against one class only.
    """
    class_name, decisions = effects.header.class_names[target], effects.base_logits.argmax(dim=1)
    train = "train longer (stylex.training.images) or analyse more images (attfind.images)"
    if against is None:
        rows = torch.nonzero(decisions != target).flatten()
        if not len(rows):
            raise AttributesNotFoundError(
                f"every reconstruction is classified as '{class_name}', so no image can be turned into it; {train}"
            )
        return rows, effects.effect[rows, :, :, target].double()
    other = effects.header.class_names.index(against)
    rows = torch.nonzero(decisions == other).flatten()
    if not len(rows):
        raise AttributesNotFoundError(
            f"no reconstruction is classified as '{against}', so none can be turned into '{class_name}'; {train}"
        )
    return rows, effects.effect[rows, :, :, target].double() - effects.effect[rows, :, :, other].double()


def allowed_moves(effects: Effects, rows: Tensor, effect: Tensor, options: DiscriminatorFilter | None) -> Tensor:
    """Return the moves [2, K] that the discriminator filter leaves, of the images `rows` [X]; effect [X, 2, K] on them.

    As in [N]: of each move the first `images` images are looked at whose effect is above `effect`. If either move of a
    coordinate changes the discriminator's score on any of them by more than `change`, both are dropped.
    """
    shape = effects.header.shape[:2]
    if options is None:
        return torch.ones(shape, dtype=torch.bool)
    if effects.discriminator_change is None:
        raise ArtifactError(
            "the effects were measured without the discriminator, which attfind.discriminator_filter needs;"
            " delete them and run `stylex effects` again"
        )
    raised = effect > options.effect
    looked_at = raised & (raised.cumsum(dim=0) <= options.images)
    unrealistic = looked_at & (effects.discriminator_change[rows] > options.change)
    return ~unrealistic.any(dim=0).any(dim=0).expand(shape)


def unstable_images(effects: Effects, options: UnstableFilter) -> Tensor:
    """Return the images [N] with more than `count` effects above `effect`, of any move on any class ([N])."""
    large = [int((effect.abs() > options.effect).sum()) for effect in effects.effect]
    return torch.tensor(large) > options.count


def without_effects(effects: Effects, unstable: Tensor) -> Effects:
    """Return the effects with none at all on the images `unstable` [N], which stay among those averaged over ([N]).

    Raises `AttributesNotFoundError` when no other image is there.
    """
    if unstable.all():
        raise AttributesNotFoundError(
            f"all {len(unstable)} images are unstable; raise attfind.unstable_filter.effect or count, or train longer"
            " (stylex.training.images)"
        )
    return replace(effects, effect=effects.effect.masked_fill(unstable[:, None, None, None], 0))


def merged(effects: Effects, attributes: list[Attribute], options: AttFindConfig) -> list[Attribute]:
    """Merge the lists of two classes as [N] does: what raises one class lowers it in the other direction.

    Both lists are then of the same coordinates in the same order, in opposite directions: that of the two-sided score,
    the mean effect on each class of the move towards it, over all images, summed. Where both classes found a
    coordinate, the first class's direction counts (or both its directions). `mean_effect` is the class's own half, and
    may be negative.
    """
    first, _ = names = effects.header.class_names
    towards_first = [(found.direction, found.style_index) for found in attributes if found.target_class == first]
    known = {index for _, index in towards_first}
    others = [(found.direction, found.style_index) for found in attributes if found.target_class != first]
    towards_first += [(Direction(1 - d), s) for d, s in others if s not in known]
    mean = effects.effect.double().mean(dim=0)  # [2, K, classes]
    score = {(d, s): float(mean[d, s, 0] + mean[1 - d, s, 1]) for d, s in towards_first}
    order = sorted(score, key=lambda move: (-score[move], move[1], move[0]))[: options.max_attributes]
    result: list[Attribute] = []
    for target, class_name in enumerate(names):
        rows = torch.nonzero(effects.base_logits.argmax(dim=1) != target).flatten()
        moves = [(d if target == 0 else Direction(1 - d), s) for d, s in order]
        counts = explained_in_order(effects.effect[rows, :, :, target].double(), moves, options.threshold)
        for rank, ((d, s), count) in enumerate(zip(moves, counts, strict=True), start=1):
            result.append(attribute_of(effects, class_name, rank, d, s, float(mean[d, s, target]), count))
    return result


def explained_in_order(effect: Tensor, moves: list[tuple[Direction, int]], threshold: float) -> list[int]:
    """Return how many images each move explains, by [N]'s sum, when they come in this order; effect [X, 2, K]."""
    total, counts = torch.zeros(len(effect), dtype=effect.dtype), [0]
    for direction, index in moves:
        total = total + effect[:, direction, index].clamp_min(0)
        counts.append(int((total >= threshold).sum()))
    return [after - before for before, after in zip(counts, counts[1:], strict=False)]


def attribute_of(
    effects: Effects, class_name: str, rank: int, direction: Direction, index: int, mean_effect: float, explained: int
) -> Attribute:
    """Return the row of attributes.csv for a chosen move."""
    place = effects.header.layers[index], effects.header.channels[index]
    return Attribute(class_name, rank, index, *place, direction, mean_effect, explained)
