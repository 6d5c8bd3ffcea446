"""The one definition of a suite, an experiment and a backbone; workflow/schemas is generated from it.

Values that a paper states are cited beside the preset that sets them, not here: hyperparameters live in config/ only.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
ClassName = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value)]
Positive = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, le=1)]
Precision = Literal["float32", "bfloat16"]
Split = Literal["train", "val", "test"]


class Section(BaseModel):
    """A part of a configuration file: immutable, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def digest(self) -> str:
        """Return the first 16 hex digits of the sha256 of the canonical JSON form."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:16]


def power_of_two(value: int) -> int:
    """Reject an image side that StyleGAN2 cannot build by doubling 4x4."""
    if value < 8 or value & (value - 1):
        raise ValueError(
            f"resolution must be a power of two, at least 8: try {max(8, 1 << max(value, 1).bit_length())}"
        )
    return value


Resolution = Annotated[int, Field(le=1024), BeforeValidator(lambda v: power_of_two(v) if isinstance(v, int) else v)]


class DatasetConfig(Section):
    """Which images, and which question is asked of them."""

    name: Name = Field(description="A dataset of the catalog (see `stylex datasets`).")
    resolution: Resolution = Field(description="Side of the prepared square images in pixels.")
    classes: list[ClassName] | None = Field(None, description="Two or more class names; default: all classes.")
    one_vs_rest: ClassName | None = Field(None, description="One class against all others, instead of `classes`.")

    @field_validator("classes")
    @classmethod
    def _at_least_two(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and len(set(value)) < 2:
            raise ValueError("a classifier needs at least two different classes: add one, or use one_vs_rest")
        if value is not None and len(set(value)) != len(value):
            raise ValueError("a class is listed twice: remove one")
        return value

    @model_validator(mode="after")
    def _one_question(self) -> DatasetConfig:
        if self.classes is not None and self.one_vs_rest is not None:
            raise ValueError("classes and one_vs_rest exclude each other: remove one of them")
        return self


class FineTuningConfig(Section):
    """Supervised training of a convolutional network."""

    architecture: Literal["resnet18", "mobilenet_v2"] = "resnet18"
    epochs: Positive
    batch_size: Positive
    learning_rate: Rate
    weight_decay: Weight = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    max_translation: Annotated[int, Field(ge=0)] = Field(0, description="Random shift of training images, pixels.")
    max_images: Positive | None = Field(None, description="Images an epoch at the most, drawn anew; default: all.")
    width: Annotated[float, Field(gt=0, le=4)] = Field(1.0, description="Multiplier of all channel counts.")


class ClassifierConfig(FineTuningConfig):
    """The classifier to be explained."""

    min_accuracy: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="Test accuracy below which the experiment stops; [L] 4 asks for 0.95."
    )


class BackboneConfig(FineTuningConfig):
    """A network trained on all classes of a dataset, for perceptual and Fréchet distances; never what is explained."""

    dataset: Name
    resolution: Resolution
    seed: int = 0


class NetworksConfig(Section):
    """Widths and depths of the generator, encoder, discriminator and mapping network."""

    latent_dim: Positive = Field(description="Dimension of z and of w.")
    mapping_layers: Positive
    mapping_lr_multiplier: Rate
    generator_channels: list[Positive] = Field(description="Channels at 4x4, 8x8, … up to the image's resolution.")
    encoder_channels: list[Positive]
    discriminator_channels: list[Positive]
    minibatch_stddev_group: Positive
    downsampling: Literal["fir", "box"] = Field(
        "fir", description="fir: StyleGAN2's filter in D and E; box: 2x2 means."
    )


class LossesConfig(Section):
    """Weights of the terms of L_adv + L_reg + L_rec + L_cls ([L] 3.2)."""

    r1_gamma: Weight
    r1_interval: Positive = Field(description="Discriminator steps between two applications.")
    path_length: Weight
    path_length_interval: Positive = Field(description="Generator steps between two applications.")
    path_length_decay: Rate
    reconstruction_x: Weight
    reconstruction_perceptual: Weight
    reconstruction_w: Weight
    classifier: Weight
    classifier_divergence: Literal["forward", "reverse"] = Field(
        "forward", description="forward: KL(C(x') || C(x)) as [L] 3.2; reverse: KL(C(x) || C(x'))."
    )


class TrainingConfig(Section):
    """Budget, optimiser and bookkeeping of StylEx training."""

    images: Positive = Field(description="Real images shown to the generator in all (an image counts each time).")
    batch_size: Positive
    learning_rate: Rate
    encoder_learning_rate: Rate
    beta1: Annotated[float, Field(ge=0, lt=1)]
    beta2: Annotated[float, Field(ge=0, lt=1)]
    ema_half_life: Positive = Field(description="In images.")
    style_mixing: Annotated[float, Field(ge=0, le=1)] = Field(description="Probability of mixing two latents.")
    alternating: bool = Field(True, description="Alternate encoder and noise steps; false: encoder steps only.")
    augment: list[Literal["translation", "cutout"]] = Field([], description="DiffAugment of what D sees.")
    max_translation: Annotated[int, Field(ge=0)] = Field(0, description="Random shift of real images, pixels.")
    precision: Precision = "float32"
    checkpoint_interval: Positive = Field(description="Images between two checkpoints.")
    sample_interval: Positive = Field(description="Images between two rows of the history.")


class StylexConfig(Section):
    """The generator, its conditioning and its training."""

    conditioning: Literal["probabilities", "logits", "none"] = Field(
        description="c in w_plus = concat(w, c); none: StylEx without classifier-specific training."
    )
    conditional_discriminator: bool = Field(description="D(x, p) = sum_k p_k D_k(x) ([V] 4.1); false: one output.")
    networks: NetworksConfig
    losses: LossesConfig
    training: TrainingConfig
    perceptual_backbone: Name = Field(description="A file of config/backbones, without its ending.")

    @model_validator(mode="after")
    def _without_classifier(self) -> StylexConfig:
        if self.conditioning == "none" and (self.conditional_discriminator or self.losses.classifier):
            raise ValueError(
                "conditioning none is training without the classifier: "
                "set conditional_discriminator: false and losses.classifier: 0"
            )
        return self


class AttFindConfig(Section):
    """Algorithm 1 of [L] and how its effects are measured."""

    split: Split = "test"
    images: Annotated[int, Field(ge=2)] = Field(
        description="Images analysed at the most, spread evenly over the classes."
    )
    shift: Annotated[float, Field(gt=0, le=10)] = Field(
        description="A coordinate moves by shift x (extreme - coordinate)."
    )
    max_attributes: Positive = Field(description="M of Algorithm 1, for each target class.")
    threshold: float = Field(description="t of Algorithm 1, in logits: an image with a larger effect is explained.")
    batch_size: Positive
    precision: Precision = "float32"


class EvaluationConfig(Section):
    """Sufficiency ([L] 4.2.3) and Fréchet curve ([V] 5.2)."""

    sufficiency_k: list[Positive]
    frechet_attributes: Annotated[int, Field(ge=0)]
    figure_attributes: Positive = Field(description="Attributes in the figure of top attributes.")
    batch_size: Positive


class ExperimentConfig(Section):
    """One experiment: config/experiments/<name>.yaml with what it extends merged in."""

    title: str
    domain: str = Field(description="Name of the domain in our tables.")
    published_domain: str | None = Field(
        None, description="The domain of config/published/*.csv it reproduces, if any."
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    dataset: DatasetConfig
    classifier: ClassifierConfig
    stylex: StylexConfig
    attfind: AttFindConfig
    evaluation: EvaluationConfig

    @model_validator(mode="after")
    def _consistent(self) -> ExperimentConfig:
        blocks = self.dataset.resolution.bit_length() - 2
        for key in ("generator_channels", "encoder_channels", "discriminator_channels"):
            channels = getattr(self.stylex.networks, key)
            if len(channels) != blocks:
                raise ValueError(
                    f"stylex.networks.{key} has {len(channels)} entries, but resolution {self.dataset.resolution}"
                    f" needs {blocks} (4x4 up to {self.dataset.resolution}x{self.dataset.resolution})"
                )
        group, batch = self.stylex.networks.minibatch_stddev_group, self.stylex.training.batch_size
        if batch % group:
            raise ValueError(f"stylex.training.batch_size {batch} is not a multiple of minibatch_stddev_group {group}")
        if max(self.evaluation.sufficiency_k) > self.attfind.max_attributes:
            raise ValueError("evaluation.sufficiency_k goes beyond attfind.max_attributes: raise the latter")
        if max(self.evaluation.frechet_attributes, self.evaluation.figure_attributes) > self.attfind.max_attributes:
            raise ValueError("evaluation.frechet_attributes or figure_attributes goes beyond attfind.max_attributes")
        return self


class SuiteConfig(Section):
    """Experiments, and the tables and figures made of them: config/suites/<name>.yaml."""

    title: str
    experiments: list[Name] = Field(min_length=1)
    tables: list[Literal["classifiers", "sufficiency", "frechet"]] = Field(min_length=1)


class PipelineConfig(Section):
    """config/config.yaml: which suite `snakemake` builds."""

    suite: Name
