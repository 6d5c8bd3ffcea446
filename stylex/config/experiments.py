"""The one definition of an experiment and a suite; workflow/schemas is generated from it and from its parts.

Values that a paper states are cited beside the preset that sets them, not here: hyperparameters live in config/ only.
[L]: Lang et al. 2021; [N]: its authors' notebook; [V]: van der Vleuten et al. 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from stylex.config.base import (
    INCEPTION,
    TOP,
    ClassName,
    Name,
    Positive,
    Precision,
    Section,
    Split,
    Weight,
    each_once,
)
from stylex.config.datasets import DatasetConfig
from stylex.config.imported import AnyClassifier
from stylex.config.training import StylexConfig
from stylex.errors import ConfigError
from stylex.protocols import Protocol

Method = Literal["stylex", "without_cst"]  # without_cst: StylEx without classifier-specific training ([L] 4.2.3)
TableName = Literal[
    "classifiers", "samples", "sufficiency", "seeds", "paired", "subset", "frechet", "counterfactuals", "factors",
    "user_study",
]  # fmt: skip
OF_FLIPS = ("sufficiency", "seeds", "paired")  # tables for which a generator, a classifier and latents are enough
# Verbs for a released model: nothing is trained, and its images are not here.
RELEASED_STAGES = ("convert-released", "attributes", "sufficiency", "maps", "figures")


def unknown_class(against: str, known: Sequence[str]) -> str:
    """Compose the message for an attfind.against that is no class of the experiment."""
    return f"attfind.against: unknown class '{against}'; choose one of {', '.join(known)}, or leave it out"


def unknown_figure_class(shown: str, known: Sequence[str]) -> str:
    """Compose the message for an evaluation.figure_class that is no class of the experiment."""
    return f"evaluation.figure_class: unknown class '{shown}'; choose one of {', '.join(known)}"


class DiscriminatorFilter(Section):
    """discriminator_filter of [N]: coordinates that make images unrealistic in the discriminator's eyes are dropped."""

    change: Weight = Field(
        description="A coordinate is dropped, both ways, when on any image looked at a move of it changes D's score by"
        " more than this. D is asked with C's answer to each image: before the move to the image itself, after it to"
        " the changed one."
    )
    effect: float = Field(description="Only images are looked at whose logit the move raises by more than this.")
    images: Positive = Field(description="As many of them are looked at, the first ones, for each move.")


class UnstableFilter(Section):
    """filter_unstable_images of [N]: images on which too many moves have a large effect count as if none had any."""

    effect: Weight = Field(description="In logits, of a move on any class, whether it raises or lowers it.")
    count: Annotated[int, Field(ge=0)] = Field(
        description="Effects larger than that, over both directions, all coordinates and all classes, that an image may"
        " have."
    )


