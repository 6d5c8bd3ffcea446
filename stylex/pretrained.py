"""Weights that others have published (pretrained.yaml): verified, and never unpickled freely."""

from __future__ import annotations

import logging
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from stylex.artifacts import load_tensors, sha256
from stylex.config import weights_path
from stylex.config.loading import unknown_name
from stylex.datasets.transfer import PinnedFile, fetch, is_present
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


def _published() -> dict[str, PublishedWeights]:
    content = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return {name: PublishedWeights(**each | {"file": PinnedFile(**each["file"])}) for name, each in content.items()}


WEIGHTS = _published()


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
