"""The classifier to be explained, the backbone behind the distances, and the oracle: never the same network."""

from stylex.classifiers.frozen import (
    Classifier,
    FeatureBackbone,
    Oracle,
    load_backbone,
    load_classifier,
    load_oracle,
    perceptual_distance,
)
from stylex.classifiers.networks import build_network
from stylex.classifiers.perceptual import LpipsFeatures, PerceptualFeatures, load_perceptual
from stylex.classifiers.stages import fine_tune, train_backbone, train_oracle
from stylex.classifiers.training import train_network

__all__ = [
    "Classifier", "FeatureBackbone", "LpipsFeatures", "Oracle", "PerceptualFeatures", "build_network", "fine_tune",
    "load_backbone", "load_classifier", "load_oracle", "load_perceptual", "perceptual_distance", "train_backbone",
    "train_network", "train_oracle",
]  # fmt: skip
