"""C: the classifier to be explained, frozen."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from stylex.classifiers.wrapper import FrozenNetwork, load_network


class Classifier(FrozenNetwork):
    """A frozen network that gives logits; `class_names` are in the order of its outputs."""

    def forward(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to float32 logits [N, classes]."""
        return self.network(images).float()


def load_classifier(path: Path, device: str = "cpu") -> Classifier:
    """Load the classifier of `path`; raise `ArtifactError` when it is missing, damaged or no classifier."""
    return Classifier(*load_network(path, "classifier")).to(device)
