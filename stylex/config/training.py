"""What a StylEx training minimises, and by which optimiser and budget.

Part of the one definition of an experiment in `stylex.config.models`; [L]: Lang et al. 2021.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from stylex.config.analysis import Positive, Precision, Rate, Section, Weight


class LossesConfig(Section):
    """Weights of the terms of L_adv + L_reg + L_rec + L_cls ([L] 3.2)."""

    adversarial: Literal["logistic", "hinge"] = Field("logistic", description="logistic: non-saturating, StyleGAN2.")
    r1_gamma: Weight
    r1_interval: Positive = Field(description="Discriminator steps between two applications.")
    path_length: Weight
    path_length_interval: Positive = Field(description="Generator steps between two applications.")
    path_length_decay: Rate
    reconstruction_x: Weight
    reconstruction_perceptual: Weight
    reconstruction_w: Weight
    classifier: Weight
    mapping: Weight = Field(
        0.0, description="Of the energy distance between M(z) and E(x), by which M learns what w is of an image."
    )
    classifier_noise: Weight = Field(
        0.0, description="Of the divergence from what the generator was told, on noise steps, where [L] has none."
    )
    classifier_divergence: Literal["forward", "reverse"] = Field(
        "forward", description="forward: KL(C(x') || C(x)) as [L] 3.2; reverse: KL(C(x) || C(x'))."
    )


class DevicePrecision(Section):
    """Number format of the convolutions on each kind of device; weights, styles and losses are always float32."""

    cpu: Precision = "float32"
    cuda: Precision = "float32"


class TrainingConfig(Section):
    """Budget, optimiser and bookkeeping of StylEx training."""

    images: Positive = Field(description="Real images shown to the generator in all (an image counts each time).")
    batch_size: Positive = Field(description="Images a step, over all processes.")
    accumulation: Positive = Field(1, description="Parts in which each process takes its share of a batch.")
    learning_rate: Rate
    encoder_learning_rate: Rate
    discriminator_learning_rate: Rate | None = Field(None, description="Default: learning_rate.")
    beta1: Annotated[float, Field(ge=0, lt=1)]
    generator_beta1: Annotated[float, Field(ge=0, lt=1)] | None = Field(None, description="Of G, M, E; default: beta1.")
    beta2: Annotated[float, Field(ge=0, lt=1)]
    warmup_images: Annotated[int, Field(ge=0)] = Field(
        0, description="The learning rates rise linearly over as many images at the beginning."
    )
    decay: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="Last part of the training over which the learning rates fall linearly to 0."
    )
    ema_half_life: Positive = Field(description="In images.")
    style_mixing: Annotated[float, Field(ge=0, le=1)] = Field(description="Probability of mixing two latents.")
    counterfactuals: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0,
        description="Part of the fakes of a noise step that are made of an image's w and of its condition with the"
        " answers for its class and another exchanged: what an explanation will do to it.",
    )
    mixed_conditions: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0,
        description="Probability that the condition_coordinates of a fake of a noise step take now this condition, now"
        " the exchanged one, so that D sees what single moves of them draw.",
    )
    told: Literal["image", "fake"] = Field(
        "image", description="Whose answer of the classifier D is told of a fake: the image's ([L]), or the fake's own."
    )
    autoencoder_images: Annotated[int, Field(ge=0)] = Field(
        0, description="The first images of all train G and E as an autoencoder: on pixels alone, without C and D."
    )
    alternating: bool = Field(True, description="Alternate encoder and noise steps; false: encoder steps only.")
    augment: list[Literal["translation", "cutout"]] = Field([], description="DiffAugment of what D sees.")
    max_translation: Annotated[int, Field(ge=0)] = Field(0, description="Random shift of real images, pixels.")
    precision: DevicePrecision = DevicePrecision()
    cache_mib: Annotated[int, Field(ge=0)] = Field(
        512, description="Memory for the perceptual features of the real images, if all of them fit."
    )
    compile: bool = Field(False, description="torch.compile the generator: pays after some thousand steps.")
    checkpoint_interval: Positive = Field(description="Images between two checkpoints.")
    sample_interval: Positive = Field(description="Images between two rows of the history.")

    @model_validator(mode="after")
    def _adversarial(self) -> TrainingConfig:
        if self.autoencoder_images >= self.images:
            raise ValueError(
                f"autoencoder_images {self.autoencoder_images} leaves none of the {self.images} images to the"
                " discriminator: lower it, or raise images"
            )
        return self
