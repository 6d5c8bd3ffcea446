"""Claims about images: reconstructions, counterfactuals of single images, and what moving attributes costs."""

from __future__ import annotations

from math import isnan
from statistics import mean

from scipy.stats import spearmanr

from stylex.config.analysis import KID_FOLDS
from stylex.evaluation.intervals import student_interval
from stylex.report.claims.model import (
    MOST,
    Claim,
    Finding,
    Measure,
    Row,
    Run,
    Source,
    Verdict,
    beyond,
    compared,
    grouped,
    interval_rule,
    largest,
    pooled,
    share,
)
from stylex.report.provenance import anchor
from stylex.report.published import PROTOCOLS

ACCURATE = 0.95  # [L] 4: 'a high accuracy of at least 95 %'
STAGNANT, FALLEN = 0.75, 0.5  # of the first reconstruction error; our reading of [G]
DIGITS = ("mnist", "mnist-full")  # datasets of MNIST's digits, some and all of them


def classifiers_are_accurate(run: Run) -> list[Finding]:
    """Compare the accuracy on the test images with the one that the paper asks for; a shared classifier counts once."""
    text = "test images are classified right"
    first: dict[str, Row] = {}
    for row in run.table("classifiers", "experiment", "n_test", "accuracy"):
        first.setdefault(run.experiments[row["experiment"]].classifier_of or row["experiment"], row)
    return [_accurate(row["experiment"], row["accuracy"], row["n_test"], text, "classifier") for row in first.values()]


def reconstructions_keep_the_class(run: Run) -> list[Finding]:
    """Compare the fraction of reconstructions that get the image's class with the accuracy asked of a classifier."""
    text = "reconstructions get the class of their image"
    return [
        _accurate(row["experiment"], row["class_kept"], row["n_reconstructed"], text, "latents")
        for row in run.table("classifiers", "experiment", "n_reconstructed", "class_kept")
        if row["n_reconstructed"] > 0 and _knows_the_classifier(run, row["experiment"])
    ]


def _knows_the_classifier(run: Run, experiment: str) -> bool:
    return run.experiments[experiment].stylex.conditioning != "none"


def _accurate(experiment: str, fraction: float, n: int, text: str, artifact: str) -> Finding:
    right = round(fraction * n)
    sentence = f"{share(right, n, text)}."
    return Finding(experiment, compared(right, n, ACCURATE), sentence, anchor(experiment, artifact))


def subsets_flip(run: Run) -> list[Finding]:
    """Compare the fraction of images that a greedy choice of coordinates turns with one half."""
    rows = run.table("subset", "experiment", "method", "selection", "target_class", "k", "n", "flipped", "shift")
    chosen = [row for row in pooled(rows, "stylex") if row["selection"] == "subset"]
    found = []
    for row in largest(chosen, "experiment"):
        text = f"images flip within {row['k']} coordinates chosen for the very image"
        sentence = f"{share(row['flipped'], row['n'], text)}, shift {row['shift']:g}."
        verdict = compared(row["flipped"], row["n"], MOST)
        found.append(Finding(row["experiment"], verdict, sentence, anchor(row["experiment"], "subset")))
    return found


def explanations_differ(run: Run) -> list[Finding]:
    """Count the images whose strongest coordinate is not the first attribute of their target class."""
    attributes = run.artifact("attributes", "experiment", "target_class", "rank", "style_index")
    first = {
        (row["experiment"], row["target_class"]): row["style_index"] for row in attributes if row["rank"] == 1
    }  # fmt: skip
    explained = run.artifact("independent", "experiment", "id", "target_class", "step", "style_index")
    strongest = [
        row for row in explained if row["step"] == 1 and (row["experiment"], row["target_class"]) in first
    ]  # fmt: skip
    found = []
    for (name,), rows in grouped(strongest, "experiment").items():
        own = sum(row["style_index"] != first[name, row["target_class"]] for row in rows)
        text = "explained images have another strongest coordinate than the first attribute of their target class"
        sentence = f"{share(own, len(rows), text)}."
        found.append(Finding(name, compared(own, len(rows), MOST), sentence, anchor(name, "independent")))
    return found


def distance_rises(run: Run) -> list[Finding]:
    """Correlate the distance to the dataset's images with the number of attributes, in disjoint groups of images."""
    rows = run.measured("frechet", "n_attributes", "n", "extractor", "frechet_distance", *KID_FOLDS)
    found = []
    for (name, extractor), points in grouped(rows, "experiment", "extractor").items():
        points = sorted(points, key=lambda row: row["n_attributes"])
        unmoved = len({row["frechet_distance"] for row in points}) == 1
        if len(points) < 3 or unmoved or not _knows_the_classifier(run, name):
            continue
        counts = [row["n_attributes"] for row in points]
        curves = [[row[fold] for row in points] for fold in KID_FOLDS]
        known = [curve for curve in curves if len(set(curve)) > 1 and not any(map(isnan, curve))]
        correlations = [float(spearmanr(counts, curve).statistic) for curve in known]  # pyright: ignore
        verdict = beyond(*student_interval(correlations), 0)
        found.append(Finding(name, verdict, _curve(extractor, points, correlations), anchor(name, "frechet")))
    return found


