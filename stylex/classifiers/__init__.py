"""The classifier to be explained, the backbone behind the distances, and the oracle: never the same network."""

from stylex.classifiers.backbone import FeatureBackbone, load_backbone, perceptual_distance
from stylex.classifiers.classifier import Classifier, load_classifier
from stylex.classifiers.experiment import fine_tune, train_backbone, train_oracle
from stylex.classifiers.networks import build_network
from stylex.classifiers.oracle import Oracle, load_oracle
from stylex.classifiers.perceptual import LpipsFeatures, PerceptualFeatures, load_perceptual
from stylex.classifiers.training import train_network

__all__ = [
    "Classifier", "FeatureBackbone", "LpipsFeatures", "Oracle", "PerceptualFeatures", "build_network", "fine_tune",
    "load_backbone", "load_classifier", "load_oracle", "load_perceptual", "perceptual_distance", "train_backbone",
    "train_network", "train_oracle",
]  # fmt: skip
