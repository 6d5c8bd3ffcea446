"""Which coordinates, in which direction, raise a target class: the stage `attributes` ([L] 3.3, options of [N])."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from stylex.artifacts import provenance
from stylex.attfind.algorithms import ALGORITHMS, Limits, explained_in_order
from stylex.attfind.records import Attribute, Direction, Effects, read_effects, write_attributes
from stylex.config import AttFindConfig, ExperimentPaths, load_experiment
from stylex.config.base import POOLED
from stylex.config.experiments import DiscriminatorFilter, UnstableFilter, unknown_class
from stylex.errors import ArtifactError, AttributesNotFoundError, ConfigError
from stylex.protocols import Protocol

logger = logging.getLogger("stylex")
OPTIONS = (
    "engine", "algorithm", "min_images_fraction", "against", "threshold", "tolerance", "max_attributes",
    "discriminator_filter", "unstable_filter",
)  # fmt: skip


@dataclass(frozen=True)
class Selection:
    """Attributes of one target class in the order found, and why the search ended."""

    attributes: list[Attribute]
    images: int  # with which it began: those whose reconstruction is to be turned into the target
    stopped: str


def select(root: Path, name: str, protocol: Protocol | None = None) -> None:
    """Write the experiment's attributes.csv, and in its provenance the options and why each search ended.

    protocol: one of attfind.protocols; default: the main one.
    A class whose search finds nothing has no attributes, and the log says why; if no class has any, that is an error.
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
    selections: dict[str, Selection] = {}
    failure = None
    for target in targets(effects, options.against):
        class_name = effects.header.class_names[target]
        try:
            selection = selections[class_name] = search(effects, target, options)
            number = len(selection.attributes)
            origin[f"search {class_name}"] = f"{number} attributes of {selection.images} images: {selection.stopped}"
        except AttributesNotFoundError as error:
            logger.warning("%s", error)
            origin[f"search {class_name}"] = str(error)
            failure = error
    if failure and not selections:
        raise failure
    attributes = [attribute for selection in selections.values() for attribute in selection.attributes]
    if options.algorithm == "notebook" and options.against is None and len(effects.header.class_names) == 2:
        attributes = merged(effects, attributes, options)
        origin["merged"] = "the lists of both classes, by the two-sided score"
    write_attributes(paths.attributes, attributes, origin)


def search(effects: Effects, target: int, options: AttFindConfig) -> Selection:
    """Run the search that the configuration asks for."""
    return select_attributes(
        effects,
        target,
        options.threshold,
        options.max_attributes,
        algorithm=options.algorithm,
        min_images_fraction=options.min_images_fraction,
        discriminator_filter=options.discriminator_filter,
        against=options.against,
        tolerance=options.tolerance,
    )


def select_attributes(
    effects: Effects,
    target: int,
    threshold: float,
    max_attributes: int,
    algorithm: str = "paper",
    min_images_fraction: float = 0.0,
    discriminator_filter: DiscriminatorFilter | None = None,
    against: str | None = None,
    tolerance: float = 0.0,
) -> Selection:
    """Search the moves that raise the class `target` on the images whose reconstruction is classified otherwise.

    The mean effect is over the images not yet explained; `threshold` and `tolerance` in logits. Fewer than
    `max_attributes` come back when every image is explained or no coordinate is left that raises the class: a mean over
    no image is not an effect. Raises `AttributesNotFoundError` when there is no image or nothing raises the class.
    """
    class_name = effects.header.class_names[target]
    rows, effect = images_to_explain(effects, target, against)
    allowed = allowed_moves(effects, rows, effect, discriminator_filter)
    limits = Limits(threshold, max_attributes, min_images_fraction, tolerance)
    found, stopped = ALGORITHMS[algorithm](effect, allowed, limits)
    if not found:
        raise AttributesNotFoundError(nothing_raises(class_name, algorithm, discriminator_filter is not None))
    attributes = [
        attribute_of(effects, class_name, rank, each.direction, each.style_index, each.mean_effect, each.explained)
        for rank, each in enumerate(found, start=1)
    ]
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
    large = [int((each.abs() > options.effect).sum()) for each in effects.effect]
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
    """Merge the lists of two classes as [N] does: what raises one class, the other way lowers it.

    Both lists are then of the same coordinates in the same order, in opposite directions: that of the two-sided score,
    the mean effect on each class of the move towards it, over all images, summed. Where both classes found a
    coordinate, the first class's direction counts (or both its directions). `mean_effect` is the class's own half, and
    may be negative.
    """
    first, _ = names = effects.header.class_names
    towards_first = [(each.direction, each.style_index) for each in attributes if each.target_class == first]
    known = {index for _, index in towards_first}
    others = [(each.direction, each.style_index) for each in attributes if each.target_class != first]
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


def nothing_raises(class_name: str, algorithm: str, filtered: bool) -> str:
    """Compose the message for a search without result; `filtered`: the discriminator filter was on."""
    how = {"paper": " in one direction only", "notebook": "", "image_fraction": " on enough images"}[algorithm]
    remedies = ["train longer (stylex.training.images)", "raise attfind.shift"]
    if algorithm == "image_fraction":
        remedies.append("lower attfind.threshold or attfind.min_images_fraction")
    if filtered:
        how += " and passes the discriminator filter"
        remedies.append("raise attfind.discriminator_filter.change")
    return f"no style coordinate raises '{class_name}'{how}; {', '.join(remedies[:-1])} or {remedies[-1]}"


def attribute_of(
    effects: Effects, class_name: str, rank: int, direction: Direction, index: int, mean_effect: float, explained: int
) -> Attribute:
    """Return the row of attributes.csv for a chosen move."""
    place = effects.header.layers[index], effects.header.channels[index]
    return Attribute(class_name, rank, index, *place, direction, mean_effect, explained)