def _curve(extractor: str, points: list[Row], correlations: list[float]) -> str:
    first, last = points[0], points[-1]
    highest = max(points, key=lambda row: row["frechet_distance"])
    low, high = student_interval(correlations)
    text = "too few images to divide into groups"
    if len(correlations) > 1:
        text = (
            f"Spearman's ρ = {mean(correlations):.2f}, the mean of {len(correlations)} groups of images (95 % Student"
        )
        text += f" interval {low:.2f} to {high:.2f})"
    return (
        f"Fréchet distance in the features of {extractor}: {first['frechet_distance']:.2f} with"
        f" {first['n_attributes']} and {last['frechet_distance']:.2f} with {last['n_attributes']} attributes moved, at"
        f" most {highest['frechet_distance']:.2f} with {highest['n_attributes']} (n = {first['n']} images,"
        f" {PROTOCOLS[first['protocol']]}); {text}. One training."
    )


def reconstruction_stagnates(run: Run) -> list[Finding]:
    """Compare the last reconstruction error of a training on MNIST with its first."""
    found = []
    for (name,), rows in grouped(run.artifact("history", "experiment", "images", "val_l1"), "experiment").items():
        measured = [row for row in rows if row["val_l1"] == row["val_l1"]]  # not NaN
        if len(measured) < 2 or run.experiments[name].dataset.name not in DIGITS:
            continue
        first, last = measured[0], measured[-1]
        left = last["val_l1"] / first["val_l1"]
        verdict = Verdict.SUPPORTS if left > STAGNANT else Verdict.UNDECIDED
        verdict = Verdict.CONTRADICTS if left < FALLEN else verdict
        sentence = (
            f"The mean error of pixels on validation images goes from {first['val_l1']:.3f} after"
            f" {first['images']:,.0f} images shown to {last['val_l1']:.3f} after {last['images']:,.0f}, that is to"
            f" {100 * left:.0f} %. One training, so no interval."
        )
        found.append(Finding(name, verdict, sentence, anchor(name, "stylex")))
    return found


_CLASSIFIERS = "the table classifiers"
IMAGE_CLAIMS = (
    Claim(
        "accurate",
        "Accurate classifiers",
        "The explained classifiers are accurate.",
        (Source("lang_2021", "4", "at least 95 % on their test images; a premise rather than a result"),),
        (
            Measure(
                "Accuracy",
                interval_rule("the accuracy on the test images", ACCURATE)
                + " A classifier that several experiments explain counts once.",
                _CLASSIFIERS,
                classifiers_are_accurate,
            ),
        ),
    ),
    Claim(
        "class-kept",
        "Class kept",
        "The generator keeps what the classifier looks at: reconstructions are classified as their images.",
        (
            Source("lang_2021", "3.2, classifier loss", "stated as the purpose of this loss; no figure is published"),
            Source("vandervleuten_2022", "4.1", "restated"),
        ),
        (
            Measure(
                "Class kept",
                interval_rule("the fraction of reconstructions that get the class of their image", ACCURATE)
                + " The bound is the accuracy that the paper asks of a classifier. Only trainings that know the"
                " classifier count.",
                f"{_CLASSIFIERS} with an experiment whose conditioning is not none",
                reconstructions_keep_the_class,
            ),
        ),
    ),
    Claim(
        "single-images",
        "Single images",
        "For a given image there are a few attributes that together flip the decision, and they are its own.",
        (
            Source("lang_2021", "3.4, subset selection; 4.1, Figure 8", "shown for single images"),
            Source("lang_2021", "3.4, independent selection; 4.1, Figure 7", "shown for single images"),
        ),
        (
            Measure(
                "Subset selection",
                interval_rule("the fraction of images that a greedy choice of up to ten coordinates flips", MOST),
                "the table subset with an experiment of the method stylex",
                subsets_flip,
            ),
            Measure(
                "Independent selection",
                interval_rule(
                    "the fraction of explained images whose strongest coordinate is not the first attribute of their"
                    " target class",
                    MOST,
                ),
                "independent.csv of an experiment",
                explanations_differ,
            ),
        ),
    ),
    Claim(
        "frechet-rises",
        "Distance to the dataset's images",
        "The more attributes are moved, the further the images are from real ones.",
        (Source("vandervleuten_2022", "5.2, Figure 3", "the FID rises with the number of attributes, for all models"),),
        (
            Measure(
                "Distance against the number of attributes",
                "The points of a curve share their images, so they are no independent numbers. The images are divided"
                f" into {len(KID_FOLDS)} disjoint groups; in each, Spearman's rank correlation of the kernel distance"
                " (squared MMD, which unlike the Fréchet distance is unbiased in small groups) with the number of"
                " attributes. The 95 % Student interval of its mean over the groups lies above 0: supports. Below:"
                " contradicts. Across, or too few images: does not decide. The groups share one model.",
                "the table frechet with at least three numbers of attributes",
                distance_rises,
            ),
        ),
    ),
    Claim(
        "stagnation",
        "Stagnation on MNIST",
        "On MNIST the reconstruction error stagnates in a local minimum, which training does not always leave.",
        (Source("vandegeijn_2022", "Conclusion, Claim 1", "found within 50,000 iterations; not every model left it"),),
        (
            Measure(
                "Reconstruction error",
                f"On validation images of MNIST the last measured error is above {100 * STAGNANT:g} % of the first:"
                f" supports. Below {100 * FALLEN:g} %: contradicts. Between: does not decide. Both bounds are ours."
                " Each training is judged by itself.",
                f"an experiment on MNIST (dataset {' or '.join(DIGITS)})",
                reconstruction_stagnates,
            ),
        ),
    ),
)
