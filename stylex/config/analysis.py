"""What is done with a trained model: the sections `attfind`, `evaluation` and `study` of an experiment.

Values that a paper states are cited beside the preset that sets them, not here: hyperparameters live in config/ only.
[L]: Lang et al. 2021; [N]: its authors' notebook; [V]: van der Vleuten et al. 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from stylex.config.base import (
    TOP,
    ClassName,
    Count,
    Fraction,
    Positive,
    Precision,
    Protocol,
    Rate,
    Section,
    Split,
    Weight,
    once,
)
from stylex.errors import ConfigError


def unknown_class(against: str, known: Sequence[str]) -> str:
    """Compose the message for an attfind.against that is no class of the experiment."""
    return f"attfind.against: unknown class '{against}'; choose one of {', '.join(known)}, or leave it out"


class DiscriminatorFilter(Section):
    """discriminator_filter of [N]: coordinates that make images unrealistic in the discriminator's eyes are dropped.

    [N] moves by a shift of 2 for this, whatever the shift of the effects; here it is attfind.shift. The change is
    measured with the effects, which costs the discriminator's time.
    """

    change: Weight = Field(
        description="A coordinate is dropped, both ways, when on any image looked at a move of it changes D's score by"
        " more than this. D is asked with C's answer to each image: before the move to the image itself, after it to"
        " the changed one. [N]: 0.2."
    )
    effect: float = Field(
        description="Only images are looked at whose logit the move raises by more than this. [N]: 0.2."
    )
    images: Positive = Field(description="As many images are looked at, the first ones, for each move. [N]: 10.")


class UnstableFilter(Section):
    """filter_unstable_images of [N]: images on which too many moves have a large effect count as if none had any.

    They stay among the images that means are taken over.
    """

    effect: Weight = Field(description="In logits, of a move on any class, whether it raises or lowers it. [N]: 2.")
    count: Count = Field(
        description="Effects larger than effect, over both directions, all coordinates and all classes, that an image"
        " may have. [N]: 750."
    )


class AttFindConfig(Section):
    """AttFind: how effects are measured and how attributes are chosen; the defaults are Algorithm 1 of [L]."""

    split: Split = Field("test", description="Whose images are analysed.")
    images: Annotated[int, Field(ge=2)] = Field(description="Images analysed at the most.")
    sampling: Literal["balanced", "natural"] = Field(
        "balanced",
        description="Which images of the split. balanced: evenly over the classes, the same whatever the seed; natural:"
        " drawn at random by seed, so that classes have the shares that they have in the split ([L] Table 3: '1000"
        " randomly chosen images').",
    )
    min_realism: float | None = Field(
        None,
        description="Only images are analysed whose reconstruction gets at least this score of the discriminator ([V]"
        " 4.1: 'skips encoded images the discriminator deems unrealistic'); 0: as likely real as generated. All images"
        " of the split are asked about, then images of those that pass are chosen; the provenance of latents.parquet"
        " says how many pass. Goes with encode_shards: 1 only. Not the filter of [N], which is discriminator_filter."
        " Without it: all.",
    )
    shift: Annotated[float, Field(gt=0, le=10)] = Field(
        description="A coordinate moves by shift x (extreme - value); the extremes are over the images searched."
    )
    encode_shards: Positive = Field(
        1,
        description="Jobs over which the images are split while they are encoded, in whole batches of batch_size; one"
        " more job merges what they wrote into the same latents.parquet.",
    )
    engine: Literal["exhaustive", "screened"] = Field(
        "exhaustive",
        description="exhaustive: every move of every image is measured; screened: only what decides Algorithm 1, so it"
        " goes with no other algorithm, and not with against, shards and the filters.",
    )
    confidence: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.95, description="Of each choice of the screened engine; the exhaustive one needs none."
    )
    shards: Positive = Field(
        1,
        description="Files over which the images are split while effects are measured, each a job of its own; the"
        " result is the same.",
    )
    max_attributes: Positive = Field(
        description="M of Algorithm 1: attributes sought for each target class. The first ones do not depend on it,"
        " unless algorithm notebook merges two lists."
    )
    threshold: float = Field(
        description="t of Algorithm 1, in logits: an image whose logit rises by more is explained and leaves the"
        " search. In the searches of [N] it is what algorithm says."
    )
    tolerance: Weight = Field(
        0.0,
        description="Of algorithm paper alone, in logits: a coordinate is discarded when both its moves have a larger"
        " mean effect. With 0, as in [L], a coordinate that many images already have at its extreme is discarded by"
        " rounding, as its move there does nothing.",
    )
    algorithm: Literal["paper", "notebook", "image_fraction"] = Field(
        "paper",
        description="paper: Algorithm 1 of [L]; a coordinate that raises the class both ways is discarded, and none is"
        " used twice. notebook: find_significant_styles of [N]. Effects count from 0 up, so neither direction is held"
        " against the other; they are summed up for each image, which leaves when its sum reaches threshold; a"
        " coordinate chosen in one direction may be chosen in the other, too. For two classes the two lists are merged:"
        " both name the same coordinates, in opposite directions, in the order of the mean effects on both classes"
        " added up. image_fraction: find_significant_styles_image_fraction of [N]. It counts once on how many images a"
        " move has an effect above threshold, and takes the moves with the largest counts, one after the other; no"
        " image leaves. Of equal counts the larger mean effect comes first, which [N] leaves open. Where a coordinate"
        " is chosen both ways, the later one counts when attributes are applied together.",
    )
    min_images_fraction: Fraction = Field(
        0.03,
        description="Of algorithm image_fraction alone: it ends at a move whose effect is above threshold on a smaller"
        " part of the images. [N]: 0.03.",
    )
    discriminator_filter: DiscriminatorFilter | None = None
    unstable_filter: UnstableFilter | None = None
    against: ClassName | None = Field(
        None,
        description="The name of a class: each other class against that one, on the images classified as that one, by"
        " the change of the class's logit less the change of that one's; threshold applies to this difference. With two"
        " classes the images are the same and the effects are not: lowering the other logit counts against one class"
        " only. The class compared with gets no attributes, and cannot be figure_class. Without it: each class against"
        " all others, on the images not classified as it, by the change of its logit ([L]).",
    )
    protocols: Annotated[list[Protocol], once("a protocol")] = Field(
        [Protocol.HELD_OUT, Protocol.SAME_IMAGES],
        min_length=1,
        description="held_out: the analysed images fall into two halves, by a hash of their ids within each class."
        " Extremes, AttFind, Wu et al. and GANalyze see one half; sufficiency, Fréchet distance, explained images, the"
        " study and the claims of the report are of the other. same_images: all images are searched and measured, as in"
        " the papers. Figures, explanations, study and claims go by the first of the list; sufficiency and Fréchet"
        " distance have rows of each. Files of the others lie in attfind/<protocol>/.",
    )
    batch_size: Positive = Field(description="Images rendered at a time.")
    precision: Precision = Field(
        "float32",
        description="Number format of generator and classifier while effects are measured; auto is that of"
        " stylex.training.precision.",
    )

    @property
    def protocol(self) -> Protocol:
        """The main one, by which figures, explanations and claims go."""
        return self.protocols[0]

    def known_protocol(self, name: str | None) -> Protocol:
        """Return the protocol, or the main one for None; raise `ConfigError` when it is none of the experiment's."""
        if name is not None and name not in self.protocols:
            raise ConfigError(f"protocol '{name}' is none of attfind.protocols: {', '.join(self.protocols)}")
        return Protocol(name or self.protocol)

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
    """The direction in W that the figure comparison shows ([L] figure 2), learned as Goetschalckx et al. 2019 do."""

    steps: Positive = Field(default=400, description="Steps of Adam; its rate falls linearly to 0.")
    batch_size: Positive = Field(default=16, description="Analysed images a step, drawn at random.")
    learning_rate: Rate = Field(default=0.05, description="In standard deviations of w, of the move at the full reach.")
    reach: Annotated[float, Field(gt=0, le=10)] = Field(
        default=2.0,
        description="The change alpha asked for is drawn from -R to R, R = reach x the median absolute log-odds of the"
        " class; 2 turns an image of median log-odds to as sure a decision for the other side.",
    )


