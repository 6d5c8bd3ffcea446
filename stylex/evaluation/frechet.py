"""Fréchet distance against the number of attributes applied ([V] 5.2, figure 3), with the kernel distance beside it.

Real images against their reconstructions with 0, 1, … attributes, so n is the same at every point; both distances are
between the features of the experiment's backbone, whose name the table gives. That is not FID.
"""

from __future__ import annotations

from pathlib import Path

import pandas
import torch
from torch import Tensor

from stylex.artifacts import provenance, write_table
from stylex.attfind.records import Attribute, read_attributes
from stylex.classifiers import FeatureBackbone, load_backbone
from stylex.config import ExperimentConfig, ExperimentPaths, backbone_paths, load_experiment
from stylex.config.analysis import ALL
from stylex.datasets import ImageSplit, load_split
from stylex.distances import frechet_distance, kernel_distance, moments
from stylex.errors import ArtifactError, AttributesNotFoundError
from stylex.evaluation.counterfactuals import apply_attributes, images_to_turn, rendered, target_classes
from stylex.latents.table import Latents, read_latents
from stylex.networks.model import load_stylex
from stylex.networks.stylespace import StyleVector
from stylex.progress import progress

COLUMNS = ("experiment", "n_attributes", "n", "extractor", "frechet_distance", "kid", "kid_sd")


def frechet(root: Path, name: str, device: str) -> None:
    """Write the experiment's frechet.csv: a row for 0, 1, … evaluation.frechet_attributes attributes."""
    config, paths = load_experiment(root, name), ExperimentPaths(root, name)
    latents, attributes = read_latents(paths.latents), read_attributes(paths.attributes)
    synthesis = load_stylex(paths.stylex_model, device).synthesis
    backbone = load_backbone(backbone_paths(root, config.stylex.perceptual_backbone).model, device)
    batch_size = config.evaluation.batch_size
    images = images_moved(latents, config.attfind.against)
    real = real_features(backbone, load_split(root, config.dataset, config.attfind.split), latents, images, batch_size)
    rows = []
    with progress(f"frechet {name}", config.evaluation.frechet_attributes + 1, "points") as counter:
        for k in range(config.evaluation.frechet_attributes + 1):
            styles = towards_other_class(latents, attributes, k, config.attfind.shift).select(images)
            # As an image file would hold it: values beyond black and white are cut, nothing is rescaled.
            features = [embed(backbone, images.clamp(-1, 1)) for images in rendered(synthesis, styles, batch_size)]
            rows.append(
                {"experiment": name, "n_attributes": k} | distances(real, torch.cat(features), backbone, config)
            )
            counter.advance(1)
    origin = provenance(config.digest(), config.seed, device)
    write_table(paths.frechet, pandas.DataFrame(rows, columns=list(COLUMNS)), origin)


def distances(real: Tensor, fake: Tensor, backbone: FeatureBackbone, config: ExperimentConfig) -> dict[str, object]:
    """Return the measured columns of a row; features [n, D]. The same subsets serve every row (one seed)."""
    kid, kid_sd = kernel_distance(real, fake, torch.Generator().manual_seed(config.seed))
    distance = frechet_distance(*moments(real), *moments(fake))
    return {
        "n": len(real),
        "extractor": backbone.name,
        "frechet_distance": distance,
        "kid": kid,
        "kid_sd": kid_sd,
    }


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


def real_features(
    backbone: FeatureBackbone, split: ImageSplit, latents: Latents, images: Tensor, batch_size: int
) -> Tensor:
    """Return the features [n, D] of the real images behind the rows `images` [n] of `latents`, joined by id."""
    positions = {identity: position for position, identity in enumerate(split.ids)}
    missing = [identity for identity in latents.ids if identity not in positions]
    if missing:
        raise ArtifactError(f"image '{missing[0]}' of latents.parquet is not in the dataset; run encode again")
    rows = torch.tensor([positions[latents.ids[row]] for row in images.tolist()])
    return torch.cat([embed(backbone, split.images(batch)) for batch in rows.split(batch_size)])


@torch.inference_mode()
def embed(backbone: FeatureBackbone, images: Tensor) -> Tensor:
    """Return features [N, D] on the CPU in float64 of images [N, C, H, W] in [-1, 1]."""
    device = next(backbone.parameters()).device
    return backbone.embedding(images.to(device)).double().cpu()