class AttFindConfig(Section):
    """AttFind: how effects are measured and how attributes are chosen; the defaults are Algorithm 1 of [L]."""

    split: Split = "test"
    images: Annotated[int, Field(ge=2)] = Field(description="Images analysed at the most.")
    sampling: Literal["balanced", "natural"] = Field(
        "balanced",
        description="balanced: spread evenly over the classes; natural: drawn at random, by `seed`, from the split.",
    )
    min_realism: float | None = Field(
        None,
        description="Only images are analysed whose reconstruction gets at least this score of the discriminator ([V]"
        " 4.1: 'skips encoded images the discriminator deems unrealistic'); default: all.",
    )
    shift: Annotated[float, Field(gt=0, le=10)] = Field(
        description="A coordinate moves by shift x (extreme - coordinate)."
    )
    encode_shards: Positive = Field(1, description="Jobs over which the images are split while they are encoded.")
    engine: Literal["exhaustive", "screened"] = Field(
        "exhaustive", description="exhaustive: measure every move of every image; screened: what decides Algorithm 1."
    )
    confidence: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.95, description="Of each choice of the screened engine; the exhaustive one needs none."
    )
    shards: Positive = Field(1, description="Files over which the images are split while effects are measured.")
    max_attributes: Positive = Field(description="M of Algorithm 1, for each target class.")
    threshold: float = Field(description="t of Algorithm 1, in logits: an image with a larger effect is explained.")
    tolerance: Weight = Field(
        0.0,
        description="Of algorithm paper alone: a coordinate is discarded when both its moves raise the class by more"
        " than this, in logits ([L]: 0).",
    )
    algorithm: Literal["paper", "notebook", "image_fraction"] = Field(
        "paper",
        description="paper: Algorithm 1 of [L]; notebook: find_significant_styles of [N], effects clipped at 0 and"
        " summed up for each image, the lists of two classes merged; image_fraction:"
        " find_significant_styles_image_fraction of [N], the moves whose effect passes the threshold on most images.",
    )
    min_images_fraction: Annotated[float, Field(ge=0, le=1)] = Field(
        0.03,
        description="Of algorithm image_fraction alone: it ends at a move that passes the threshold on a smaller part"
        " of the images ([N]: 0.03).",
    )
    discriminator_filter: DiscriminatorFilter | None = Field(
        None, description="As in [N], but for moves of attfind.shift, which in [N] are always of 2; default: none."
    )
    unstable_filter: UnstableFilter | None = Field(None, description="As in [N]; default: none.")
    against: ClassName | None = Field(
        None,
        description="The name of a class: each class against that one, on its images, by the change of the difference"
        " of the two logits; default: a class against all others ([L]).",
    )
    protocols: list[Protocol] = Field(
        [Protocol.HELD_OUT, Protocol.SAME_IMAGES],
        min_length=1,
        description="held_out: attributes are searched on one half of the analysed images and measured on the other;"
        " same_images: searched and measured on all of them ([L]). Figures, explanations and claims go by the first.",
    )
    batch_size: Positive
    precision: Precision = "float32"

    @property
    def protocol(self) -> Protocol:
        """The main one, by which figures, explanations and claims go."""
        return self.protocols[0]

    def known_protocol(self, protocol: Protocol | None) -> Protocol:
        """Return the protocol, or the main one for None; raise `ConfigError` when it is none of the experiment's."""
        if protocol is not None and protocol not in self.protocols:
            raise ConfigError(f"protocol '{protocol}' is none of attfind.protocols: {', '.join(self.protocols)}")
        return protocol or self.protocol

    @field_validator("protocols")
    @classmethod
    def _each_once(cls, value: list[Protocol]) -> list[Protocol]:
        return each_once(value, "a protocol")

    @model_validator(mode="after")
    def _compatible(self) -> AttFindConfig:
        if self.algorithm == "notebook" and self.threshold <= 0:
            raise ValueError("algorithm notebook sums up effects from 0 up to the threshold: set one above 0")
        if self.min_realism is not None and self.encode_shards > 1:
            raise ValueError("min_realism asks about all images before any is chosen: set encode_shards: 1")
        if self.engine == "screened":
            for key in ("algorithm", "discriminator_filter", "unstable_filter", "against", "shards"):
                if getattr(self, key) != (default := type(self).model_fields[key].default):
                    default = "leave it out" if default is None else f"set {key}: {default}"
                    raise ValueError(f"engine screened measures for Algorithm 1 alone, not with {key}: {default}")
        return self


class GanalyzeConfig(Section):
    """The single direction in W that [L] figure 2 compares with, learned as Goetschalckx et al. 2019 do."""

    steps: Positive = Field(default=400, description="Steps of Adam; its rate falls linearly to 0.")
    batch_size: Positive = Field(default=16, description="Analysed images a step, drawn at random.")
    learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.05, description="In standard deviations of w, of the move at the full reach."
    )
    reach: Annotated[float, Field(gt=0, le=10)] = Field(
        default=2.0,
        description="alpha is drawn up to this many times the median absolute log-odds of the analysed images.",
    )


class BaselinesConfig(Section):
    """Other ways to a counterfactual, on the same generator and images: how far each of them goes at the most."""

    latent_steps: Positive = Field(default=60, description="Steps of Adam in W (Latent-CF, xGEM).")
    latent_rate: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.1, description="Its rate, in standard deviations of each coordinate of w."
    )
    latent_distance: Weight = Field(
        default=0.1,
        description="Weight of the mean squared distance to the image's w, in these, beside the cross-entropy.",
    )
    ganalyze_steps: Positive = Field(
        default=20, description="Values of alpha tried along the direction of GANalyze, evenly up to its reach."
    )
    pixel_levels: Annotated[int, Field(ge=1, le=255)] = Field(
        default=32, description="Levels of 255 by which an adversarial step may change a pixel."
    )


