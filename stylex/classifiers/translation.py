"""Images moved by whole pixels, as the trainings of classifiers and of StylEx show them."""

from __future__ import annotations

import torch
from torch import Tensor


def translate(images: Tensor, shifts: Tensor) -> Tensor:
    """Move each image of [N, C, H, W] by its own shift [N, 2] (rows down, columns right; pixels), edges replicated."""
    height, width = images.shape[2:]
    rows = (torch.arange(height, device=images.device) - shifts[:, :1]).clamp(0, height - 1)  # [N, H]: source rows
    columns = (torch.arange(width, device=images.device) - shifts[:, 1:]).clamp(0, width - 1)  # [N, W]
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
