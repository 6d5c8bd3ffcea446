"""What changes over a training, by the images that it has seen: the learning rates, and whether it is adversarial."""

from __future__ import annotations

from stylex.config import TrainingConfig


def rates(training: TrainingConfig) -> dict[str, float]:
    """Return the highest learning rate of each optimised part: of G and M, of E, of D."""
    return {
        "learning_rate": training.learning_rate,
        "encoder_learning_rate": training.encoder_learning_rate,
        "discriminator_learning_rate": training.discriminator_learning_rate or training.learning_rate,
    }


def rate_factor(training: TrainingConfig, images: int) -> float:
    """Return what the learning rates are multiplied by in the step that follows `images` images, in (0, 1].

    A linear rise over the first `warmup_images`, and a linear fall towards 0 over the last part `decay` of all.
    """
    rise = (images + training.batch_size) / training.warmup_images if training.warmup_images else 1.0
    fall = (1 - images / training.images) / training.decay if training.decay else 1.0
    return min(1.0, rise, fall)


def adversarial(training: TrainingConfig, images: int) -> bool:
    """Whether the step that follows `images` images has all losses, and is not of an autoencoder."""
    return images >= training.autoencoder_images
