"""The baseline of [L] 4.2.3: coordinates selected as Wu, Lischinski and Shechtman do (StyleSpace analysis, CVPR 2021).

Theirs finds what moves an attribute known by examples: delta = styles of the exemplars, normalised by mean and standard
deviation over the population; coordinates are ranked by |mean(delta)| / sd(delta). [L] takes from it 'the normalized
difference between the coordinate values on each of the labels', top M, in a StyleSpace trained without the classifier,
and says no more. Ours, therefore:

- exemplars of class y are all searched images that the classifier gives to y, where Wu et al. take a few. It is asked
  about the image itself: the reconstructions of such a model may all be of one class;
- the population is the searched images, where Wu et al. take samples of the generator; against one class, of both;
- the direction is the sign of mean(delta), and a move ends where AttFind's does, so that sufficiency is one measure;
- nothing checks that a coordinate acts locally, which Wu et al. do with a segmentation network.

The classifier's answer to a move plays no part: `mean_effect` and `images_explained` are not measured, and left empty.
"""

from __future__ import annotations

import logging
from math import nan
from pathlib import Path

from torch import Tensor

from stylex.artifacts import provenance
from stylex.attfind.records import Attribute, Direction, write_attributes
from stylex.config import ExperimentPaths, load_experiment
from stylex.errors import AttributesNotFoundError, ConfigError
from stylex.evaluation.counterfactuals import target_classes
from stylex.latents.table import Latents, read_latents
from stylex.networks.model import load_stylex
from stylex.protocols import Protocol

logger = logging.getLogger("stylex")


def baseline(root: Path, name: str, protocol: Protocol | None = None) -> None:
    """Write the experiment's attfind/wu_2021.csv: the top attfind.max_attributes coordinates of each target class.

    protocol: one of attfind.protocols; default: the main one.
    Raises `ConfigError` when the experiment is trained with the classifier, `AttributesNotFoundError` when no class has
    two exemplars.
    """
    config = load_experiment(root, name)
    protocol = config.attfind.known_protocol(protocol)
    paths = ExperimentPaths(root, name).under(protocol, config.attfind.protocol)
    if config.method != "without_cst":
        raise ConfigError(
            f"experiment '{name}' is trained with its classifier (stylex.conditioning: {config.stylex.conditioning});"
            " the selection of Wu et al. needs one with conditioning: none"
        )
    latents, layout = read_latents(paths.latents).under(protocol), load_stylex(paths.stylex_model).synthesis.layout
    origin, attributes = provenance(config.digest(), config.seed) | {"protocol": protocol}, []
    for target in target_classes(latents, config.attfind.against):
        styles, exemplars = population(latents, target, config.attfind.against)
        origin[f"exemplars {target}"] = f"{int(exemplars.sum())} of {len(exemplars)} images"
        if exemplars.sum() < 2:
            logger.warning("the classifier gives fewer than two analysed images to '%s': nothing is selected", target)
            continue
        for rank, (index, direction) in enumerate(select(styles, exemplars, config.attfind.max_attributes), start=1):
            place = layout.locate(index)
            attributes.append(Attribute(target, rank, index, *place, direction, nan, images_explained=None))
    if not attributes:
        raise AttributesNotFoundError(
            f"the classifier gives fewer than two of {int(latents.searched.sum())} images to each class; analyse more"
            " (attfind.images)"
        )
    write_attributes(paths.wu_2021, attributes, origin)


def population(latents: Latents, target: str, against: str | None) -> tuple[Tensor, Tensor]:
    """Return the styles [n, K] of the population, and which of its images are exemplars of `target`, [n] bool."""
    decisions = latents.logits.argmax(dim=1)
    exemplars, population = decisions == latents.class_names.index(target), latents.searched
    if against is not None:
        population = population & (exemplars | (decisions == latents.class_names.index(against)))
    return latents.styles[population], exemplars[population]


def select(styles: Tensor, exemplars: Tensor, limit: int) -> list[tuple[int, Direction]]:
    """Return the `limit` coordinates with the largest scores, in order, and which way the exemplars lie.

    styles [N, K]; exemplars [N] bool. Coordinates that do not tell the exemplars from the population are left out.
    """
    scores = exemplar_scores(styles, exemplars)
    order = scores.abs().argsort(descending=True, stable=True)[:limit].tolist()
    return [(index, Direction.TO_MAX if scores[index] > 0 else Direction.TO_MIN) for index in order if scores[index]]


def exemplar_scores(styles: Tensor, exemplars: Tensor) -> Tensor:
    """Return mean(delta) / sd(delta) over the exemplars, [K] float64; 0 for a coordinate that is constant.

    styles [N, K]; exemplars [N] bool, at least two. delta = (s - mean) / sd over all N. A coordinate that all exemplars
    share, and not all images, has an infinite score.
    """
    varies = styles.amax(dim=0) > styles.amin(dim=0)
    values = styles.double()
    delta = (values - values.mean(dim=0)) / values.std(dim=0).where(varies, 1.0)
    delta = delta[exemplars]
    constant = styles[exemplars].amax(dim=0) == styles[exemplars].amin(dim=0)
    deviation = delta.std(dim=0).masked_fill(constant, 0.0)  # exactly, whatever the mean was rounded to
    return (delta.mean(dim=0) / deviation).where(varies, 0.0)
