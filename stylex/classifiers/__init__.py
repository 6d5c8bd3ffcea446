"""The classifier to be explained, and the backbone behind perceptual and Fréchet distances: never the same network."""

from stylex.classifiers.backbone import FeatureBackbone, load_backbone, perceptual_distance
from stylex.classifiers.classifier import Classifier, load_classifier
from stylex.classifiers.experiment import fine_tune, train_backbone
from stylex.classifiers.networks import build_network
from stylex.classifiers.training import train_network

__all__ = [
    "Classifier", "FeatureBackbone", "build_network", "fine_tune", "load_backbone", "load_classifier",
    "perceptual_distance", "train_backbone", "train_network",
]  # fmt: skip
