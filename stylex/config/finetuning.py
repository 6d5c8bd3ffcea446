"""How convolutional networks are trained or fine-tuned: classifiers, and those that measure (a file of config/ each).

[V]: van der Vleuten et al. 2022.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from stylex.config.base import Name, Positive, Rate, Resolution, Section, Weight

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

    architecture: Architecture = "resnet18"
    epochs: Positive
    batch_size: Positive
    learning_rate: Rate
    weight_decay: Weight = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    max_translation: Annotated[int, Field(ge=0)] = Field(0, description="Random shift of training images, pixels.")
    max_images: Positive | None = Field(None, description="Images an epoch at the most, drawn anew; default: all.")
    max_val_images: Positive | None = Field(
        None, description="Validation images by which the best epoch is chosen, at the most; default: all."
    )
    width: Annotated[float, Field(gt=0, le=4)] = Field(1.0, description="Multiplier of all channel counts.")
    stem: Literal["auto", "small", "published"] = Field(
        "auto",
        description="small: the first two halvings are left out, for images of 32 or 64 pixels; auto: published from"
        f" {FULL_STEM} pixels up, and with pretrained weights.",
    )
    pretrained: str = Field(
        NOTHING,
        min_length=1,
        description="imagenet: torchvision's weights, downloaded; a file: weights in the layout of the published ones;"
        " none: from scratch.",
    )
    epochs_per_stage: Positive | None = Field(
        None,
        description="Gradual unfreezing ([V] 4.3): the head alone for so many epochs, then one stage more from the top"
        " every so many; default: everything from the start.",
    )
    optimizer: Literal["adamw", "adam"] = "adamw"
    schedule: Literal["one_cycle", "constant"] = Field("one_cycle", description="one_cycle: learning_rate is the peak.")
    balance: Literal["none", "loss", "sampling"] = Field(
        "none", description="Classes weighted by their inverse frequency: in the loss, or in what is drawn."
    )
    patience: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Epochs without improvement on validation images before training ends; default, 0: never."
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

    min_accuracy: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="Balanced accuracy on validation images below which the experiment stops; [L] 4 asks for 0.95."
    )


class BackboneConfig(FineTuningConfig):
    """A network trained on all images of a dataset, for perceptual and Fréchet distances; never what is explained."""

    dataset: Name
    resolution: Resolution
    seed: int = 0
    labels: Literal["classes", "factors"] = Field(
        "classes", description="factors: of a drawn dataset, the halves in which all known factors lie (2^F classes)."
    )

    @field_validator("architecture")
    @classmethod
    def _with_maps(cls, value: str) -> str:
        if value.startswith(TIMM):
            raise ValueError("a backbone gives maps of four stages, which timm's models have not here: name another")
        return value


class OracleConfig(FineTuningConfig):
    """A classifier of all classes of a dataset that is asked what counterfactuals show: config/oracles/<name>.yaml.

    It takes no part in any training, and it is neither a backbone nor what is explained.
    """

    dataset: Name
    resolution: Resolution
    seed: int = 1


class RegressorConfig(FineTuningConfig):
    """A network that tells the known factors of a drawn dataset from an image: config/regressors/<name>.yaml."""

    dataset: Name
    resolution: Resolution
    seed: int = 0

    @field_validator("label_smoothing", "balance")
    @classmethod
    def _no_classes(cls, value: float | str, info: ValidationInfo) -> float | str:
        if value not in (0, "none"):
            what = "labels to smooth" if info.field_name == "label_smoothing" else "classes to balance"
            raise ValueError(f"a regressor has no {what}: leave it out")
        return value
