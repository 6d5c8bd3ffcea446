"""How the learning rates rise and fall over a training."""

from __future__ import annotations

from stylex.config import TrainingConfig


def rate_factor(training: TrainingConfig, images: int) -> float:
    """Return what the learning rates are multiplied by in the step that follows `images` images, in (0, 1].

    A linear rise over the first `warmup_images`, and a linear fall towards 0 over the last part `decay` of all.
    """
    rise = (images + training.batch_size) / training.warmup_images if training.warmup_images else 1.0
    fall = (1 - images / training.images) / training.decay if training.decay else 1.0
    return min(1.0, rise, fall)
