"""Encode the analysis images: E, C, G and D on each, with fixed noise and EMA weights (method.md, Model)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylex.artifacts import content_digest, provenance, read_json
from stylex.classifiers import Classifier, PerceptualFeatures, load_classifier, load_perceptual, perceptual_distance
from stylex.config import (
    DatasetPaths,
    ExperimentConfig,
    ExperimentPaths,
    backbone_paths,
    experiment_paths,
    load_experiment,
)
from stylex.datasets import analysis_indices, load_split
from stylex.errors import ArtifactError
from stylex.latents.table import Latents, concatenated, read_latents, write_latents
from stylex.networks.model import StylexNetworks, load_stylex
from stylex.progress import progress
from stylex.source import CHECKED, code_digest

ENCODING = "encoding"  # key of the provenance


def encode(root: Path, name: str, device: str, shard: int | None = None) -> None:
    """Write the experiment's latents.parquet, or one of its attfind.encode_shards parts.

    Raises `ArtifactError` when classifier and dataset disagree on classes, or there is no such part.
    """
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    options, split = config.attfind, load_split(root, config.dataset, config.attfind.split)
    batches = list(analysis_indices(split.labels, options.images).split(options.batch_size))
    if shard is not None:
        batches = shard_batches(batches, shard, options.encode_shards, name)
    chosen = torch.cat(batches)
    networks, classifier = load_stylex(paths.stylex_model, device), load_classifier(paths.classifier.model, device)
    perceptual = load_perceptual(root, config.stylex, device)
    if tuple(classifier.class_names) != tuple(split.class_names):
        raise ArtifactError(
            f"{paths.classifier.model} knows the classes {', '.join(classifier.class_names)}, the experiment"
            f" {', '.join(split.class_names)}; delete it and train the classifier again"
        )
    parts: list[dict[str, Tensor]] = []
    with progress(f"encode {name}", len(chosen)) as counter:
        for batch in batches:
            parts.append(encode_images(networks, classifier, perceptual, split.images(batch).to(device)))
            counter.advance(len(batch))
    origin = provenance(config.digest(), config.seed, device) | {
        "split": config.attfind.split,
        "perceptual": perceptual.name,
    }
    origin[ENCODING] = encoding(config, paths)
    columns: dict[str, Any] = {key: torch.cat([part[key] for part in parts]).cpu() for key in parts[0]}
    ids = [split.ids[index] for index in chosen.tolist()]
    latents = Latents(ids, split.labels[chosen], **columns, class_names=tuple(split.class_names), provenance=origin)
    write_latents(paths.latents if shard is None else paths.encoded(shard), latents)


def shard_batches(batches: list[Tensor], shard: int, shards: int, name: str) -> list[Tensor]:
    """Return the batches of one part: whole ones, so that an image is computed among the same ones in any division."""
    if not 0 <= shard < shards:
        raise ArtifactError(f"shard {shard} does not exist: attfind.encode_shards of {name} is {shards}")
    if shards > len(batches):
        raise ArtifactError(
            f"attfind.encode_shards {shards} of {name} is more than its {len(batches)} batches: set it to"
            f" {len(batches)} at the most, or attfind.batch_size lower"
        )
    return batches[len(batches) * shard // shards : len(batches) * (shard + 1) // shards]


def merge_shards(root: Path, name: str) -> None:
    """Write latents.parquet from all its parts; raise `ArtifactError` when they are not of the same encoding."""
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    split = load_split(root, config.dataset, config.attfind.split)
    chosen = analysis_indices(split.labels, config.attfind.images)
    files = [paths.encoded(shard) for shard in range(config.attfind.encode_shards)]
    parts = [read_latents(file) for file in files]
    digests = {part.provenance.get(ENCODING) for part in parts}
    latents = concatenated(parts)
    if digests != {encoding(config, paths)} or latents.ids != [split.ids[index] for index in chosen.tolist()]:
        raise ArtifactError(
            f"{files[0].parent} holds parts of different encodings of {name}; delete it and encode all of them again"
        )
    write_latents(paths.latents, latents)


def encoding(config: ExperimentConfig, paths: ExperimentPaths) -> str:
    """Return the digest of all that decides a row of the table; which rows there are is said by their ids."""
    backbone = backbone_paths(paths.root, config.stylex.perceptual_backbone).model
    manifest = DatasetPaths(paths.root, config.dataset.name).manifest(config.dataset.resolution)
    decisive = [content_digest(path) for path in (paths.stylex_model, paths.classifier.model, backbone)]
    decisive += [shard["sha256"] for shard in read_json(manifest)["shards"][config.attfind.split]]
    decisive += [config.dataset.digest(), config.stylex.perceptual, str(config.attfind.batch_size)]
    decisive += [code_digest("stylex.latents.encode", without=("stylex.config", *CHECKED))]
    return hashlib.sha256(" ".join(decisive).encode()).hexdigest()[:16]


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
