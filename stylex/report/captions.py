"""Captions of the page's figures, and what they show in words for those who do not see them."""

from __future__ import annotations

from stylex.config import ExperimentConfig
from stylex.config.analysis import INCEPTION
from stylex.figures.names import ANIMATION_NAMES, ANIMATION_SECONDS, SHOWN_ALONE

SAMPLES = "samples"
# The artifact that a figure draws; others are listed with all artifacts of the experiment.
ORIGINS = {
    "attributes": "attributes", "independent": "independent", "subset": "subset", "sufficiency": "sufficiency",
    "frechet": "frechet", "history": "stylex", SAMPLES: "stylex",
}  # fmt: skip
PROBABILITY = " The number in an image is the classifier's probability of the target class P(…)."
FIRST_TURNED = " Images are chosen by rule: for each target class, of the explained images the one that"


def caption(name: str, config: ExperimentConfig) -> tuple[str, str]:
    """Return (alternative text, caption) of the figure `name` of an experiment."""
    attfind, title = config.attfind, config.title
    shown_in = "figure 4 of Lang et al. 2021" if not config.released else "figure 2 of van de Geijn et al. 2022"
    texts = {
        "attributes": (
            f"Top attributes of {title}: rows of reconstructions and framed counterfactuals with probabilities; maps.",
            f"The top attributes, as {shown_in} shows them. A row is one StyleSpace coordinate; the number in an"
            " image is the classifier's probability of the row's class P(…), for that very image. Orange frame: the"
            " coordinate is moved to raise P, in the direction that AttFind found; blue frame: the opposite way, to"
            f" lower it (shift {attfind.shift:g}). Attributes of all target classes are merged by rank. Images are"
            f" chosen by rule: the largest change of P by AttFind's records, first among {_preferred(config)}, none"
            f" twice if others remain. On the right, where the attribute acts: {_mapped(config)}",
        ),
        "sufficiency": (
            f"Fraction of flipped decisions of {title} against the number of attributes, by direction and pooled.",
            "Sufficiency: decisions flipped within the top k attributes, towards each class and pooled, with 95 %"
            f" intervals (shift {attfind.shift:g}).",
        ),
        "frechet": (
            f"Fréchet distance and KID of {title} against the number of attributes moved.",
            "Distance between the dataset's images and reconstructions with the top attributes moved towards the other"
            f" class, in the features of the network named above the curve{_fid(config)}. KID: mean ± sd over subsets.",
        ),
        "history": (
            f"Loss terms, validation measurements, learning rate and speed of {title} against the images shown.",
            "Training of StylEx. Losses: each term before weighting. Validation: the averaged (EMA) networks rebuild"
            " validation images; mean absolute error of pixels in [-1, 1], fraction whose predicted class is kept, and"
            " Fréchet distance between images and reconstructions in the features of the perceptual backbone (this is"
            " not FID). Images a second: training steps alone.",
        ),
        SAMPLES: (
            f"Grid of images of {title}: originals, their reconstructions, and samples.",
            "Validation images, their reconstructions by the averaged networks, and samples of the generator.",
        ),
    }
    texts |= _compared(title, attfind.shift) | _explained(title)
    texts |= _of_images(config) | _rebuilt(title) | _moving(config)
    return texts[name]


def _preferred(config: ExperimentConfig) -> str:
    """Name the images that come first where the largest change is shown."""
    if config.released:  # labels are the classifier's own, and no error is known
        return "the images whose reconstruction is decided as the image itself"
    return "the images that the classifier gets right and whose reconstruction error is at most the median"


def _mapped(config: ExperimentConfig) -> str:
    """Say what a map of an attribute shows, and of which images."""
    turned = (
        "not decided as the row's class" if config.attfind.against is None else f"decided as {config.attfind.against}"
    )
    return (
        f"the mean of |x' - x| over the measured images whose reconstruction x is {turned}, x' being x with this"
        " coordinate moved to raise P (pixels in [-1, 1], mean of the channels). Black: no change; all maps of the"
        " figure have the scale of the bar below them."
    )


def _compared(title: str, shift: float) -> dict[str, tuple[str, str]]:
    return {
        "methods": (
            f"Fraction of flipped decisions against the number of attributes, by method, on the classifier of {title}.",
            "Sufficiency of the methods that explain this classifier, as Table 3 of Lang et al. 2021: decisions flipped"
            f" within the top k attributes, all directions pooled, with 95 % intervals (shift {shift:g})."
            " Without CST: without classifier-specific training.",
        ),
    }


def _fid(config: ExperimentConfig) -> str:
    if INCEPTION not in (extractors := config.evaluation.frechet_extractors):
        return ": this is not FID"
    return " (FID: pytorch-fid's Inception)" + (": in all others it is not FID" if len(extractors) > 1 else "")


