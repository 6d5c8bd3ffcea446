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
    AttFindConfig,
    DatasetPaths,
    ExperimentConfig,
    ExperimentPaths,
    backbone_paths,
    experiment_paths,
    load_experiment,
)
from stylex.datasets import ImageSplit, analysis_indices, load_split
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
    networks, classifier = load_stylex(paths.stylex_model, device), load_classifier(paths.classifier.model, device)
    perceptual = load_perceptual(root, config.stylex, device)
    if tuple(classifier.class_names) != tuple(split.class_names):
        raise ArtifactError(
            f"{paths.classifier.model} knows the classes {', '.join(classifier.class_names)}, the experiment"
            f" {', '.join(split.class_names)}; delete it and train the classifier again"
        )
    origin = provenance(config.digest(), config.seed, device) | {"split": options.split, "perceptual": perceptual.name}
    origin[ENCODING] = encoding_digest(config, paths)
    candidates = torch.arange(len(split))
    if options.min_realism is not None:
        candidates = realistic_rows(networks, classifier, split, options, device)
        origin["realistic images"] = f"{len(candidates)} of {len(split)}"
    batches = list(analysis_rows(split.labels, candidates, options, config.seed).split(options.batch_size))
    if shard is not None:
        batches = shard_batches(batches, shard, options.encode_shards, name)
    rows, parts = torch.cat(batches), []
    with progress(f"encode {name}", len(rows)) as counter:
        for batch in batches:
            parts.append(encode_images(networks, classifier, perceptual, split.images(batch).to(device)))
            counter.advance(len(batch))
    columns: dict[str, Any] = {key: torch.cat([part[key] for part in parts]).cpu() for key in parts[0]}
    ids = [split.ids[row] for row in rows.tolist()]
    latents = Latents(ids, split.labels[rows], **columns, class_names=tuple(split.class_names), provenance=origin)
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
    chosen = analysis_rows(split.labels, torch.arange(len(split)), config.attfind, config.seed)
    files = [paths.encoded(shard) for shard in range(config.attfind.encode_shards)]
    parts = [read_latents(file) for file in files]
    digests = {part.provenance.get(ENCODING) for part in parts}
    latents = concatenated(parts)
    if digests != {encoding_digest(config, paths)} or latents.ids != [split.ids[index] for index in chosen.tolist()]:
        raise ArtifactError(
            f"{files[0].parent} holds parts of different encodings of {name}; delete it and encode all of them again"
        )
    write_latents(paths.latents, latents)


def realistic_rows(
    networks: StylexNetworks, classifier: Classifier, split: ImageSplit, options: AttFindConfig, device: str
) -> Tensor:
    """Return the rows of the split whose reconstruction gets a score of at least attfind.min_realism, [M] int64.

    Raises `ArtifactError` when they are fewer than two, of which no coordinate has two extremes.
    """
    assert options.min_realism is not None
    scores: list[Tensor] = []
    with progress("realism of the reconstructions", len(split)) as counter:
        for batch in torch.arange(len(split)).split(options.batch_size):
            scores.append(reconstructed(networks, classifier, split.images(batch).to(device))["discriminator"].cpu())
            counter.advance(len(batch))
    score = torch.cat(scores)
    rows = torch.nonzero(score >= options.min_realism).flatten()
    if len(rows) < 2:
        raise ArtifactError(
            f"{len(rows)} of {len(score)} reconstructions get the discriminator's score {options.min_realism:g}, the"
            f" highest {float(score.max()):.3g}; lower attfind.min_realism or train longer (stylex.training.images)"
        )
    return rows


def encoding_digest(config: ExperimentConfig, paths: ExperimentPaths) -> str:
    """Return the digest of all that decides a row of the table; its ids say which rows there are."""
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
    columns = reconstructed(networks, classifier, images)
    reconstruction = columns.pop("reconstruction")
    distance = perceptual_distance(perceptual.features(reconstruction), perceptual.features(images))
    return columns | {
        "reconstruction_l1": (reconstruction - images).abs().mean(dim=(1, 2, 3)),
        "reconstruction_perceptual": distance,
        "reconstruction_logits": classifier(reconstruction),
    }


@torch.inference_mode()
def reconstructed(networks: StylexNetworks, classifier: Classifier, images: Tensor) -> dict[str, Tensor]:
    """Return what `reconstruct` does, and D's scores of the reconstructions."""
    columns = reconstruct(networks, classifier, images)
    condition = columns["logits"].softmax(dim=1)
    return columns | {"discriminator": networks.discriminator(columns["reconstruction"], condition, group=1)}


@torch.inference_mode()
def reconstruct(networks: StylexNetworks, classifier: Classifier, images: Tensor) -> dict[str, Tensor]:
    """Return the reconstructions of images [N, C, H, W] in [-1, 1], and what they are made of."""
    logits, w = classifier(images), networks.encoder(images)
    styles = networks.synthesis.styles(networks.w_plus(w, logits))
    made_of = {"logits": logits, "w": w, "styles": styles.space, "to_rgb_styles": styles.to_rgb}
    return made_of | {"reconstruction": networks.synthesis.render(styles)}


def analysis_rows(labels: Tensor, candidates: Tensor, options: AttFindConfig, seed: int) -> Tensor:
    """Return the rows of a split that are analysed, in order: attfind.images of the `candidates` [M], or all of them.

    labels [N] int64, of the whole split. By attfind.sampling spread evenly over the classes, whatever the seed, or
    drawn at random by it.
    """
    if options.sampling == "balanced":
        return candidates[analysis_indices(labels[candidates], options.images)]
    drawn = torch.randperm(len(candidates), generator=torch.Generator().manual_seed(seed))[: options.images]
    return candidates[drawn.sort().values]
