"""Fréchet distance against the number of attributes applied ([V] 5.2, figure 3), with the kernel distance beside it.

Real images against their reconstructions with 0, 1, … attributes, so n is the same at every point. The table names the
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
from stylex.config import ExperimentPaths, load_experiment
from stylex.config.analysis import ALL
from stylex.datasets import load_split
from stylex.distances import frechet_distance, kernel_distance
from stylex.errors import AttributesNotFoundError
from stylex.evaluation.counterfactuals import apply_attributes, images_to_turn, positions_of, rendered, target_classes
from stylex.evaluation.extractors import Extractor, load_extractors, to_bytes
from stylex.evaluation.statistics import FeatureStatistics
from stylex.latents.table import Latents, read_latents
from stylex.networks.model import load_stylex
from stylex.networks.stylespace import StyleVector
from stylex.progress import progress

COLUMNS = ("experiment", "n_attributes", "n", "extractor", "frechet_distance", "kid", "kid_sd")


def frechet(root: Path, name: str, device: str) -> None:
    """Write frechet.csv: for each extractor a row for 0, 1, … evaluation.frechet_attributes attributes."""
    config, paths = load_experiment(root, name), ExperimentPaths(root, name)
    latents, attributes = read_latents(paths.latents), read_attributes(paths.attributes)
    synthesis = load_stylex(paths.stylex_model, device).synthesis
    extractors = load_extractors(root, config, device)
    split, size = load_split(root, config.dataset, config.attfind.split), config.evaluation.batch_size
    images = images_moved(latents, config.attfind.against)
    places = positions_of(split, latents)[images]
    rows = []
    with progress(f"frechet {name}", config.evaluation.frechet_attributes + 2, "points") as counter:
        originals = (split.images(batch) for batch in places.split(size))
        real = statistics(extractors, originals, len(places), config.seed)
        counter.advance(1)
        for k in range(config.evaluation.frechet_attributes + 1):
            styles = towards_other_class(latents, attributes, k, config.attfind.shift).select(images)
            fake = statistics(extractors, rendered(synthesis, styles, size), len(places), config.seed)
            for order, extractor in enumerate(extractors):
                measured = distances(real[order], fake[order], config.seed)
                rows.append({"experiment": name, "n_attributes": k, "extractor": extractor.name} | measured)
            counter.advance(1)
    rows.sort(key=lambda row: [extractor.name for extractor in extractors].index(row["extractor"]))
    origin = provenance(config.digest(), config.seed, device)
    for extractor in extractors:
        origin |= extractor.origin
    write_table(paths.frechet, pandas.DataFrame(rows, columns=list(COLUMNS)), origin)


def statistics(
    extractors: Sequence[Extractor], batches: Iterable[Tensor], total: int, seed: int
) -> list[FeatureStatistics]:
    """Return each extractor's statistics of `total` images that come in batches [N, C, H, W], about [-1, 1].

    Images are measured as an image file would hold them: cut at black and white and in 256 levels, nothing rescaled.
    """
    found = [FeatureStatistics(total, torch.Generator().manual_seed(seed)) for _ in extractors]
    for images in batches:
        stored = to_bytes(images).float().div(127.5).sub(1.0)  # as ImageSplit reads them
        for extractor, each in zip(extractors, found, strict=True):
            each.add(extractor.features(stored))
    return found


def distances(real: FeatureStatistics, fake: FeatureStatistics, seed: int) -> dict[str, float]:
    """Return the measured columns of a row. The same subsets serve every row (one seed)."""
    kid, kid_sd = kernel_distance(real.sample, fake.sample, torch.Generator().manual_seed(seed))
    distance = frechet_distance(real.mean, real.covariance, fake.mean, fake.covariance)
    return {"n": real.count, "frechet_distance": distance, "kid": kid, "kid_sd": kid_sd}


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


def images_moved(latents: Latents, against: str) -> Tensor:
    """Return the rows [n] of the images that some attribute moves: all, or those of the class compared with."""
    if against == ALL:
        return torch.arange(len(latents.ids))
    images = images_to_turn(latents, target_classes(latents, against)[0], against)  # the same for each target
    if len(images) < 2:
        raise AttributesNotFoundError(
            f"fewer than two reconstructions are classified as '{against}' (attfind.against), which is no distribution;"
            " train longer (stylex.training.images) or analyse more images (attfind.images)"
        )
    return images
