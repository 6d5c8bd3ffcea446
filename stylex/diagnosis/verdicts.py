"""What the measures of a trained model say: which of its parts has failed, by which number, and what mends it.

The limits are ours: between what the finished models of the suites demo and leaves come to and what sabotaged trainings
do (docs/own-experiment.md has both).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isnan

GOOD = "good"
WEAK_CLASSIFIER = "weak classifier"
COLLAPSED_GENERATOR = "collapsed generator"
COLLAPSED_DISCRIMINATOR = "collapsed discriminator"
BLIND_ENCODER = "blind encoder"
IGNORED_CONDITION = "ignored condition"
LOST_CLASSES = "lost classes"
POOR_RECONSTRUCTIONS = "poor reconstructions"
MOVES_LEAVE_DATA = "moves that leave the data"


@dataclass(frozen=True)
class Criterion:
    """What a measure must come to, and what has failed otherwise."""

    text: str  # what is measured
    limit: Callable[[int], float]  # of a good model, by the number of classes
    verdict: str
    remedy: str
    percent: bool = True  # written as a percentage
    at_least: bool = True


@dataclass(frozen=True)
class Finding:
    """A criterion applied to a model."""

    measure: str  # a key of CRITERIA
    value: float
    limit: float

    @property
    def criterion(self) -> Criterion:
        """The criterion by the measure's name."""
        return CRITERIA[self.measure]

    @property
    def passes(self) -> bool:
        """Whether the value is on the good side of its limit."""
        return self.value >= self.limit if self.criterion.at_least else self.value <= self.limit

    @property
    def verdict(self) -> str:
        """What has failed by this measure, or that it is good."""
        return GOOD if self.passes else self.criterion.verdict

    @property
    def bound(self) -> str:
        """What is good, in words."""
        return f"{'at least' if self.criterion.at_least else 'at most'} {self.written(self.limit)}"

    def written(self, number: float) -> str:
        """Write a number of this measure with its unit."""
        return f"{100 * number:.1f} %" if self.criterion.percent else f"{number:.2f}"


def always(limit: float) -> Callable[[int], float]:
    """Return a limit that does not depend on the number of classes."""
    return lambda classes: limit


def above_chance(part: float) -> Callable[[int], float]:
    """Return the limit that lies this part of the way from chance, one of the classes, to certainty."""
    return lambda classes: 1 / classes + part * (1 - 1 / classes)


# In the order in which they are to be mended: what comes first spoils the rest.
CRITERIA = {
    "accuracy": Criterion(
        "validation images that the classifier decides right, mean over the classes",
        above_chance(0.25),
        WEAK_CLASSIFIER,
        "train it longer (classifier.epochs, .max_images) or wider (.width), and check the labels: it decides as chance"
        " does, so there is nothing to explain",
    ),
    "margin": Criterion(
        "median margin of the classifier's decisions, logits",
        always(0.5),  # the decision's odds against the next class are 1.6 to 1
        WEAK_CLASSIFIER,
        "train it longer (classifier.epochs) and check the labels: it hardly prefers one class to another, so that any"
        " change flips it",
        percent=False,
    ),
    "sample_diversity": Criterion(
        "distance between two samples of a class, relative to two images of it",
        always(0.2),
        COLLAPSED_GENERATOR,
        "raise stylex.losses.r1_gamma tenfold or lower stylex.training.learning_rate: whatever z is, much the same"
        " image comes out",
        percent=False,
    ),
    "discriminator_spread": Criterion(
        "standard deviation of the discriminator's scores of images and samples, logits",
        always(0.2),
        COLLAPSED_DISCRIMINATOR,
        "lower stylex.losses.r1_gamma tenfold: the discriminator says the same of every image, and teaches nothing",
        percent=False,
    ),
    "own_nearer": Criterion(
        "reconstructions nearer to their own image than to another of its class (by chance: 50 %)",
        always(0.75),
        BLIND_ENCODER,
        "raise stylex.losses.reconstruction_x and .reconstruction_perceptual, and check"
        " stylex.training.encoder_learning_rate: w says nothing of the image",
    ),
    "condition_followed": Criterion(
        "reconstructions that become the other class that the generator is told, w kept",
        above_chance(0.2),  # one image for all would come to chance, and a condition that is ignored to 0
        IGNORED_CONDITION,
        "raise stylex.losses.classifier, and keep stylex.conditional_discriminator: true: what the classifier says does"
        " not reach the image",
    ),
    "rarest_class": Criterion(
        "samples of the class that is made most rarely, of those that should be of it",
        lambda classes: 0.1 / classes,  # a tenth of chance
        LOST_CLASSES,
        "keep stylex.conditioning and stylex.conditional_discriminator: true, and balance the training images: a class"
        " is hardly ever made",
    ),
    "own_nearest": Criterion(
        "reconstructions to which their own image is the nearest of all",
        always(0.5),
        POOR_RECONSTRUCTIONS,
        "train longer (stylex.training.images), widen stylex.networks.generator_channels, or raise"
        " stylex.losses.reconstruction_x: a reconstruction is not of this very image",
    ),
    "relative_l1": Criterion(
        "error of reconstructions, relative to that of the mean image of the class",
        always(0.75),
        POOR_RECONSTRUCTIONS,
        "train longer (stylex.training.images), widen stylex.networks.generator_channels, or raise"
        " stylex.losses.reconstruction_x: a reconstruction is hardly better than the mean of its class",
        percent=False,
        at_least=False,
    ),
    "class_kept": Criterion(
        "reconstructions that keep the classifier's decision",
        always(0.9),
        POOR_RECONSTRUCTIONS,
        "raise stylex.losses.classifier: what is explained is the decision on the reconstruction",
    ),
    "moves_distance": Criterion(  # of the counterfactuals, which come after the training: the report alone has it
        "Fréchet distance of what AttFind's attributes flip to images of the target class, relative to that of"
        " reconstructions",
        always(4.0),
        MOVES_LEAVE_DATA,
        "set stylex.networks.condition_coordinates, stylex.training.counterfactuals and .mixed_conditions, so that the"
        " discriminator sees moves, and train longer (stylex.training.images): what flips looks like no image",
        percent=False,
        at_least=False,
    ),
}


def judge(measured: Mapping[str, float], classes: int) -> list[Finding]:
    """Return a finding for each measure that is a number, in the order of `CRITERIA`; classes: of the classifier."""
    known = [
        (name, each.limit(classes)) for name, each in CRITERIA.items() if not isnan(measured.get(name, float("nan")))
    ]
    return [Finding(name, measured[name], limit) for name, limit in known]


def failures(findings: list[Finding]) -> list[str]:
    """Return the verdicts other than good, each once, what is to be mended first first."""
    return list(dict.fromkeys(each.verdict for each in findings if not each.passes))


def sentences(findings: list[Finding]) -> list[str]:
    """Return a line for each number that has failed, or the one that all are good."""
    lines = [
        f"{each.verdict}: {each.criterion.text}: {each.written(each.value)}, good is {each.bound};"
        f" {each.criterion.remedy}"
        for each in findings
        if not each.passes
    ]
    return lines or [f"{GOOD}: each of {len(findings)} measures is within its limit"]
