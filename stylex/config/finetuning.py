"""How convolutional networks are trained or fine-tuned: classifiers, and those that measure (a file of config/ each).

[V]: van der Vleuten et al. 2022.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from stylex.config.base import Count, Fraction, Name, Positive, Rate, Resolution, Section, Weight

TIMM = "timm:"  # before the name of a model of the package timm
ARCHITECTURES = ("resnet18", "mobilenet_v2", "mobilenet_v1", "mobilenet_v1_relu")
OF_IMAGENET = ("resnet18", "mobilenet_v2")  # torchvision publishes weights of these
FULL_STEM = 128  # pixels from which `stem: auto` is the published one
IMAGENET, NOTHING = "imagenet", "none"  # of `pretrained`; anything else is a file
Stem = Literal["small", "published"]


def known_architecture(value: str) -> str:
    """Reject a name that is neither ours nor one of timm's, whose own names are checked where timm is needed."""
    if value in ARCHITECTURES or (value.startswith(TIMM) and value != TIMM):
        return value
    known = ", ".join(f"'{name}'" for name in ARCHITECTURES)
    raise ValueError(f"unknown architecture; choose one of {known}, or '{TIMM}<name>' for a model of timm")


Architecture = Annotated[
    str,
    AfterValidator(known_architecture),
    Field(json_schema_extra={"anyOf": [{"enum": list(ARCHITECTURES)}, {"pattern": f"^{TIMM}."}]}),
]


class FineTuningConfig(Section):
    """Supervised training of a convolutional network."""

    architecture: Architecture = Field(
        "resnet18",
        description=f"One of these, or {TIMM}<name> for a model of timm. mobilenet_v1_relu is the released model's,"
        " with ReLU for ReLU6. docs/classifiers.md has more on each.",
    )
    epochs: Positive = Field(
        description="Epochs of training. The one with the best balanced accuracy on validation images is kept; of"
        " several such, or of a regressor, the one with the lowest loss."
    )
    batch_size: Positive = Field(description="Images a step.")
    learning_rate: Rate = Field(description="Learning rate; with one_cycle, its peak.")
    weight_decay: Weight = Field(0.0, description="Weight decay of the optimiser.")
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Share of each label spread over all classes."
    )
    max_translation: Count = Field(0, description="Random shift of training images, in pixels.")
    max_images: Positive | None = Field(
        None, description="Images an epoch at the most, drawn anew each time. Without it: all."
    )
    max_val_images: Positive | None = Field(
        None, description="Validation images by which the best epoch is chosen, at the most. Without it: all."
    )
    width: Annotated[float, Field(gt=0, le=4)] = Field(1.0, description="Multiplier of all channel counts.")
    stem: Literal["auto", "small", "published"] = Field(
        "auto",
        description="small: the first two halvings are left out, for images of 32 or 64 pixels; published: they are"
        f" not; auto: published from {FULL_STEM} pixels up, for timm's models, and with pretrained weights.",
    )
    pretrained: str = Field(
        NOTHING,
        min_length=1,
        description="none: from scratch; imagenet: torchvision's weights, downloaded; or a file of weights in the"
        " layout of the published ones, relative to the project's folder or absolute.",
    )
    epochs_per_stage: Positive | None = Field(
        None,
        description="Gradual unfreezing ([V] 4.3): the head alone for so many epochs, then one stage more from the top"
        " every so many. Without it: everything learns from the start.",
    )
    optimizer: Literal["adamw", "adam"] = Field("adamw", description="AdamW, or Adam as in [V].")
    schedule: Literal["one_cycle", "constant"] = Field(
        "one_cycle", description="Of the learning rate: up to its peak and down again, or always the same."
    )
    balance: Literal["none", "loss", "sampling"] = Field(
        "none", description="Classes are weighted by their inverse frequency: in the loss, or in what is drawn."
    )
    patience: Count | None = Field(
        None,
        description="Epochs without improvement on validation images after which training ends. Without it, or 0:"
        " never.",
    )

    @property
    def label(self) -> str:
        """What the report calls the network."""
        return self.architecture

    @property
    def imagenet_weights(self) -> str | None:
        """The published weights that training starts from, by name; None: from scratch, or from a given file."""
        return self.architecture if self.pretrained == IMAGENET else None

    @property
    def initial_file(self) -> str | None:
        """The file of weights that training starts from, where one is given."""
        return None if self.pretrained in (IMAGENET, NOTHING) else self.pretrained

    @property
    def published_inputs(self) -> bool:
        """Whether the network's first step makes of an image what its published weights want."""
        return self.pretrained != NOTHING

    def stem_at(self, resolution: int) -> Stem:
        """Return the stem of a network for images of `resolution` pixels."""
        if self.stem != "auto":
            return self.stem
        whole = self.pretrained != NOTHING or self.architecture.startswith(TIMM) or resolution >= FULL_STEM
        return "published" if whole else "small"

    @model_validator(mode="after")
    def _fitting(self) -> FineTuningConfig:
        if self.pretrained == IMAGENET and self.architecture not in OF_IMAGENET:
            raise ValueError(
                f"pretrained: imagenet is published for {' and '.join(OF_IMAGENET)}, not for {self.architecture}: give"
                " a file of weights, or none"
            )
        if self.width != 1 and (self.pretrained == IMAGENET or self.architecture.startswith(TIMM)):
            whose = "torchvision's weights" if self.pretrained == IMAGENET else "timm's models"
            raise ValueError(f"width = {self.width:g} does not go with {whose}: set width: 1")
        if self.stem == "small" and (self.pretrained != NOTHING or self.architecture.startswith(TIMM)):
            raise ValueError("stem: small goes with our own networks trained from scratch only: set stem: auto")
        if self.epochs_per_stage is not None and self.pretrained == NOTHING:
            raise ValueError("epochs_per_stage would freeze random weights: set pretrained, or leave it out")
        return self


