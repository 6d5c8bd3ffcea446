"""What all measures share: an experiment's networks, which images to turn into which class, and moves of their styles.

A move takes one style coordinate by attfind.shift towards its extreme: s + shift * (extreme - s).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pandas
import torch
from torch import Tensor

from stylex.artifacts import provenance, write_table
from stylex.attfind.records import Attribute, Direction
from stylex.classifiers import Classifier, Oracle, PerceptualFeatures, load_classifier, load_oracle, load_perceptual
from stylex.config import (
    DatasetPaths,
    ExperimentConfig,
    ExperimentPaths,
    backbone_paths,
    experiment_paths,
    load_experiment,
    oracle_paths,
)
from stylex.config.base import Split
from stylex.datasets import ImageSplit, load_all_classes, load_split
from stylex.errors import ArtifactError
from stylex.latents.table import Latents, read_latents
from stylex.networks.model import StylexNetworks, load_stylex
from stylex.networks.stylespace import StyleSpaceLayout, StyleVector

if TYPE_CHECKING:
    from stylex.attfind.explanations import Step


@dataclass(frozen=True)
class Run:
    """An experiment on a device, and what is read from its files when it is first needed."""

    config: ExperimentConfig
    paths: ExperimentPaths
    device: str = "cpu"

    @classmethod
    def load(cls, root: Path, name: str, device: str = "cpu") -> Run:
        """Read the experiment's configuration."""
        return cls(load_experiment(root, name), experiment_paths(root, name), device)

    @cached_property
    @torch.inference_mode(False)  # whoever asks first: gradients go through them
    def networks(self) -> StylexNetworks:
        """The trained networks, on the device."""
        return load_stylex(self.paths.stylex_model, self.device)

    @cached_property
    @torch.inference_mode(False)
    def classifier(self) -> Classifier:
        """The classifier that is explained, on the device."""
        return load_classifier(self.paths.classifier.model, self.device)

    @cached_property
    def oracle(self) -> Oracle | None:
        """What evaluation.oracle names, on the device; None: nothing.

        Raises `ArtifactError` when it is what is explained, or what the loss has seen.
        """
        if (name := self.config.evaluation.oracle) is None:
            return None
        backbone = backbone_paths(self.paths.root, self.config.stylex.perceptual_backbone)
        others = [self.paths.classifier.model, backbone.model]
        return load_oracle(oracle_paths(self.paths.root, name).model, others, self.device)

    @cached_property
    @torch.inference_mode(False)
    def perceptual(self) -> PerceptualFeatures:
        """What stylex.perceptual names, on the device."""
        return load_perceptual(self.paths.root, self.config.stylex, self.device)

    @cached_property
    def analysed(self) -> Latents:
        """The analysed images."""
        return read_latents(self.paths.latents)

    @cached_property
    def latents(self) -> Latents:
        """The analysed images, by the main protocol."""
        return self.analysed.under(self.config.attfind.protocol)

    def attribute_files(self, protocol: str) -> dict[str, Path]:
        """Return the lists of attributes that were found by a protocol, by method."""
        return self.paths.under(protocol, self.config.attfind.protocol).attribute_lists(self.config.method)

    @property
    def targets(self) -> list[str]:
        """The classes that images are turned into."""
        return target_classes(self.latents, self.config.attfind.against)

    def images_to_turn(self, latents: Latents, target: str) -> Tensor:
        """Return `images_to_turn` by attfind.against."""
        return images_to_turn(latents, target, self.config.attfind.against)

    def moved(self, latents: Latents, rows: Tensor, attributes: Sequence[Attribute]) -> StyleVector:
        """Return `apply_attributes` by attfind.shift."""
        return apply_attributes(latents, rows, attributes, self.config.attfind.shift)

    @torch.inference_mode()
    def rendered(self, styles: StyleVector) -> Iterator[Tensor]:
        """Yield the images of `styles`, evaluation.batch_size at a time, on the device; nothing of no styles."""
        count = len(styles.space)
        for rows in torch.arange(count).split(self.config.evaluation.batch_size) if count else ():
            yield self.networks.synthesis.render(styles.select(rows).to(self.device))

    def images(self, styles: StyleVector) -> Tensor:
        """Return the images [n, C, H, W] of styles [n], on the CPU."""
        side, batches = self.networks.resolution, [batch.cpu() for batch in self.rendered(styles)]
        return torch.cat(batches) if batches else torch.zeros(0, self.networks.image_channels, side, side)

    def origin(self) -> dict[str, str]:
        """Return the provenance of a file that is made now."""
        return provenance(self.config.digest(), self.config.seed, self.device)

    def write(
        self,
        path: Path,
        rows: Sequence[Mapping[str, Any]],
        columns: Sequence[str] | None = None,
        more: Mapping[str, str] | None = None,
        types: Mapping[str, str] | None = None,
    ) -> None:
        """Write a table with its provenance and `more`; types: of columns that pandas would not infer."""
        frame = pandas.DataFrame(rows, columns=None if columns is None else list(columns)).astype(dict(types or {}))
        write_table(path, frame, self.origin() | dict(more or {}))


