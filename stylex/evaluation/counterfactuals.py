"""Counterfactuals of many images: which images are turned into which class, and its top attributes applied together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from stylex.attfind.records import Attribute, Direction
from stylex.datasets import ImageSplit
from stylex.errors import ArtifactError
from stylex.latents.table import Latents
from stylex.networks.stylespace import StyleVector, move
from stylex.networks.synthesis import Synthesis


def target_classes(latents: Latents, against: str | None) -> list[str]:
    """Return the classes that images are turned into: all but the one that they are compared with."""
    return [name for name in latents.class_names if name != against]


def images_to_turn(latents: Latents, target: str, against: str | None) -> Tensor:
    """Return the rows [n] of the images to be turned into `target`, by the classifier's decision on the reconstruction.

    Of those on which the protocol measures. Against all: those not decided as the target; against one class: those
    decided as that one.
    """
    decisions = latents.reconstruction_logits.argmax(dim=1)
    if against is None:
        turned = decisions != latents.class_names.index(target)
    else:
        turned = decisions == latents.class_names.index(against)
    return torch.nonzero(turned & latents.measured).flatten()


def apply_attributes(latents: Latents, rows: Tensor, attributes: Sequence[Attribute], shift: float) -> StyleVector:
    """Return the styles of the images `rows` [n] with every attribute moved by `shift` towards its extreme."""
    styles = latents.style_vector(rows)
    index = torch.tensor([attribute.style_index for attribute in attributes], dtype=torch.long)
    to_max = torch.tensor([attribute.direction == Direction.TO_MAX for attribute in attributes], dtype=torch.bool)
    extreme = torch.where(to_max, latents.maxima[index], latents.minima[index])
    return styles._replace(space=move(styles.space, index, extreme, shift))


def rendered(synthesis: Synthesis, styles: StyleVector, batch_size: int) -> Iterator[Tensor]:
    """Yield the images of `styles`, at most `batch_size` at a time, on the network's device; nothing of no styles."""
    device, count = synthesis.constant.device, len(styles.space)
    for rows in torch.arange(count).split(batch_size) if count else ():
        with torch.inference_mode():
            images = synthesis.render(styles.select(rows).to(device))
        yield images


def positions_of(split: ImageSplit, latents: Latents) -> Tensor:
    """Return where the analysed images are in `split`, [N] int64, by id; raise `ArtifactError` if one is lost."""
    positions = {identity: position for position, identity in enumerate(split.ids)}
    missing = [identity for identity in latents.ids if identity not in positions]
    if missing:
        raise ArtifactError(f"image '{missing[0]}' of latents.parquet is not in the dataset; run encode again")
    return torch.tensor([positions[identity] for identity in latents.ids])
