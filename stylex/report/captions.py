"""Captions of the page's figures, and what they show in words for those who do not see them."""

from __future__ import annotations

from stylex.config import ExperimentConfig

SAMPLES = "samples"
# The artifact that a figure draws; others are listed with all artifacts of the experiment.
ORIGINS = {
    "attributes": "attributes", "independent": "independent", "subset": "subset", "sufficiency": "sufficiency",
    "frechet": "frechet", "history": "stylex", SAMPLES: "stylex",
}  # fmt: skip
STEPS = (
    " Each image shows all steps so far; the number in it is the classifier's probability of the target class P(…)."
    " Orange frame: the decision has flipped. Images are chosen by rule: for each target class, of the explained images"
    " the one that flips after the fewest steps."
)


def caption(name: str, config: ExperimentConfig) -> tuple[str, str]:
    """Return (alternative text, caption) of the figure `name` of an experiment."""
    attfind, title = config.attfind, config.title
    texts = {
        "attributes": (
            f"Top attributes of {title}: rows of reconstructions and framed counterfactuals with probabilities.",
            "The top attributes, as figure 4 of Lang et al. 2021. A row is one StyleSpace coordinate; the number in an"
            " image is the classifier's probability of the row's class P(…), for that very image. Orange frame: the"
            " coordinate is moved to raise P, in the direction that AttFind found; blue frame: the opposite way, to"
            f" lower it (shift {attfind.shift:g}). Attributes of all target classes are merged by rank. Images are"
            " chosen by rule: the largest change of P by AttFind's records, first among the images that the classifier"
            " gets right and whose reconstruction error is at most the median, none twice if others remain.",
        ),
        "sufficiency": (
            f"Fraction of flipped decisions of {title} against the number of attributes, by direction and pooled.",
            "Sufficiency: decisions flipped within the top k attributes, towards each class and pooled, with 95 %"
            f" Wilson intervals (shift {attfind.shift:g}).",
        ),
        "frechet": (
            f"Fréchet distance and KID of {title} against the number of attributes moved.",
            "Distance between real images and reconstructions with the top attributes moved towards the other class."
            " Features are of the network named above the curve: this is not FID. KID: mean ± sd over subsets.",
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
    return (texts | _explained(title))[name]


def _explained(title: str) -> dict[str, tuple[str, str]]:
    return {
        "independent": (
            f"Images of {title} turned by the coordinates with the largest effects, step by step, with probabilities.",
            "Single images explained by independent selection, as figure 7 of Lang et al. 2021: the coordinates with"
            " the largest effects on this very image, each measured alone, then moved one after the other." + STEPS,
        ),
        "subset": (
            f"Images of {title} turned by a greedy choice of coordinates, step by step, with probabilities.",
            "Single images explained by subset selection, as figure 8 of Lang et al. 2021: each step moves what raises"
            " the target class the most, given the steps before, until the decision flips." + STEPS,
        ),
    }
