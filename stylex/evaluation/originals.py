"""The analysed images themselves, from the prepared dataset that has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from stylex.config import DatasetPaths, ExperimentConfig
from stylex.config.analysis import Split
from stylex.datasets import load_all_classes, load_split
from stylex.errors import ArtifactError
from stylex.evaluation.counterfactuals import positions_of
from stylex.latents.table import Latents


def load_originals(root: Path, config: ExperimentConfig, latents: Latents) -> Callable[[Tensor], Tensor]:
    """Return what maps rows of the latents, int64 [n], to the images, [n, C, H, W] in [-1, 1].

    Those of a released model are found by their number, in whichever split they are. Raises `ArtifactError` when the
    dataset is not prepared, or has not one of them.
    """
    if config.released_images is not None:
        return _numbered(root, config.released_images, config.dataset.resolution, latents)
    split = load_split(root, config.dataset, config.attfind.split)
    places = positions_of(split, latents)
    return lambda rows: split.images(places[rows])


def _numbered(root: Path, dataset: str, resolution: int, latents: Latents) -> Callable[[Tensor], Tensor]:
    splits = [load_all_classes(root, dataset, resolution, split) for split in get_args(Split)]
    homes = {identity: (split, place) for split in splits for place, identity in enumerate(split.ids)}
    missing = [identity for identity in latents.ids if identity not in homes]
    if missing:
        raise ArtifactError(
            f"{DatasetPaths(root, dataset).manifest(resolution)} has no image {missing[0]}, of which a latent is"
            f" released ({len(missing)} of {len(latents.ids)} are missing); prepare all of FFHQ, or leave"
            " released_images out"
        )
    places = [homes[identity] for identity in latents.ids]

    def images(rows: Tensor) -> Tensor:
        return torch.cat([split.images(torch.tensor([place])) for split, place in (places[row] for row in rows)])

    return images
