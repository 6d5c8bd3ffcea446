"""What the history records beside the losses: how well the averaged networks reconstruct held-out images."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from stylex.artifacts import atomic_path
from stylex.datasets import ImageSplit, analysis_indices
from stylex.distances import frechet_distance, moments
from stylex.networks.model import StylexNetworks
from stylex.quantization import to_uint8
from stylex.training.sampler import FrozenNetworks

VALIDATION_IMAGES = 256
BATCH = 64
GRID_COLUMNS = 12


class Validation:
    """Validation images, chosen evenly as the analysed ones are, with the outputs of the frozen networks."""

    @torch.no_grad()
    def __init__(self, split: ImageSplit, frozen: FrozenNetworks, device: str) -> None:
        self.split, self.frozen, self.device = split, frozen, device
        self.images = split.images(analysis_indices(split.labels, VALIDATION_IMAGES)).to(device)
        self.logits = torch.cat([frozen.classifier(part) for part in self.images.split(BATCH)])
        self.moments = moments(self._embed(self.images))

    @torch.no_grad()
    def measure(self, networks: StylexNetworks) -> dict[str, float]:
        """Return the columns val_* of the history.

        The mean L1 (in [-1, 1] units), the fraction of reconstructions that keep the predicted class, and the Fréchet
        distance between images and reconstructions in the backbone's features.
        """
        parts = zip(self.images.split(BATCH), self.logits.split(BATCH), strict=True)
        reconstructions = torch.cat([reconstruct(networks, *part) for part in parts])
        logits = torch.cat([self.frozen.classifier(part) for part in reconstructions.split(BATCH)])
        return {
            "val_l1": float((reconstructions - self.images).abs().mean()),
            "val_class_kept": float((logits.argmax(dim=1) == self.logits.argmax(dim=1)).double().mean()),
            "val_frechet_distance": frechet_distance(*self.moments, *moments(self._embed(reconstructions))),
        }

    @torch.no_grad()
    def write_samples(self, path: Path, networks: StylexNetworks, seed: int) -> None:
        """Write a PNG of three rows: originals, their reconstructions, samples from noise with the same c(x)."""
        images = self.split.images(analysis_indices(self.split.labels, GRID_COLUMNS)).to(self.device)
        logits = self.frozen.classifier(images)
        random = torch.Generator().manual_seed(seed)
        z = torch.randn(len(images), networks.config.networks.latent_dim, generator=random).to(self.device)
        styles = networks.synthesis.styles(networks.w_plus(networks.mapping(z), logits))
        rows = [images, reconstruct(networks, images, logits), networks.synthesis.render(styles)]
        grid = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
        pixels = to_uint8(grid).permute(1, 2, 0).cpu().numpy()
        with atomic_path(path) as temporary:
            Image.fromarray(pixels.squeeze()).save(temporary, format="PNG")

    def _embed(self, images: Tensor) -> Tensor:
        return torch.cat([self.frozen.backbone.embedding(part) for part in images.split(BATCH)]).cpu()


def reconstruct(networks: StylexNetworks, images: Tensor, logits: Tensor) -> Tensor:
    """Return G(E(x), c(x)) with fixed noise; images [N, C, H, W] in [-1, 1], logits [N, classes]."""
    styles = networks.synthesis.styles(networks.w_plus(networks.encoder(images), logits))
    return networks.synthesis.render(styles)