class EvaluationConfig(Section):
    """Sufficiency ([L] 4.2.3), Fréchet curve ([V] 5.2), counterfactuals, figures, and what these compare with."""

    sufficiency_k: list[Positive] = Field(min_length=1)
    frechet_attributes: Annotated[int, Field(ge=0)]
    frechet_extractors: list[Literal["backbone", "inception"]] = Field(
        ["backbone"],
        min_length=1,
        description="backbone: features of stylex.perceptual_backbone; inception: of pytorch-fid's network, which makes"
        " the distance a FID.",
    )
    inception_weights: str | None = Field(
        None, description="A copy of pytorch-fid's weights; default: data/weights/inception.pth, downloaded."
    )
    figure_attributes: Positive = Field(
        description="Attributes in the figure of top attributes; so many of each class get a map of where they act."
    )
    figure_class: ClassName | None = Field(
        None,
        description="The class whose probability the teaser, class and comparison figures show; default: the last that"
        " is not attfind.against.",
    )
    ganalyze: GanalyzeConfig = GanalyzeConfig()
    explained_images: Positive = Field(8, description="Images explained one by one, evenly over the classes.")
    explanation_steps: Positive = Field(10, description="Coordinates moved to explain one image, at the most.")
    factor_regressor: str | None = Field(
        None, description="A file of config/regressors: attributes are measured by the known factors that they move."
    )
    factor_threshold: Weight = Field(
        0.5, description="Mean change, in sd of the factor, above which an attribute covers the cause it moves most."
    )
    random_lists: Positive = Field(
        8,
        description="Lists of random moves measured behind the first attribute: what any list flips of the rest.",
    )
    random_moves: Positive = Field(64, description="Random moves measured beside the attributes, for chance levels.")
    oracle: str | None = Field(
        None,
        description="A file of config/oracles: a classifier of all classes of the dataset, trained independently, which"
        " is asked what the counterfactuals show; default: nobody is asked.",
    )
    counterfactual_attributes: Positive = Field(
        TOP, description="Attributes, or moves chosen for the very image, until an image counts as never flipped."
    )
    counterfactual_lists: Positive = Field(
        3, description="Lists of random moves beside AttFind's in the table `counterfactuals`: what chance does."
    )
    counterfactual_searches: Positive = Field(
        32, description="Images that are explained one by one for the table `counterfactuals`, for each target class."
    )
    counterfactual_diversity: Positive = Field(
        8, description="Of these, images that are explained three times by different coordinates: their diversity."
    )
    counterfactual_reals: Annotated[int, Field(ge=2)] = Field(
        2000, description="Images of a target class that counterfactuals are compared with, at the most."
    )
    baselines: BaselinesConfig = BaselinesConfig()
    random_samples: Positive = Field(
        1000, description="Images generated from random z, whose classes the table `samples` counts."
    )
    batch_size: Positive

    @field_validator("frechet_extractors")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        return each_once(value, "an extractor")


class StudyConfig(Section):
    """The user study ([L] 4.2.2): its questions, and the machine observer that answers them too."""

    attributes: Annotated[int, Field(ge=2)] = Field(
        default=6, description="Top attributes asked about, of each method ([L]: 6). Fewer, if fewer were found."
    )
    observer_draws: Positive = Field(
        default=100, description="Draws of images for each question that the machine observer answers; people see one."
    )


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
        return table in OF_FLIPS or self.runs(table)

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
        group, training = self.stylex.networks.minibatch_stddev_group, self.stylex.training
        if training.batch_size % (group * training.accumulation):
            parts = f" x accumulation {training.accumulation}" if training.accumulation > 1 else ""
            raise ValueError(
                f"stylex.training.batch_size {training.batch_size} is not a multiple of minibatch_stddev_group"
                f" {group}{parts}"
            )
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


class SuiteConfig(Section):
    """Experiments, and the tables and figures made of them: config/suites/<name>.yaml."""

    title: str
    experiments: list[Name] = Field(min_length=1)
    tables: list[TableName] = Field(min_length=1)
    next: Name | None = Field(None, description="The suite to try after it, which `stylex summary` names.")


class PipelineConfig(Section):
    """config/config.yaml: which suite `snakemake` builds."""

    suite: Name
