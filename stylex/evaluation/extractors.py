"""Networks whose features the Fréchet curve compares: pytorch-fid's Inception (FID), or a backbone trained here.

The features of an image never depend on the batch it came in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from stylex.classifiers import FeatureBackbone, load_backbone
from stylex.config import ExperimentConfig, backbone_paths, weights_path
from stylex.config.analysis import INCEPTION
from stylex.pretrained import load_weights, published_weights
from stylex.quantization import to_uint8

POOL3 = 2048  # features of the FID: Inception's last pooling


class Extractor(Protocol):
    """Maps images to feature vectors; `name` stands in the column `extractor`, `origin` in the provenance."""

    name: str
    origin: dict[str, str]

    def features(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to features [N, D], float64, on the CPU."""
        ...


class BackboneFeatures:
    """Penultimate features of a backbone, in float64: there, batches change nothing above 1e-12."""

    def __init__(self, backbone: FeatureBackbone) -> None:
        self.name, self.network = backbone.name, backbone.network.double()
        self.origin: dict[str, str] = {}

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Map images [N, C, H, W] in [-1, 1] to features [N, D], float64, on the CPU."""
        return self.network.embedding(images.to(self.network.head.weight.device).double()).cpu()


class InceptionFeatures:
    """pytorch-fid's InceptionV3 as its command runs it, in float32, but one image after the other.

    A CPU computes a batch of these large maps image by image anyway.
    """

    name = INCEPTION

    def __init__(self, state: Mapping[str, Tensor], device: str = "cpu", dimensions: int = POOL3) -> None:
        from pytorch_fid import inception  # imports torchvision, which takes long

        block = inception.InceptionV3.BLOCK_INDEX_BY_DIM[dimensions]
        with _handed_over(state):
            network = inception.InceptionV3([block])
        self.network, self.device = network.eval().to(device), device
        self.origin = {"inception_sha256": published_weights(INCEPTION).file.digests["sha256"]}

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Map images [N, 1 or 3, H, W] in [-1, 1] to features [N, D], float64, on the CPU.

        The network is given what pytorch-fid reads from a PNG of the image: bytes / 255, grey in three equal channels.
        """
        pixels = to_uint8(images).to(self.device).float().div(255).expand(-1, 3, -1, -1)
        maps = torch.cat([self.network(image)[0] for image in pixels.split(1)])
        # As the command: maps of an earlier block (other than 2048 features) are averaged over the positions.
        return torch.nn.functional.adaptive_avg_pool2d(maps, 1).flatten(1).double().cpu()


def load_extractors(root: Path, config: ExperimentConfig, device: str) -> list[Extractor]:
    """Load what evaluation.frechet_extractors names; raise `ArtifactError` when weights are missing or others."""
    found: list[Extractor] = []
    for kind in config.evaluation.frechet_extractors:
        if kind == INCEPTION:
            path = weights_path(root, INCEPTION, config.evaluation.inception_weights)
            found.append(InceptionFeatures(load_weights(path, INCEPTION), device))
        else:
            path = backbone_paths(root, config.stylex.perceptual_backbone).model
            found.append(BackboneFeatures(load_backbone(path, device)))
    return found


@contextmanager
def _handed_over(state: Mapping[str, Tensor]) -> Iterator[None]:
    """Give pytorch-fid these weights where its network would download and unpickle them, unverified."""
    from pytorch_fid import inception

    downloader = inception.load_state_dict_from_url
    inception.load_state_dict_from_url = lambda *_, **__: state
    try:
        yield
    finally:
        inception.load_state_dict_from_url = downloader
