"""Encode the analysis images: E, C, G and D on each, with fixed noise and EMA weights (method.md, Model)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from stylex.artifacts import provenance
from stylex.classifiers import Classifier, PerceptualFeatures, load_classifier, load_perceptual, perceptual_distance
from stylex.config import experiment_paths, load_experiment
from stylex.datasets import load_split
from stylex.errors import ArtifactError
from stylex.latents.table import Latents, write_latents
from stylex.networks.model import StylexNetworks, load_stylex
from stylex.progress import progress


def encode(root: Path, name: str, device: str) -> None:
    """Write the experiment's latents.parquet; raise `ArtifactError` when classifier and dataset disagree on classes."""
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    split = load_split(root, config.dataset, config.attfind.split)
    networks, classifier = load_stylex(paths.stylex_model, device), load_classifier(paths.classifier.model, device)
    perceptual = load_perceptual(root, config.stylex, device)
    if tuple(classifier.class_names) != tuple(split.class_names):
        raise ArtifactError(
            f"{paths.classifier.model} knows the classes {', '.join(classifier.class_names)}, the experiment"
            f" {', '.join(split.class_names)}; delete it and train the classifier again"
        )
    chosen = analysis_indices(split.labels, config.attfind.images)
    parts: list[dict[str, Tensor]] = []
    with progress(f"encode {name}", len(chosen)) as counter:
        for batch in chosen.split(config.attfind.batch_size):
            parts.append(encode_images(networks, classifier, perceptual, split.images(batch).to(device)))
            counter.advance(len(batch))
    origin = provenance(config.digest(), config.seed, device) | {
        "split": config.attfind.split,
        "perceptual": perceptual.name,
    }
    columns = {key: torch.cat([part[key] for part in parts]).cpu() for key in parts[0]}
    ids = [split.ids[index] for index in chosen.tolist()]
    latents = Latents(ids, split.labels[chosen], **columns, class_names=tuple(split.class_names), provenance=origin)
    write_latents(paths.latents, latents)


@torch.inference_mode()
def encode_images(
    networks: StylexNetworks, classifier: Classifier, perceptual: PerceptualFeatures, images: Tensor
) -> dict[str, Tensor]:
    """Return the tensor columns of the table for images [N, C, H, W] in [-1, 1]; row i depends on image i alone."""
    logits, w = classifier(images), networks.encoder(images)
    styles = networks.synthesis.styles(networks.w_plus(w, logits))
    reconstruction = networks.synthesis.render(styles)
    distance = perceptual_distance(perceptual.features(reconstruction), perceptual.features(images))
    return {
        "logits": logits,
        "w": w,
        "styles": styles.space,
        "to_rgb_styles": styles.to_rgb,
        "reconstruction_l1": (reconstruction - images).abs().mean(dim=(1, 2, 3)),
        "reconstruction_perceptual": distance,
        "reconstruction_logits": classifier(reconstruction),
        "discriminator": networks.discriminator(reconstruction, logits.softmax(dim=1), group=1),
    }


def analysis_indices(labels: Tensor, count: int) -> Tensor:
    """Choose at most `count` images, as evenly over the classes as their sizes allow and evenly spaced in each.

    labels [N] int64. Returns sorted indices; the same labels always give the same choice, whatever the seed.
    """
    members = [torch.nonzero(labels == label).flatten() for label in labels.unique()]
    chosen: list[Tensor] = []
    left = min(count, len(labels))
    for position, rows in enumerate(sorted(members, key=len)):  # small classes first: large ones take up the rest
        quota = min(len(rows), left // (len(members) - position))
        chosen.append(rows[torch.arange(quota) * len(rows) // max(quota, 1)])
        left -= quota
    return torch.cat(chosen).sort().values
