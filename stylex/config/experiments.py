"""An experiment.

Values that a paper states are cited beside the preset that sets them, not here: hyperparameters live in config/ only.
[L]: Lang et al. 2021; [V]: van der Vleuten et al. 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from stylex.config.analysis import AttFindConfig, EvaluationConfig, StudyConfig, unknown_class
from stylex.config.base import INCEPTION, Name, Protocol, Section
from stylex.config.datasets import DatasetConfig
from stylex.config.imported import AnyClassifier
from stylex.config.training import StylexConfig
from stylex.errors import ConfigError

Method = Literal["stylex", "without_cst"]  # without_cst: StylEx without classifier-specific training ([L] 4.2.3)
TableName = Literal[
    "classifiers", "samples", "sufficiency", "seeds", "paired", "subset", "frechet", "counterfactuals",
    "counterfactual_seeds", "factors", "user_study",
]  # fmt: skip
OF_FLIPS = ("sufficiency", "seeds", "paired")  # tables for which a generator, a classifier and latents are enough
# Verbs for a released model: nothing is trained, and its images are not here.
RELEASED_STAGES = ("convert-released", "attributes", "sufficiency", "maps", "figures")


class ExperimentConfig(Section):
    """One experiment: config/experiments/<name>.yaml with what it extends merged in."""

    title: str = Field(description="Heading in the report.")
    domain: str = Field(description="Name of the domain in our tables.")
    published_domain: str | None = Field(
        None,
        description="The domain of config/published/sufficiency.csv that it reproduces; its figures then stand in the"
        " column published. Leave it out unless dataset and classifier are the paper's.",
    )
    published_method: str | None = Field(
        None, description="The method of that domain, where it is none of [L]'s, as 'Model 1' of [V]."
    )
    classifier_of: Name | None = Field(
        None,
        description="The experiment whose classifier is explained, in place of one trained for this. The section"
        " classifier must be the same, and dataset but for its name: the images may be of another dataset with the same"
        " classes, as [V] explains FFHQ with a classifier of CelebA.",
    )
    released: Literal["latents", "effects"] | None = Field(
        None,
        description="Nothing is trained. latents: networks and latents are those that the authors of [L] released;"
        " effects: and the effects that they measured, too. docs/released-model.md has more.",
    )
    released_images: Name | None = Field(
        None,
        description="With released: a dataset of the layout ffhq that has the images of the released latents, found by"
        " their number. Fréchet distances are then measured; the images are not released.",
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(
        description="Of everything random: classifier, StylEx, subsets of KID."
    )
    dataset: DatasetConfig
    classifier: AnyClassifier
    stylex: StylexConfig
    attfind: AttFindConfig
    evaluation: EvaluationConfig
    study: StudyConfig = StudyConfig()

    @property
    def method(self) -> Method:
        """Whether the classifier takes part in the training of StylEx: our name of the rows of [L] Table 3."""
        return "without_cst" if self.stylex.conditioning == "none" else "stylex"

    def runs(self, stage: str) -> bool:
        """Whether a stage, by its verb, is run for this kind of experiment: trained here, or a released model.

        Of a released model, effects are measured unless they are released, too, and Fréchet distances where its images
        are known.
        """
        if stage == "frechet" and self.released_images is not None:
            return True
        if self.released is None:
            return stage != "convert-released"
        return stage in RELEASED_STAGES or (stage == "effects" and self.released == "latents")

    def gives(self, table: TableName) -> bool:
        """Whether there are numbers for a table: of a released model there is no training, and may be no image."""
        if table == "factors":
            return self.evaluation.factor_regressor is not None
        return table in OF_FLIPS or self.runs(table)

    @model_validator(mode="after")
    def _sizes_fit(self) -> ExperimentConfig:
        networks, training, side = self.stylex.networks, self.stylex.training, self.dataset.resolution
        blocks = side.bit_length() - 2
        for network in ("generator", "encoder", "discriminator"):
            if (given := len(networks.widths(network, side))) != blocks:
                raise ValueError(
                    f"stylex.networks.{network}_channels has {given} entries, but resolution {side} needs {blocks}"
                    f" (4x4 up to {side}x{side})"
                )
        told, size = networks.condition_coordinates, networks.style_space(side)
        if told is not None and told >= size:
            raise ValueError(
                f"stylex.networks.condition_coordinates {told} leaves none of the {size} coordinates to w: lower it"
            )
        if training.batch_size % (networks.minibatch_stddev_group * training.accumulation):
            parts = f" x accumulation {training.accumulation}" if training.accumulation > 1 else ""
            raise ValueError(
                f"stylex.training.batch_size {training.batch_size} is not a multiple of minibatch_stddev_group"
                f" {networks.minibatch_stddev_group}{parts}"
            )
        return self

    @model_validator(mode="after")
    def _attributes_suffice(self) -> ExperimentConfig:
        evaluation, limit = self.evaluation, self.attfind.max_attributes
        if (most := max(evaluation.sufficiency_k)) > limit:
            raise ValueError(
                f"evaluation.sufficiency_k goes up to {most}, but attfind.max_attributes is {limit}: raise the latter"
                " or leave out the larger k"
            )
        if max(evaluation.frechet_attributes, evaluation.figure_attributes) > limit:
            raise ValueError("evaluation.frechet_attributes or figure_attributes goes beyond attfind.max_attributes")
        return self

    @model_validator(mode="after")
    def _classes_known(self) -> ExperimentConfig:
        shown, against, known = self.evaluation.figure_class, self.attfind.against, self.dataset.class_names
        if known is not None and against is not None and against not in known:
            raise ValueError(unknown_class(against, known))
        if known is not None and shown is not None and shown not in known:
            raise ValueError(_unknown_shown(shown, known))
        if shown is not None and shown == against:
            raise ValueError(
                f"evaluation.figure_class: '{shown}' has no attributes, as attfind.against compares all others with it:"
                " name another class, or leave attfind.against out"
            )
        return self

    @model_validator(mode="after")
    def _released_as_a_whole(self) -> ExperimentConfig:
        if self.released == "effects" and self.attfind.protocols != [Protocol.SAME_IMAGES]:
            raise ValueError(
                f"the released effects are of all images: set attfind.protocols: [{Protocol.SAME_IMAGES}], or released:"
                " latents to measure them anew"
            )
        if self.released and self.classifier.imported:
            raise ValueError("a released model has a classifier of its own: leave out classifier.file, or `released`")
        if self.released_images is not None and self.released is None:
            raise ValueError("released_images are those of a released model: leave it out, or add `released`")
        if self.released_images is not None and self.evaluation.frechet_extractors != [INCEPTION]:
            raise ValueError(
                f"a released model has no backbone to measure with: set evaluation.frechet_extractors: [{INCEPTION}]"
            )
        return self

    def shown_class(self, known: Sequence[str]) -> str:
        """Return the class y of the figures of one class: evaluation.figure_class, or the last one that is a target.

        known: all classes in the order of their labels. Raises `ConfigError` when figure_class is none of them.
        """
        shown, against = self.evaluation.figure_class, self.attfind.against
        if shown is not None and shown not in known:
            raise ConfigError(_unknown_shown(shown, known))
        return shown or [name for name in known if name != against][-1]


def _unknown_shown(shown: str, known: Sequence[str]) -> str:
    return f"evaluation.figure_class: unknown class '{shown}'; choose one of {', '.join(known)}"
