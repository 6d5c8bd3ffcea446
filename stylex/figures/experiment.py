"""All that the figures of one experiment need, loaded once, and what they do with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from numpy.typing import NDArray
from torch import Tensor

from stylex.attfind.records import Attribute, Direction, Effects, read_attributes, read_effects
from stylex.classifiers import Classifier, load_classifier
from stylex.config import ExperimentConfig, ExperimentPaths, experiment_paths, load_experiment
from stylex.datasets.split import ImageSplit, load_split
from stylex.errors import ArtifactError
from stylex.latents.table import Latents, read_latents
from stylex.networks.model import StylexNetworks, load_stylex
from stylex.networks.stylespace import StyleVector


@dataclass(frozen=True)
class AnalysedExperiment:
    """The artifacts of an experiment; rows are those of its latents."""

    config: ExperimentConfig
    paths: ExperimentPaths
    suite: str
    """The one whose figures are drawn; `methods` compares its experiments."""
    latents: Latents
    effects: Effects
    attributes: dict[str, list[Attribute]]
    """By target class, in order of rank."""
    networks: StylexNetworks
    classifier: Classifier
    split: ImageSplit | None
    """None: of a released model, whose images are not to be had."""

    @property
    def class_name(self) -> str:
        """The class y whose probability the figures show; raise `ConfigError` when the experiment has no such class."""
        return self.config.shown_class(self.latents.class_names)

    @property
    def target(self) -> int:
        """The position of `class_name` among the classes."""
        return self.latents.class_names.index(self.class_name)

    def originals(self, rows: Sequence[int]) -> NDArray[numpy.float32]:
        """Return the images themselves, [n, H, W, C] in [-1, 1]; raise `ArtifactError` when one is not in the data."""
        assert self.split is not None, "no figure that shows images is one of a released model"
        position = {identity: place for place, identity in enumerate(self.split.ids)}
        ids = [self.latents.ids[row] for row in rows]
        missing = [identity for identity in ids if identity not in position]
        if missing:
            raise ArtifactError(f"image '{missing[0]}' of {self.paths.latents} is not in the dataset; run encode again")
        images = self.split.images(torch.tensor([position[identity] for identity in ids], dtype=torch.long))
        return images.permute(0, 2, 3, 1).numpy()

    def styles(self, row: int, moves: Sequence[tuple[int, Direction]] = ()) -> StyleVector:
        """Return the styles [1, K] of an image, with each (style index, direction) moved by the shift of AttFind."""
        return self.latents.moved(torch.tensor([row]), moves, self.config.attfind.shift)

    @torch.inference_mode()
    def rendered(self, styles: Sequence[StyleVector]) -> tuple[NDArray[numpy.float32], NDArray[numpy.float32]]:
        """Return the images [n, H, W, C] and the probabilities [n, classes] that the classifier gives to them."""
        space, to_rgb = torch.cat([one.space for one in styles]), torch.cat([one.to_rgb for one in styles])
        device = next(self.classifier.parameters()).device
        images, probabilities = [], []
        for rows in torch.arange(len(space)).split(self.config.evaluation.batch_size):
            batch = self.networks.synthesis.render(StyleVector(space[rows], to_rgb[rows]).to(device))
            images.append(batch.permute(0, 2, 3, 1).float().cpu())
            probabilities.append(self.classifier(batch).softmax(dim=1).cpu())
        return torch.cat(images).numpy(), torch.cat(probabilities).numpy()


def load_analysed(root: Path, suite: str, experiment: str, device: str) -> AnalysedExperiment:
    """Read the experiment's artifacts; raise `ArtifactError` when a stage has not run."""
    config, paths = load_experiment(root, experiment), experiment_paths(root, experiment)
    return AnalysedExperiment(
        config=config,
        paths=paths,
        suite=suite,
        latents=read_latents(paths.latents).under(config.attfind.protocol),
        effects=read_effects(paths.effects_shards(config.attfind.shards)),
        attributes=read_attributes(paths.attributes),
        networks=load_stylex(paths.stylex_model, device),
        classifier=load_classifier(paths.classifier.model, device),
        split=None if config.released else load_split(root, config.dataset, config.attfind.split),
    )


def opposite(direction: Direction) -> Direction:
    """Return the other direction."""
    return Direction(1 - direction)


def faithful(latents: Latents, candidates: Tensor) -> Tensor:
    """Return which candidates [N] are classified rightly, before and after, with at most their median error; bools [N].

    None such: all candidates.
    """
    decided = latents.reconstruction_logits.argmax(dim=1)
    right = candidates & (latents.logits.argmax(dim=1) == latents.labels) & (decided == latents.labels)
    if not right.any():
        return candidates
    return right & (latents.reconstruction_l1 <= latents.reconstruction_l1[right].median())
