"""Which training a checkpoint belongs to: a digest of what decides the weights, and of nothing else.

A finished training is a checkpoint of this key with images enough; so whatever is missing here would let old weights
pass for new ones, and whatever is too much would throw away a week of training.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import torch

from stylex.artifacts import content_digest, read_json
from stylex.config import DatasetPaths, ExperimentConfig, ExperimentPaths, StylexConfig, backbone_paths
from stylex.config.analysis import Split
from stylex.pretrained import WEIGHTS
from stylex.source import CHECKED, code_digest

CHECKPOINT_FORMAT = "3"  # to be raised when what a checkpoint holds changes: older ones are then foreign
NETWORKS = ("generator", "encoder", "discriminator")
# How long, how fast, how often written down. Batches in parts and compiled code differ by rounding, as machines do.
UNDECISIVE = {
    "images", "accumulation", "cache_mib", "compile", "checkpoint_interval", "sample_interval", "precision",
}  # fmt: skip
CODE = ("stylex.training.run", "stylex.training.step", "stylex.training.divergence")
# What these import beside; the loop, too, only says when to measure, to save and to stop.
WITHOUT = (
    *CHECKED,
    "stylex.config",  # arrives as values; widths as what they come to
    "stylex.pretrained",  # checks digests
    "stylex.training.board",  # shows
    "stylex.training.checkpoints",  # stores; CHECKPOINT_FORMAT is part of the key
    "stylex.training.key",
)
MEASURES = "stylex.training.measure"  # looks at networks, and has a key of its own


def training_key(config: ExperimentConfig, paths: ExperimentPaths, device: str) -> str:
    """Return the key as 16 hex digits; raise `ArtifactError` when what the training reads is missing."""
    kind = torch.device(device).type  # decides the random numbers; of several machines of a kind each may go on
    stylex = config.stylex
    # With rates that fall to the end, the length of a training decides its weights.
    undecisive = UNDECISIVE - {"images"} if stylex.training.decay else UNDECISIVE
    training = stylex.training.model_dump(mode="json", exclude=undecisive)
    backbone = backbone_paths(paths.root, stylex.perceptual_backbone).model
    published = stylex.lpips_network
    return _digest({
        "format": CHECKPOINT_FORMAT,
        "code": code_digest(*CODE, without=(*WITHOUT, MEASURES)),
        "seed": config.seed,
        "device": kind,
        "precision": getattr(stylex.training.precision, kind),
        "training": training,
        "networks": _networks(stylex, config.dataset.resolution),
        "losses": stylex.losses.model_dump(mode="json"),
        "conditioning": [stylex.conditioning, stylex.conditional_discriminator],
        "perceptual": [stylex.perceptual, WEIGHTS[published].file.sha256 if published else content_digest(backbone)],
        "classifier": content_digest(paths.classifier.model),
        "data": _data(config, paths, "train"),
    })  # fmt: skip


def measurement_key(config: ExperimentConfig, paths: ExperimentPaths) -> str:
    """Return the digest of what decides the columns val_* of the history, beside the weights."""
    networks = backbone_paths(paths.root, config.stylex.perceptual_backbone).model, paths.classifier.model
    code = code_digest(MEASURES, without=WITHOUT)
    return _digest({"code": code, "networks": [*map(content_digest, networks)], "data": _data(config, paths, "val")})


def _networks(config: StylexConfig, resolution: int) -> dict[str, Any]:
    """Return the sizes of the networks, whatever the notation of their widths."""
    sizes = config.networks
    widths = {f"{name}_channels": sizes.widths(name, resolution) for name in NETWORKS}
    return sizes.model_dump(mode="json", exclude=set(widths)) | widths


def _data(config: ExperimentConfig, paths: ExperimentPaths, split: Split) -> dict[str, Any]:
    """Return which images are asked for, by their content, and how they are labelled."""
    dataset = config.dataset
    manifest = read_json(DatasetPaths(paths.root, dataset.name).manifest(dataset.resolution))
    question = {"known": manifest["class_names"], "classes": dataset.classes, "one_vs_rest": dataset.one_vs_rest}
    return question | {"shards": [shard["sha256"] for shard in manifest["shards"][split]]}


def _digest(parts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
