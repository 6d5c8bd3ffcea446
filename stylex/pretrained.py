"""Weights that others have published: where they come from, and reading them. Verified, and never unpickled freely.

The sizes and checksums are of the published files; the first eight hex digits of each sha256 stand in the file's name,
as torch.hub has it.
"""

from __future__ import annotations

import logging
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stylex.artifacts import sha256
from stylex.config import weights_path
from stylex.config.loading import unknown_name
from stylex.datasets.pins import PinnedFile, is_present
from stylex.datasets.transfer import fetch
from stylex.errors import ArtifactError, ConfigError, DownloadError

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger("stylex")


@dataclass(frozen=True)
class PublishedWeights:
    """A file of weights on the network."""

    title: str
    folder: str  # address, ending in a slash
    file: PinnedFile


WEIGHTS: dict[str, PublishedWeights] = {
    "inception": PublishedWeights(
        "Inception of the FID, ported by pytorch-fid from TensorFlow's of 2015-12-05",
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/",
        PinnedFile(
            "pt_inception-2015-12-05-6726825d.pth",
            95_628_359,
            "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        ),
    ),
    "alexnet": PublishedWeights(
        "AlexNet of torchvision, trained on ImageNet",
        "https://download.pytorch.org/models/",
        PinnedFile(
            "alexnet-owt-7be5be79.pth", 244_408_911, "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"
        ),
    ),
    "vgg16": PublishedWeights(
        "VGG-16 of torchvision, trained on ImageNet",
        "https://download.pytorch.org/models/",
        PinnedFile(
            "vgg16-397923af.pth", 553_433_881, "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0"
        ),
    ),
}


def published_weights(name: str) -> PublishedWeights:
    """Return the weights called `name`; raise `ConfigError` naming the known ones otherwise."""
    if name not in WEIGHTS:
        raise ConfigError(unknown_name("weights", name, sorted(WEIGHTS)))
    return WEIGHTS[name]


def download_weights(root: Path, name: str) -> Path:
    """Download the weights `name` to data/weights, resumed and verified, unless they are there; return the file.

    Raises `ConfigError` for an unknown name, `DownloadError` (or `ChecksumError`) when they cannot be had.
    """
    weights, path = published_weights(name), weights_path(root, name)
    if is_present(path, weights.file):
        logger.info("%s is already there, nothing to do", path)
        return path
    try:
        fetch(weights.folder + weights.file.name, weights.file, path)
    except DownloadError as error:
        raise type(error)(f"{error}; without a network, copy {weights.file.name} to {path}") from None
    return path


def load_weights(path: Path, name: str) -> dict[str, Tensor]:
    """Read the weights `name` from `path`, on the CPU.

    Raises `ArtifactError` when the file is missing or is not the published one: what it measures would have no name.
    """
    import torch

    file = published_weights(name).file
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist; run `stylex weights {name}`, or copy {file.name} there")
    if (got := sha256(path)) != file.sha256:
        raise ArtifactError(
            f"{path} is not {file.name}: its sha256 is {got}, not {file.sha256}; replace it (`stylex weights {name}`"
            f" writes {weights_path(Path(), name)})"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ArtifactError(f"{path} cannot be read by this PyTorch: {reason}; install requirements.lock") from None
