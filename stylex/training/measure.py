"""What the history records beside the losses: how well the averaged networks reconstruct held-out images."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from stylex.artifacts import atomic_path
from stylex.datasets import ImageSplit
from stylex.networks.model import StylexNetworks
from stylex.training.step import Judges

VALIDATION_IMAGES = 256
BATCH = 64
GRID_COLUMNS = 12


@torch.no_grad()
def measure(networks: StylexNetworks, judges: Judges, split: ImageSplit, device: str) -> dict[str, float]:
    """Return the mean L1 (in [-1, 1] units) and the fraction of reconstructions that keep the predicted class."""
    index = torch.arange(len(split))[:VALIDATION_IMAGES]
    distance, kept = 0.0, 0
    for part in index.split(BATCH):
        images = split.images(part).to(device)
        logits = judges.classifier(images)
        reconstructions = reconstruct(networks, images, logits)
        distance += (reconstructions - images).abs().mean(dim=(1, 2, 3)).sum().item()
        kept += int((judges.classifier(reconstructions).argmax(dim=1) == logits.argmax(dim=1)).sum())
    return {"val_l1": distance / len(index), "val_class_kept": kept / len(index)}


def reconstruct(networks: StylexNetworks, images: Tensor, logits: Tensor) -> Tensor:
    """Return G(E(x), c(x)) with fixed noise, clamped to [-1, 1]; images [N, C, H, W], logits [N, classes]."""
    styles = networks.synthesis.styles(networks.w_plus(networks.encoder(images), logits))
    return networks.synthesis.render(styles).clamp(-1, 1)


@torch.no_grad()
def write_samples(
    path: Path, networks: StylexNetworks, judges: Judges, split: ImageSplit, seed: int, device: str
) -> None:
    """Write a PNG of three rows: held-out originals, their reconstructions, samples from noise with the same c(x)."""
    index = torch.linspace(0, len(split) - 1, min(GRID_COLUMNS, len(split))).long()
    images = split.images(index).to(device)
    logits = judges.classifier(images)
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(len(index), networks.config.networks.latent_dim, generator=random).to(device)
    styles = networks.synthesis.styles(networks.w_plus(networks.mapping(z), logits))
    rows = [images, reconstruct(networks, images, logits), networks.synthesis.render(styles).clamp(-1, 1)]
    grid = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)
    pixels = ((grid + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()
    with atomic_path(path) as temporary:
        Image.fromarray(pixels.squeeze()).save(temporary, format="PNG")