class BaselinesConfig(Section):
    """Other ways to a counterfactual, on the same generator and images: how far each of them goes at the most."""

    latent_steps: Positive = Field(default=60, description="Steps of Adam in W (Latent-CF, xGEM).")
    latent_rate: Rate = Field(default=0.1, description="Rate of Adam, in standard deviations of each coordinate of w.")
    latent_distance: Weight = Field(
        default=0.1,
        description="Weight of the mean squared distance to the image's own w, in standard deviations, beside the"
        " cross-entropy of the target class.",
    )
    ganalyze_steps: Positive = Field(
        default=20, description="Values of alpha tried along the direction of GANalyze, evenly up to its reach."
    )
    pixel_levels: Annotated[int, Field(ge=1, le=255)] = Field(
        default=32, description="Levels of 255 by which an adversarial step may change a pixel."
    )


class EvaluationConfig(Section):
    """Sufficiency ([L] 4.2.3), Fréchet curve ([V] 5.2), counterfactuals, figures, and what these compare with."""

    sufficiency_k: list[Positive] = Field(
        min_length=1,
        description="Numbers of attributes for which flipped decisions are counted; none above attfind.max_attributes."
        " Where fewer were found, those count.",
    )
    frechet_attributes: Count = Field(description="The Fréchet curve goes from 0 to this many attributes.")
    frechet_extractors: Annotated[list[Literal["backbone", "inception"]], once("an extractor")] = Field(
        ["backbone"],
        min_length=1,
        description="Whose features the Fréchet distance compares. backbone: those of stylex.perceptual_backbone;"
        " inception: those of pytorch-fid's network, which makes the distance a FID. With both, frechet.csv has rows of"
        " both.",
    )
    inception_weights: str | None = Field(
        None,
        description="A copy of pytorch-fid's file of weights, relative to the project's folder or absolute. Without it:"
        " data/weights/inception.pth, downloaded.",
    )
    figure_attributes: Positive = Field(
        description="Rows in the figure of top attributes; so many of each class get a map of where they act."
    )
    figure_class: ClassName | None = Field(
        None,
        description="The class y whose probability the figures teaser, class-attributes and comparison show. Without"
        " it: the last class that is not attfind.against.",
    )
    ganalyze: GanalyzeConfig = GanalyzeConfig()
    explained_images: Positive = Field(8, description="Images explained one by one, evenly over the classes.")
    explanation_steps: Positive = Field(10, description="Coordinates moved to explain one image, at the most.")
    factor_regressor: str | None = Field(
        None,
        description="A file of config/regressors: on a drawn dataset, attributes are measured by the known factors that"
        " they move. Without it: not measured.",
    )
    factor_threshold: Weight = Field(
        0.5, description="Mean change, in sd of the factor, above which an attribute covers the cause it moves most."
    )
    random_lists: Positive = Field(
        8,
        description="Lists in which random moves follow the first attribute, for each class: what any list flips of the"
        " images that the first leaves (random_flips.csv).",
    )
    random_moves: Positive = Field(
        64, description="Random moves measured beside the attributes, for each class: what chance finds."
    )
    oracle: str | None = Field(
        None,
        description="A file of config/oracles, trained on a dataset that has all classes of the experiment: is asked"
        " what the counterfactuals show. Without it the columns of its answers are empty.",
    )
    counterfactual_attributes: Positive = Field(
        TOP, description="Attributes, or moves chosen for the very image, after which it counts as never flipped."
    )
    counterfactual_lists: Positive = Field(
        3, description="Lists of as many random moves beside AttFind's: what chance flips, and what that looks like."
    )
    counterfactual_searches: Positive = Field(
        32,
        description="Images, for each target class, that are explained one by one for the table counterfactuals.",
    )
    counterfactual_diversity: Positive = Field(
        8,
        description="Of the counterfactual_searches, images that are explained up to three times, each time by other"
        " coordinates.",
    )
    counterfactual_reals: Annotated[int, Field(ge=2)] = Field(
        2000, description="Images of the target class that counterfactuals are compared with, at the most."
    )
    baselines: BaselinesConfig = BaselinesConfig()
    random_samples: Positive = Field(
        1000, description="Images generated from random z, whose classes the table samples counts."
    )
    batch_size: Positive = Field(description="Images rendered at a time.")


class StudyConfig(Section):
    """The user study ([L] 4.2.2): its questions, and the machine observer that answers them too."""

    attributes: Annotated[int, Field(ge=2)] = Field(
        default=6, description="Top attributes asked about, of each method ([L]: 6). Fewer, if fewer were found."
    )
    observer_draws: Positive = Field(
        default=100,
        description="Draws of images for each question that the machine observer answers; the first is what people"
        " see.",
    )
