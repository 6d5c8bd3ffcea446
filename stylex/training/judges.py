"""The frozen networks that training consults, and the precision in which everything is computed."""

from __future__ import annotations

import copy

import torch

from stylex.classifiers import Classifier, FeatureBackbone, PerceptualFeatures
from stylex.config import TrainingConfig
from stylex.precision import autocast_to, number_format


class Judges:
    """The classifier to be explained, the backbone of the Fréchet distance, and what the perceptual distance is of.

    Real images are judged in float32, fakes in the precision of training, by copies of the frozen weights that need no
    casting in every step. Without `perceptual` the backbone is that too.
    """

    def __init__(
        self,
        classifier: Classifier,
        backbone: FeatureBackbone,
        dtype: torch.dtype = torch.float32,
        perceptual: PerceptualFeatures | None = None,
    ) -> None:
        self.classifier, self.backbone = classifier, backbone
        low = dtype != torch.float32
        self.training_classifier = copy.deepcopy(classifier).to(dtype) if low else classifier
        self.training_perceptual = perceptual or backbone
        if low:
            self.training_perceptual = copy.deepcopy(self.training_perceptual)
            self.training_perceptual.network.to(dtype)  # the heads of LPIPS stay as they are


def precision(config: TrainingConfig, device: str) -> torch.dtype:
    """Return the number format of convolutions on this kind of device."""
    cuda = torch.device(device).type == "cuda"
    return number_format(config.precision.cuda if cuda else config.precision.cpu, device)


def autocast(config: TrainingConfig, device: str) -> torch.autocast:
    """Return the context in which convolutions run in that format."""
    return autocast_to(precision(config, device), device)
