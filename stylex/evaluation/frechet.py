"""Fréchet distance against the number of attributes applied ([V] 5.2, figure 3), with the kernel distance beside it.

The dataset's images against their reconstructions with 0, 1, … attributes, so n is the same at every point; of each
protocol those that it measures on, and all of them as [V] does it by the other. The table names the
network whose features are compared: only with pytorch-fid's Inception is the distance a FID. It is biased in n.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas
import torch
from torch import Tensor

from stylex.artifacts import provenance, write_table
from stylex.attfind.records import Attribute, read_attributes
from stylex.config import ExperimentConfig, ExperimentPaths, load_experiment
from stylex.config.analysis import KID_FOLDS
from stylex.distances import frechet_distance, kernel_distance, squared_mmd
from stylex.errors import AttributesNotFoundError
from stylex.evaluation.counterfactuals import apply_attributes, images_to_turn, rendered, target_classes
from stylex.evaluation.extractors import Extractor, load_extractors
from stylex.evaluation.originals import load_originals
from stylex.evaluation.statistics import FeatureStatistics
from stylex.latents.table import Latents, read_latents
from stylex.networks.model import load_stylex
from stylex.networks.stylespace import StyleVector
from stylex.networks.synthesis import Synthesis
from stylex.progress import Counter, progress

COLUMNS = ("experiment", "protocol", "n_attributes", "n", "extractor", "frechet_distance", "kid", "kid_sd", *KID_FOLDS)
FOLD_IMAGES = 10  # at least, of a fold: of fewer, the distance is noise


def frechet(root: Path, name: str, device: str) -> None:
    """Write frechet.csv: for each protocol and extractor a row for 0, 1, … evaluation.frechet_attributes attributes."""
    config, paths = load_experiment(root, name), ExperimentPaths(root, name)
    analysed = read_latents(paths.latents)
    synthesis = load_stylex(paths.stylex_model, device).synthesis
    extractors = load_extractors(root, config, device)
    originals, protocols = load_originals(root, config, analysed), config.attfind.protocols
    rows = []
    points = len(protocols) * (config.evaluation.frechet_attributes + 2)
    with progress(f"frechet {name}", points, "points") as counter:
        for protocol in protocols:
            attributes = read_attributes(paths.under(protocol, config.attfind.protocol).attributes)
            measured = Curve(config, analysed.under(protocol), attributes, synthesis, extractors, counter)
            images = (originals(batch) for batch in measured.images.split(config.evaluation.batch_size))
            rows += [{"experiment": name, "protocol": protocol} | row for row in measured.rows(images)]
    origin = provenance(config.digest(), config.seed, device)
    for extractor in extractors:
        origin |= extractor.origin
    write_table(paths.frechet, pandas.DataFrame(rows, columns=list(COLUMNS)), origin)


class Curve:
    """The distances of one protocol."""

    def __init__(
        self,
        config: ExperimentConfig,
        latents: Latents,
        attributes: dict[str, list[Attribute]],
        synthesis: Synthesis,
        extractors: Sequence[Extractor],
        counter: Counter,
    ) -> None:
        self.config, self.latents, self.attributes = config, latents, attributes
        self.synthesis, self.extractors, self.counter = synthesis, extractors, counter
        self.images = images_moved(latents, config.attfind.against)

    def rows(self, originals: Iterable[Tensor]) -> list[dict[str, object]]:
        """Return the rows of all extractors; originals: the images themselves, in batches."""
        evaluation, seed = self.config.evaluation, self.config.seed
        real = statistics(self.extractors, originals, len(self.images), seed)
        self.counter.advance(1)
        rows: dict[str, list[dict[str, object]]] = {extractor.name: [] for extractor in self.extractors}
        for k in range(evaluation.frechet_attributes + 1):
            moved = towards_other_class(self.latents, self.attributes, k, self.config.attfind.shift)
            images = rendered(self.synthesis, moved.select(self.images), evaluation.batch_size)
            fake = statistics(self.extractors, images, len(self.images), seed)
            for extractor, one, other in zip(self.extractors, real, fake, strict=True):
                point: dict[str, object] = {"n_attributes": k, "extractor": extractor.name}
                rows[extractor.name].append(point | distances(one, other, seed))
            self.counter.advance(1)
        return [row for part in rows.values() for row in part]


def statistics(
    extractors: Sequence[Extractor], batches: Iterable[Tensor], total: int, seed: int
) -> list[FeatureStatistics]:
    """Return each extractor's statistics of `total` images that come in batches [N, C, H, W] in [-1, 1]."""
    found = [FeatureStatistics(total, torch.Generator().manual_seed(seed)) for _ in extractors]
    for images in batches:
        for extractor, each in zip(extractors, found, strict=True):
            each.add(extractor.features(images))
    return found


def distances(real: FeatureStatistics, fake: FeatureStatistics, seed: int) -> dict[str, object]:
    """Return the measured columns of a row. The same subsets serve every row (one seed)."""
    kid, kid_sd = kernel_distance(real.sample, fake.sample, torch.Generator().manual_seed(seed))
    distance = frechet_distance(real.mean, real.covariance, fake.mean, fake.covariance)
    folds = dict(zip(KID_FOLDS, fold_distances(real.sample, fake.sample, seed), strict=True))
    return {"n": real.count, "frechet_distance": distance, "kid": kid, "kid_sd": kid_sd, **folds}


def fold_distances(real: Tensor, fake: Tensor, seed: int) -> list[float | None]:
    """Return the squared MMD of each fold, disjoint groups of the images; None of each when they are too small.

    real, fake [n, D]: features of the same images in the same order. Folds do not depend on what is measured (one
    seed), and share no image, so that what one says is independent of the others.
    """
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))
    folds = [order[start :: len(KID_FOLDS)] for start in range(len(KID_FOLDS))]
    if len(folds[-1]) < FOLD_IMAGES:
        return [None] * len(folds)
    return [float(squared_mmd(real[rows], fake[rows])) for rows in folds]


def towards_other_class(latents: Latents, attributes: dict[str, list[Attribute]], k: int, shift: float) -> StyleVector:
    """Return the styles [N] with the top k attributes of each image's target class applied.

    The target is the runner-up of the reconstruction's logits: for two classes, the other one.
    """
    targets = latents.reconstruction_logits.topk(2, dim=1).indices[:, 1]
    space = latents.styles.clone()
    for target, class_name in enumerate(latents.class_names):
        rows = torch.nonzero(targets == target).flatten()
        space[rows] = apply_attributes(latents, rows, attributes.get(class_name, [])[:k], shift).space
    return StyleVector(space, latents.to_rgb_styles)


def images_moved(latents: Latents, against: str | None) -> Tensor:
    """Return the rows [n] of the measured images that some attribute moves: all, or those of the class compared with.

    Raises `AttributesNotFoundError` when there are fewer than two, which is no distribution.
    """
    images = torch.nonzero(latents.measured).flatten()
    if against is not None:
        images = images_to_turn(latents, target_classes(latents, against)[0], against)  # the same for each target
    if len(images) < 2:
        which = f" are classified as '{against}' (attfind.against)" if against is not None else " are measured"
        raise AttributesNotFoundError(
            f"fewer than two reconstructions{which}, which is no distribution; analyse more images (attfind.images)"
            " or train longer (stylex.training.images)"
        )
    return images
