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

from stylex.artifacts import load_tensors, sha256
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
    "resnet18": PublishedWeights(
        "ResNet-18 of torchvision, trained on ImageNet (IMAGENET1K_V1)",
        "https://download.pytorch.org/models/",
        PinnedFile(
            "resnet18-f37072fd.pth", 46_830_571, "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec"
        ),
    ),
    # Its size is nowhere stated to the byte: this is what torch.save writes of the 314 tensors in its old format, and
    # torchvision gives 13.555 MiB.
    "mobilenet_v2": PublishedWeights(
        "MobileNetV2 of torchvision, trained on ImageNet (IMAGENET1K_V1)",
        "https://download.pytorch.org/models/",
        PinnedFile(
            "mobilenet_v2-b0353104.pth", 14_212_972, "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"
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
    file = published_weights(name).file
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist; run `stylex weights {name}`, or copy {file.name} there")
    if (got := sha256(path)) != file.sha256:
        raise ArtifactError(
            f"{path} is not {file.name}: its sha256 is {got}, not {file.sha256}; replace it (`stylex weights {name}`"
            f" writes {weights_path(Path(), name)})"
        )
    return read_weights(path)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read tensors by name from a file of PyTorch or, ending in .safetensors, of safetensors, on the CPU.

    Raises `ArtifactError` when the file is missing, damaged or holds anything but tensors.
    """
    import torch

    if not path.is_file():
        raise ArtifactError(f"{path} does not exist; give a file of weights")
    if path.suffix == ".safetensors":
        return load_tensors(path, "give another file of weights")[0]
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise ArtifactError(f"{path} cannot be read by this PyTorch: {reason}; install requirements.lock") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise ArtifactError(f"{path} holds no weights by name (a state_dict); save the network's state_dict() alone")
    return state