def _explained(title: str) -> dict[str, tuple[str, str]]:
    return {
        "independent": (
            f"Images of {title}, each with one coordinate of large effect moved, and their probabilities.",
            "Single images explained by independent selection, as figure 7 of Lang et al. 2021: the coordinates with"
            f" the largest effects on this very image, {SHOWN_ALONE} at the most, each moved alone on the"
            f" reconstruction.{PROBABILITY} Orange frame: this coordinate alone flips the decision.{FIRST_TURNED} a"
            " coordinate of the foremost rank flips.",
        ),
        "subset": (
            f"Images of {title} turned by a greedy choice of coordinates, step by step, with probabilities.",
            "Single images explained by subset selection, as figure 8 of Lang et al. 2021: each step moves what raises"
            " the target class the most, given the steps before, until the decision flips. Each image shows all steps"
            f" so far.{PROBABILITY} Orange frame: the decision has flipped.{FIRST_TURNED} flips after the fewest"
            " steps.",
        ),
    }


def _of_images(config: ExperimentConfig) -> dict[str, tuple[str, str]]:
    title, shift, direction = config.title, config.attfind.shift, config.evaluation.ganalyze
    shown = _shown_class(config)
    return {
        "teaser": (
            f"One image of {title}, its reconstruction, and counterfactuals of single attributes with probabilities.",
            f"One image and the top attributes towards {shown}, as figure 1 of Lang et al. 2021. Framed: one attribute"
            f" moved alone (shift {shift:g}), at last all of these together. Numbers and bars: the classifier's"
            f" probability of {shown}. ▲ to the coordinate's maximum, ▼ to its minimum. The image is chosen by a rule"
            " that looks for a favourable one: among the images of another class that are classified rightly, rebuilt"
            " with the same decision and with at most the median error, the one on which the weakest attribute"
            " raises the probability the most, by AttFind's records.",
        ),
        "class-attributes": (
            f"Top attributes of {title} for one class: rows of reconstructions, framed counterfactuals and maps.",
            f"The top attributes of one class, {shown}, as figure 6 of Lang et al. 2021 shows them of one class of"
            " many. Numbers, frames, maps and the choice of images are as in the figure of all classes. The maps have a"
            " scale of their own.",
        ),
        "comparison": (
            f"Images of {title}: Grad-CAM, one learned direction both ways, and single attributes, with probabilities.",
            f"StylEx beside two other explanations, as figure 2 of Lang et al. 2021; numbers: probability of {shown}."
            " Grad-CAM (Selvaraju et al. 2017): evidence for the classifier's decision in its last convolutional stage,"
            " each map scaled to its largest value. GANalyze (Goetschalckx et al. 2019): w + α θ along one direction θ,"
            f" learned in W so that the log-odds of {shown} change by α; the conditioning stays the image's own. The"
            f" ends shown are ±{direction.reach:g} times the median absolute log-odds. StylEx: one attribute moved"
            f" (shift {shift:g}), on images classified {shown} the opposite way. Orange frame: meant to raise the"
            " probability; blue: to lower it. Images are chosen by rule: on either side, of those classified rightly,"
            " and rebuilt with the same decision, the two whose reconstruction error is nearest the median.",
        ),
    }


def _shown_class(config: ExperimentConfig) -> str:
    if known := config.dataset.class_names:
        return config.shown_class(known)
    against = config.attfind.against
    return config.evaluation.figure_class or "the last class" + (f" other than {against}" if against else "")


def _rebuilt(title: str) -> dict[str, tuple[str, str]]:
    return {
        "reconstructions": (
            f"Images of {title}, their reconstructions and the differences, from the best to the worst.",
            "Analysed images, their reconstructions, and reconstruction minus image (mean of the channels). Numbers in"
            " the corners: the classifier's probability of the true class; below: the true class and the mean absolute"
            " error of pixels in [-1, 1]. A difference of 1 and more has the full colour. Orange frame: the"
            " reconstruction is decided otherwise than the image. Images are chosen by rule: of all analysed ones in"
            " the order of their error the last six, and of those before them six evenly spaced from the first on.",
        ),
    }


def _moving(config: ExperimentConfig) -> dict[str, tuple[str, str]]:
    return {
        name: (
            f"One attribute of {config.title} at its maximum, unmoved and at its minimum on several images.",
            f"Attribute {number} of the figure of top attributes on up to four images: at its maximum over the analysed"
            f" images, as reconstructed, and at its minimum (shift {config.attfind.shift:g}). Orange frame: the end"
            " that AttFind found to raise the probability; blue: the other. The moving picture goes from minimum to"
            f" maximum and back in {ANIMATION_SECONDS:g} s, slowly at the ends, without end. Images are chosen by rule:"
            " on either side of the decision the two with the largest change by AttFind's records, first among"
            f" {_preferred(config)}.",
        )
        for number, name in enumerate(ANIMATION_NAMES, start=1)
    }