def rendered_w(networks: StylexNetworks, w: Tensor, logits: Tensor) -> Tensor:
    """Return the images of w [n, W] conditioned on what the classifier says, logits [n, classes]."""
    return networks.synthesis.render(networks.synthesis.styles(networks.w_plus(w, logits)))


def target_classes(latents: Latents, against: str | None) -> list[str]:
    """Return the classes that images are turned into: all but the one that they are compared with."""
    return [name for name in latents.class_names if name != against]


def images_to_turn(latents: Latents, target: str, against: str | None) -> Tensor:
    """Return the rows [n] of the measured images whose reconstruction is not decided as `target`.

    Against one class: of those that are decided as that one.
    """
    decisions = latents.reconstruction_logits.argmax(dim=1)
    if against is None:
        turned = decisions != latents.class_names.index(target)
    else:
        turned = decisions == latents.class_names.index(against)
    return torch.nonzero(turned & latents.measured).flatten()


def apply_attributes(latents: Latents, rows: Tensor, attributes: Sequence[Attribute], shift: float) -> StyleVector:
    """Return the styles of the images `rows` [n] with every attribute moved by `shift` towards its extreme."""
    return latents.moved(rows, [attribute.move for attribute in attributes], shift)


def apply_moves(
    latents: Latents, rows: Tensor, moves: Sequence[Sequence[Attribute | Step]], shift: float
) -> StyleVector:
    """Return the styles of the images `rows` [n], each with its own `moves`; of two of a coordinate the last counts."""
    styles = latents.style_vector(rows)
    last = {(row, move.style_index): int(move.direction) for row, each in enumerate(moves) for move in each}
    places = torch.tensor([(row, index, direction) for (row, index), direction in last.items()], dtype=torch.long)
    row, index, direction = places.view(-1, 3).T
    space, extreme = styles.space.clone(), latents.extremes[direction, index]
    space[row, index] += shift * (extreme - space[row, index])
    return styles._replace(space=space)


def ranked(
    target: str, moves: Iterable[tuple[int, int]], layout: StyleSpaceLayout, first_rank: int = 1
) -> list[Attribute]:
    """Return moves (coordinate, direction) as a list of attributes of which no effect is known."""
    return [
        Attribute(target, rank, index, *layout.locate(index), Direction(direction), 0.0, 0)
        for rank, (index, direction) in enumerate(moves, start=first_rank)
    ]


def random_moves(
    layout: StyleSpaceLayout, length: int, generator: torch.Generator, without: int | None = None
) -> list[tuple[int, int]]:
    """Draw different coordinates, none of them `without`, and their directions, uniformly."""
    drawn = torch.randperm(layout.size, generator=generator).tolist()
    coordinates = [index for index in drawn if index != without][:length]
    return list(zip(coordinates, torch.randint(2, (len(coordinates),), generator=generator).tolist(), strict=True))


def load_originals(root: Path, config: ExperimentConfig, latents: Latents) -> Callable[[Tensor], Tensor]:
    """Return what maps rows of the latents, int64 [n], to the images themselves, [n, C, H, W] in [-1, 1].

    Those of a released model are in any split. Raises `ArtifactError` when the dataset is not prepared or lacks one.
    """
    released, side = config.released_images, config.dataset.resolution
    if released is None:
        return images_by_id(latents, [load_split(root, config.dataset, config.attfind.split)])
    splits = [load_all_classes(root, released, side, split) for split in get_args(Split)]
    known = {identity for split in splits for identity in split.ids}
    missing = [identity for identity in latents.ids if identity not in known]
    if missing:
        raise ArtifactError(
            f"{DatasetPaths(root, released).manifest(side)} has no image {missing[0]}, of which a latent is released"
            f" ({len(missing)} of {len(latents.ids)} are missing); prepare all of FFHQ, or leave released_images out"
        )
    return images_by_id(latents, splits)


def images_by_id(latents: Latents, splits: Sequence[ImageSplit]) -> Callable[[Tensor], Tensor]:
    """Return what maps rows of the latents to their images in these splits; raise `ArtifactError` if one is lost."""
    known = {identity: (split, place) for split in splits for place, identity in enumerate(split.ids)}
    missing = [identity for identity in latents.ids if identity not in known]
    if missing:
        raise ArtifactError(f"image '{missing[0]}' of latents.parquet is not in the dataset; run encode again")
    places = [known[identity] for identity in latents.ids]
    return lambda rows: torch.cat([split.images(torch.tensor([place])) for split, place in (places[r] for r in rows)])
