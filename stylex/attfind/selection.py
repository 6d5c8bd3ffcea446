"""Which coordinates, in which direction, raise a target class: the stage `attributes` ([L] 3.3, options of [N])."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from stylex.artifacts import provenance
from stylex.attfind.algorithms import ALGORITHMS, explained_in_order
from stylex.attfind.records import Attribute, Direction, Effects, read_effects, write_attributes
from stylex.config import AttFindConfig, ExperimentPaths, load_experiment
from stylex.config.analysis import unknown_class
from stylex.errors import ArtifactError, AttributesNotFoundError, ConfigError
from stylex.latents.table import Latents, read_latents
from stylex.protocols import Protocol

logger = logging.getLogger("stylex")
OPTIONS = (
    "engine", "algorithm", "ranking", "against", "threshold", "max_attributes", "discriminator_filter",
    "unstable_filter",
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
    if options.unstable_filter is not None:
        stable = stable_images(effects, read_latents(paths.latents), options.unstable_filter)
        origin["unstable images"] = f"{int((~stable).sum())} of {len(stable)}"
        effects = only(effects, stable)
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
        ranking=options.ranking,
        discriminator_filter=options.discriminator_filter,
        against=options.against,
    )


def select_attributes(
    effects: Effects,
    target: int,
    threshold: float,
    max_attributes: int,
    algorithm: str = "paper",
    ranking: str = "mean_effect",
    discriminator_filter: float | None = None,
    against: str | None = None,
) -> Selection:
    """Search the moves that raise the class `target` on the images whose reconstruction is classified otherwise.

    The mean effect is over the images not yet explained; `threshold` in logits. Fewer than `max_attributes` come back
    when every image is explained or no coordinate is left that raises the class: a mean over no image is not an effect.
    Raises `AttributesNotFoundError` when there is no image or nothing raises the class.
    """
    class_name = effects.header.class_names[target]
    rows, effect = images_to_explain(effects, target, against)
    allowed = allowed_moves(effects, rows, discriminator_filter)
    found, stopped = ALGORITHMS[algorithm](effect, allowed, threshold, max_attributes, ranking)
    if not found:
        raise AttributesNotFoundError(nothing_raises(class_name, algorithm, ranking, discriminator_filter))
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


def allowed_moves(effects: Effects, rows: Tensor, discriminator_filter: float | None) -> Tensor:
    """Return which moves [2, K] change the discriminator's score by at most the filter, on average over the images."""
    if discriminator_filter is None:
        return torch.ones(effects.header.shape[:2], dtype=torch.bool)
    if effects.discriminator_change is None:
        raise ArtifactError(
            "the effects were measured without the discriminator, which attfind.discriminator_filter needs;"
            " delete them and run `stylex effects` again"
        )
    return effects.discriminator_change[rows].double().mean(dim=0) <= discriminator_filter


def stable_images(effects: Effects, latents: Latents, margin: float) -> Tensor:
    """Return which images [N] the reconstruction leaves as they are, in the classifier's eyes.

    Stable is an image when the classifier decides on its reconstruction as on the image itself, and does so by at
    least `margin`: the largest logit of the reconstruction less the second largest. This is our definition. [N] calls
    an image unstable when more than so many coordinates change the classifier's answer by more than a threshold.
    """
    position = {identity: row for row, identity in enumerate(latents.ids)}
    missing = [identity for identity in effects.ids if identity not in position]
    if missing:
        raise ArtifactError(f"{missing[0]} has effects but no latents; run `stylex effects` again")
    original = latents.logits[[position[identity] for identity in effects.ids]].argmax(dim=1)
    first, second = effects.base_logits.topk(2, dim=1).values.unbind(dim=1)
    return (effects.base_logits.argmax(dim=1) == original) & (first - second >= margin)


def only(effects: Effects, kept: Tensor) -> Effects:
    """Return the effects on the images `kept` [N]; raise `AttributesNotFoundError` when there is none."""
    if not kept.any():
        raise AttributesNotFoundError(
            f"none of the {len(kept)} reconstructions is stable; lower attfind.unstable_filter or train longer"
            " (stylex.training.images)"
        )
    change = effects.discriminator_change
    return replace(
        effects,
        ids=[identity for identity, stays in zip(effects.ids, kept.tolist(), strict=True) if stays],
        base_logits=effects.base_logits[kept],
        effect=effects.effect[kept],
        discriminator_change=None if change is None else change[kept],
    )


def merged(effects: Effects, attributes: list[Attribute], options: AttFindConfig) -> list[Attribute]:
    """Merge the lists of two classes as [N] does: what raises one class, the other way lowers it.

    Both lists are then of the same coordinates in the same order, in opposite directions: that of the two-sided score,
    the mean effect on each class of the move towards it, over all images, summed. `mean_effect` is the class's own
    half, and may be negative. A move that the discriminator filter drops is left out of its class's list.
    """
    first, _ = names = effects.header.class_names
    towards_first: dict[int, Direction] = {}
    for each in attributes:
        towards = each.direction if each.target_class == first else Direction(1 - each.direction)
        towards_first.setdefault(each.style_index, towards)
    mean = effects.effect.double().mean(dim=0)  # [2, K, classes]
    score = {s: float(mean[d, s, 0] + mean[1 - d, s, 1]) for s, d in towards_first.items()}
    order = sorted(score, key=lambda index: (-score[index], index))
    result: list[Attribute] = []
    for target, class_name in enumerate(names):
        rows = torch.nonzero(effects.base_logits.argmax(dim=1) != target).flatten()
        everywhere = rows if len(rows) else torch.arange(len(effects.ids))
        allowed = allowed_moves(effects, everywhere, options.discriminator_filter)
        moves = [(Direction(towards_first[s] if target == 0 else 1 - towards_first[s]), s) for s in order]
        moves = [(d, s) for d, s in moves if allowed[d, s]][: options.max_attributes]
        counts = explained_in_order(effects.effect[rows, :, :, target].double(), moves, options.threshold)
        for rank, ((d, s), count) in enumerate(zip(moves, counts, strict=True), start=1):
            result.append(attribute_of(effects, class_name, rank, d, s, float(mean[d, s, target]), count))
    return result


def nothing_raises(class_name: str, algorithm: str, ranking: str, discriminator_filter: float | None) -> str:
    """Compose the message for a search without result."""
    how = " in one direction only" if algorithm == "paper" else ""
    remedies = ["train longer (stylex.training.images)", "raise attfind.shift"]
    if ranking == "image_fraction":
        how += " and on any image by more than the threshold"
        remedies.append("lower attfind.threshold")
    if discriminator_filter is not None:
        how += " and passes the discriminator filter"
        remedies.append("raise attfind.discriminator_filter")
    return f"no style coordinate raises '{class_name}'{how}; {', '.join(remedies[:-1])} or {remedies[-1]}"


def attribute_of(
    effects: Effects, class_name: str, rank: int, direction: Direction, index: int, mean_effect: float, explained: int
) -> Attribute:
    """Return the row of attributes.csv for a chosen move."""
    place = effects.header.layers[index], effects.header.channels[index]
    return Attribute(class_name, rank, index, *place, direction, mean_effect, explained)
