"""Ways from reconstructions to counterfactuals in StyleSpace: a list of attributes, chance, moves of the very image.

Every way ends at the flip or where it goes no further; either way an image is judged in its last state, as a file holds
it. What is compared with StylEx is in `baselines`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from stylex.attfind.engine import targets_of
from stylex.attfind.explanations import Explainer, Step, first_of_each_class
from stylex.attfind.records import Attribute, Method
from stylex.classifiers import Classifier, PerceptualFeatures, perceptual_distance
from stylex.config import ExperimentConfig
from stylex.evaluation.counterfactuals import apply_attributes, rendered
from stylex.evaluation.random_lists import distinct_moves
from stylex.evaluation.sufficiency import first_flips
from stylex.latents.table import Latents
from stylex.networks.model import StylexNetworks
from stylex.networks.stylespace import StyleVector

EXPLANATIONS = 3  # of one image, at the most, of which the diversity is taken


class Turned(NamedTuple):
    """n images on their way to a class, in their last states."""

    rows: Tensor  # [n] int64, of the latents
    images: Tensor  # [n, C, H, W] float32 as a file holds them, on the CPU
    moves: Tensor | None = None  # [n] int64, attributes moved until the flip, 0: never; None: no attributes are moved
    diversity: Tensor | None = None  # [n], NaN: not several explanations; None: one each was asked for


@dataclass(frozen=True)
class Model:
    """What counterfactuals are made with."""

    config: ExperimentConfig
    networks: StylexNetworks
    classifier: Classifier
    perceptual: PerceptualFeatures
    device: str

    def images(self, styles: StyleVector) -> Tensor:
        """Render styles [n] to images [n, C, H, W] on the CPU."""
        side, channels = self.networks.resolution, self.networks.image_channels
        batches = [part.cpu() for part in rendered(self.networks.synthesis, styles, self.batch_size)]
        return torch.cat(batches) if batches else torch.zeros(0, channels, side, side)

    @property
    def batch_size(self) -> int:
        """Images rendered at a time."""
        return self.config.evaluation.batch_size


def by_list(model: Model, latents: Latents, rows: Tensor, attributes: Sequence[Attribute], target: str) -> Turned:
    """Move the attributes one after the other until the flip; images that never flip have all of them moved."""
    synthesis = model.networks.synthesis
    first = first_flips(synthesis, model.classifier, latents, rows, attributes, target, model.config)
    space = latents.styles[rows].clone()
    for k in first.unique().tolist():
        stopped = first == k
        applied = attributes[: k or len(attributes)]
        space[stopped] = apply_attributes(latents, rows[stopped], applied, model.config.attfind.shift).space
    return Turned(rows, model.images(StyleVector(space, latents.to_rgb_styles[rows])), first)


def by_chance(model: Model, latents: Latents, rows: Tensor, length: int, target: str) -> list[Turned]:
    """Move as many random coordinates in random directions, once for each of evaluation.counterfactual_lists lists."""
    generator, layout = torch.Generator().manual_seed(model.config.seed), model.networks.synthesis.layout
    count = model.config.evaluation.counterfactual_lists
    lists = [distinct_moves(target, length, layout, generator) for _ in range(count)]
    return [by_list(model, latents, rows, moves, target) for moves in lists]


class Searched(NamedTuple):
    """n images that are explained one by one towards a class, and what every single move does to each."""

    rows: Tensor  # [n] int64, of the latents
    styles: StyleVector
    targets: Tensor  # [n] int64, all the same
    alone: Tensor  # [n, 2, K], of `Explainer.moved_alone`

    @classmethod
    def of(cls, model: Model, explainer: Explainer, latents: Latents, rows: Tensor, target: str) -> Searched:
        """Take evaluation.counterfactual_searches images of `rows`, evenly over the classes."""
        rows = rows[first_of_each_class(latents.labels[rows], model.config.evaluation.counterfactual_searches)]
        styles = latents.style_vector(rows).to(model.device)
        targets = torch.full((len(rows),), latents.class_names.index(target), device=model.device)
        return cls(rows, styles, targets, explainer.moved_alone(styles, targets))


def by_explanation(model: Model, explainer: Explainer, latents: Latents, searched: Searched, method: Method) -> Turned:
    """Move what explains the very image.

    Independent: the first coordinate that flips the image alone, or else the one with the largest effect. Subset: all
    of the explanation; the first evaluation.counterfactual_diversity images have several, whose diversity is taken.
    """
    evaluation, (rows, styles, targets, alone) = model.config.evaluation, searched
    found = explainer.explain(styles, targets, method, evaluation.counterfactual_attributes, alone=alone)
    if method is Method.INDEPENDENT:
        found = [([step for step in steps if step.flipped] or steps)[:1] for steps in found]
    images = model.images(with_steps(explainer, styles, found))
    moves = torch.tensor([len(steps) if steps and steps[-1].flipped else 0 for steps in found], dtype=torch.long)
    if method is Method.INDEPENDENT:
        return Turned(rows, images, moves)
    several = first_of_each_class(latents.labels[rows], evaluation.counterfactual_diversity)
    apart = torch.full((len(rows),), torch.nan)
    first = [found[row] for row in several.tolist()]
    chosen = Searched(rows[several], styles.select(several), targets[several], alone[several])
    apart[several] = diversity(model, explainer, chosen, first, images[several])
    return Turned(rows, images, moves, apart)


def with_steps(explainer: Explainer, styles: StyleVector, found: Sequence[Sequence[Step]]) -> StyleVector:
    """Return the styles of N images with the coordinates of their steps moved."""
    ends = targets_of(styles.space, explainer.extremes, explainer.options.shift)
    space = styles.space.clone()
    for row, steps in enumerate(found):
        for step in steps:
            space[row, step.style_index] = ends[row, int(step.direction), step.style_index]
    return StyleVector(space, styles.to_rgb)


def diversity(
    model: Model, explainer: Explainer, searched: Searched, found: list[list[Step]], images: Tensor
) -> Tensor:
    """Return the mean perceptual distance between up to `EXPLANATIONS` of each image that share no coordinate, [N].

    found, images: the first, by subset selection. An image is explained anew, without the coordinates that earlier
    explanations moved, as long as these flip it; NaN where fewer than two do.
    """
    _, styles, targets, alone = searched
    several = [[image] if steps and steps[-1].flipped else [] for steps, image in zip(found, images, strict=True)]
    barred = torch.zeros_like(styles.space, dtype=torch.bool)
    limit = model.config.evaluation.counterfactual_attributes
    for number in range(1, EXPLANATIONS):
        for row, steps in enumerate(found):
            barred[row, [step.style_index for step in steps]] = True
        left = [row for row, explanations in enumerate(several) if len(explanations) == number]
        if not left:
            break
        some, found = styles.select(torch.tensor(left)), [[] for _ in found]
        more = explainer.explain(some, targets[left], Method.SUBSET, limit, barred[left], alone[left])
        for row, steps, image in zip(left, more, model.images(with_steps(explainer, some, more)), strict=True):
            found[row] = steps
            several[row] += [image] if steps and steps[-1].flipped else []
    return torch.tensor([spread(model, explanations) for explanations in several])


@torch.inference_mode()
def spread(model: Model, images: Sequence[Tensor]) -> float:
    """Return the mean perceptual distance over all pairs of images [C, H, W]; NaN for fewer than two."""
    if len(images) < 2:
        return float("nan")
    features = model.perceptual.features(torch.stack(list(images)).to(model.device))
    pairs = torch.tensor(list(combinations(range(len(images)), 2)))
    first, second = ([scale[side] for scale in features] for side in pairs.T)
    return float(perceptual_distance(first, second).mean())
