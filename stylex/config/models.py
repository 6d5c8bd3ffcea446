"""The one definition of a suite and an experiment; workflow/schemas is generated from it and from `measuring`.

Values that a paper states are cited beside the preset that sets them, not here: hyperparameters live in config/ only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from stylex.config.analysis import (
    INCEPTION,
    REST,
    AttFindConfig,
    ClassName,
    EvaluationConfig,
    Section,
    StudyConfig,
    unknown_class,
    unknown_figure_class,
)
from stylex.config.finetuning import ClassifierConfig
from stylex.config.networks import NetworksConfig
from stylex.config.training import LossesConfig, TrainingConfig
from stylex.errors import ConfigError
from stylex.protocols import Protocol

NAME = r"^[a-z0-9][a-z0-9._-]*$"  # of the files of config/, and so of what is written
Name = Annotated[str, Field(pattern=NAME)]
Method = Literal["stylex", "without_cst"]  # without_cst: StylEx without classifier-specific training ([L] 4.2.3)
TableName = Literal[
    "classifiers",
    "samples",
    "sufficiency",
    "seeds",
    "paired",
    "subset",
    "frechet",
    "counterfactuals",
    "factors",
    "user_study",
]
OF_FLIPS = ("sufficiency", "seeds", "paired")  # tables for which a generator, a classifier and latents are enough


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
        if self.one_vs_rest == REST:
            raise ValueError(
                f"one_vs_rest: '{REST}' is what all other classes together are called: rename the class, or use classes"
            )
        return self

    @property
    def class_names(self) -> list[str] | None:
        """The classes in the order of their labels, where the configuration alone says them; None: all of a dataset."""
        return self.classes if self.one_vs_rest is None else [REST, self.one_vs_rest]


WITHOUT_CONDITION = {  # what conditioning none switches off
    "networks": {"condition_coordinates": None},
    "losses": {"classifier_noise": 0.0},
    "training": {"counterfactuals": 0.0, "mixed_conditions": 0.0, "told": "image"},
}


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
    perceptual: Literal["backbone", "lpips-alex", "lpips-vgg"] = Field(
        "backbone",
        description="Distance of L_rec: in the backbone's features, or LPIPS with that network's published weights.",
    )
    lpips_weights: str | None = Field(
        None, description="A copy of torchvision's AlexNet or VGG-16; default: downloaded to data/weights."
    )

    @property
    def lpips_network(self) -> Literal["alexnet", "vgg16"] | None:
        """The published weights that LPIPS needs, by name; None: it is not used."""
        networks: dict[str, Literal["alexnet", "vgg16"]] = {"lpips-alex": "alexnet", "lpips-vgg": "vgg16"}
        return networks.get(self.perceptual)

    @field_validator("perceptual_backbone")
    @classmethod
    def _own_name(cls, value: str) -> str:
        if value == INCEPTION:
            raise ValueError("in tables this name means pytorch-fid's network: give the backbone's file another one")
        return value

    @model_validator(mode="before")
    @classmethod
    def _without_condition(cls, content: Any) -> Any:
        """Switch off what is of the condition, where there is none: StylEx without it is the same in all else."""
        if not isinstance(content, Mapping) or content.get("conditioning") != "none":
            return content
        sections = {name: content.get(name) or {} for name in WITHOUT_CONDITION}
        if not all(isinstance(section, Mapping) for section in sections.values()):
            return content  # which another validator refuses
        return {**content, **{name: {**section, **WITHOUT_CONDITION[name]} for name, section in sections.items()}}

    @model_validator(mode="after")
    def _without_classifier(self) -> StylexConfig:
        if self.conditioning == "none" and (self.conditional_discriminator or self.losses.classifier):
            raise ValueError(
                "conditioning none is training without the classifier: "
                "set conditional_discriminator: false and losses.classifier: 0"
            )
        training = self.training
        if training.mixed_conditions and not self.networks.condition_coordinates:
            raise ValueError(
                "training.mixed_conditions is of networks.condition_coordinates: set them, or leave it out"
            )
        return self


class ExperimentConfig(Section):
    """One experiment: config/experiments/<name>.yaml with what it extends merged in."""

    title: str
    domain: str = Field(description="Name of the domain in our tables.")
    published_domain: str | None = Field(
        None, description="The domain of config/published/*.csv it reproduces, if any."
    )
    published_method: str | None = Field(
        None, description="The method of that domain it reproduces, where it is none of [L]'s, as 'Model 1' of [V]."
    )
    classifier_of: Name | None = Field(
        None, description="The experiment whose classifier is explained, in place of one trained for this."
    )
    released: Literal["latents", "effects"] | None = Field(
        None,
        description="Nothing is trained: networks and latents are those that the authors of [L] released, effects: and"
        " the effects that they measured, too; docs/released-model.md.",
    )
    released_images: Name | None = Field(
        None,
        description="A dataset of the layout ffhq: of the images that the released latents are of, found by their"
        " number. With it, Fréchet distances are measured; the images are not released.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    dataset: DatasetConfig
    classifier: ClassifierConfig
    stylex: StylexConfig
    attfind: AttFindConfig
    evaluation: EvaluationConfig
    study: StudyConfig = StudyConfig()

    @property
    def method(self) -> Method:
        """Whether the classifier takes part in the training of StylEx: our name of the rows of [L] Table 3."""
        return "without_cst" if self.stylex.conditioning == "none" else "stylex"

    def gives(self, table: TableName) -> bool:
        """Whether there are numbers for a table: of a released model there is no training, and may be no image."""
        if table == "frechet" and self.released_images:
            return True
        return self.released is None or table in OF_FLIPS

    @model_validator(mode="after")
    def _consistent(self) -> ExperimentConfig:
        side = self.dataset.resolution
        blocks = side.bit_length() - 2
        for network in ("generator", "encoder", "discriminator"):
            channels = self.stylex.networks.widths(network, side)
            if len(channels) != blocks:
                raise ValueError(
                    f"stylex.networks.{network}_channels has {len(channels)} entries, but resolution {side} needs"
                    f" {blocks} (4x4 up to {side}x{side})"
                )
        told, size = self.stylex.networks.condition_coordinates, self.stylex.networks.style_space(side)
        if told is not None and told >= size:
            raise ValueError(
                f"stylex.networks.condition_coordinates {told} leaves none of the {size} coordinates to w: lower it"
            )
        self._divisible_batch()
        most, limit = max(self.evaluation.sufficiency_k), self.attfind.max_attributes
        if most > limit:
            raise ValueError(
                f"evaluation.sufficiency_k goes up to {most}, but attfind.max_attributes is {limit}: raise the latter"
                " or leave out the larger k"
            )
        if max(self.evaluation.frechet_attributes, self.evaluation.figure_attributes) > self.attfind.max_attributes:
            raise ValueError("evaluation.frechet_attributes or figure_attributes goes beyond attfind.max_attributes")
        self._known_class()
        if self.released == "effects" and self.attfind.protocols != [Protocol.SAME_IMAGES]:
            raise ValueError(
                f"the released effects are of all images: set attfind.protocols: [{Protocol.SAME_IMAGES}], or released:"
                " latents to measure them anew"
            )
        self._images_of_released()
        return self

    def _images_of_released(self) -> None:
        if self.released_images is None:
            return
        if self.released is None:
            raise ValueError("released_images are those of a released model: leave it out, or add `released`")
        if self.evaluation.frechet_extractors != [INCEPTION]:
            raise ValueError(
                f"a released model has no backbone to measure with: set evaluation.frechet_extractors: [{INCEPTION}]"
            )

    def shown_class(self, known: Sequence[str]) -> str:
        """Return the class y of the figures of one class: evaluation.figure_class, or the last one that is a target.

        known: all classes in the order of their labels. Raises `ConfigError` when figure_class is none of them.
        """
        shown, against = self.evaluation.figure_class, self.attfind.against
        if shown is not None and shown not in known:
            raise ConfigError(unknown_figure_class(shown, known))
        return shown or [name for name in known if name != against][-1]

    def _known_class(self) -> None:
        against, known = self.attfind.against, self.dataset.class_names
        if known is not None and against is not None and against not in known:
            raise ValueError(unknown_class(against, known))
        shown = self.evaluation.figure_class
        if known is not None and shown is not None and shown not in known:
            raise ValueError(unknown_figure_class(shown, known))
        if shown is not None and shown == against:
            raise ValueError(
                f"evaluation.figure_class: '{shown}' has no attributes, as attfind.against compares all others with it:"
                " name another class, or leave attfind.against out"
            )

    def _divisible_batch(self) -> None:
        group, training = self.stylex.networks.minibatch_stddev_group, self.stylex.training
        if training.batch_size % (group * training.accumulation):
            parts = f" x accumulation {training.accumulation}" if training.accumulation > 1 else ""
            raise ValueError(
                f"stylex.training.batch_size {training.batch_size} is not a multiple of minibatch_stddev_group"
                f" {group}{parts}"
            )


class SuiteConfig(Section):
    """Experiments, and the tables and figures made of them: config/suites/<name>.yaml."""

    title: str
    experiments: list[Name] = Field(min_length=1)
    tables: list[TableName] = Field(min_length=1)
    next: Name | None = Field(None, description="The suite to try after it, which `stylex summary` names.")


class PipelineConfig(Section):
    """config/config.yaml: which suite `snakemake` builds."""

    suite: Name