class ClassifierConfig(FineTuningConfig):
    """The classifier to be explained."""

    imported: ClassVar[bool] = False

    min_accuracy: Fraction = Field(
        0.0,
        description="Balanced accuracy on validation images below which the experiment stops ([L] 4: 0.95). The test"
        " split is measured, and decides nothing.",
    )


class MeasuringConfig(FineTuningConfig):
    """A network that measures, in a file of its own."""

    dataset: Name = Field(description="The dataset of its images.")
    resolution: Resolution = Field(description="Side of its images in pixels: that of the experiments that use it.")
    seed: int = Field(0, description="Of its weights and of the order of its images.")


class BackboneConfig(MeasuringConfig):
    """A network trained on all images of a dataset, for perceptual and Fréchet distances: config/backbones/<name>.yaml.

    It is never what is explained.
    """

    labels: Literal["classes", "factors"] = Field(
        "classes",
        description="What it is trained to tell. classes: all classes of the dataset; factors: the halves in which all"
        " known factors lie, of a dataset that has some, as leaves and emoji (2^F classes).",
    )

    @field_validator("architecture")
    @classmethod
    def _with_maps(cls, value: str) -> str:
        if value.startswith(TIMM):
            raise ValueError("a backbone gives maps of four stages, which timm's models have not here: name another")
        return value


class OracleConfig(MeasuringConfig):
    """A classifier of all classes of a dataset that is asked what counterfactuals show: config/oracles/<name>.yaml.

    It takes no part in any training. Let it differ from backbone and classifier in seed and architecture: their weights
    are refused.
    """

    seed: int = Field(1, description="Of its weights and of the order of its images.")


class RegressorConfig(MeasuringConfig):
    """A network that tells the known factors of a drawn dataset from an image: config/regressors/<name>.yaml.

    It has no classes, so that label_smoothing and balance stay what they are.
    """

    @field_validator("label_smoothing", "balance")
    @classmethod
    def _no_classes(cls, value: float | str, info: ValidationInfo) -> float | str:
        if value not in (0, "none"):
            what = "labels to smooth" if info.field_name == "label_smoothing" else "classes to balance"
            raise ValueError(f"a regressor has no {what}: leave it out")
        return value
