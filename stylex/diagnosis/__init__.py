"""Diagnosis of a trained model: what is measured of it on validation images, and what the numbers say has failed.

Images are as a file holds them. Distances are Euclidean, between pixels; the fixed noise maps are used.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas
import torch
from torch import Tensor

from stylex.artifacts import provenance, write_table
from stylex.classifiers import Classifier, load_classifier
from stylex.classifiers.metrics import recalls
from stylex.config import experiment_paths, load_experiment
from stylex.datasets import ImageSplit, analysis_indices, load_split
from stylex.diagnosis.verdicts import Finding, findings_of, sentences
from stylex.networks.model import StylexNetworks, load_stylex

IMAGES = 256  # the validation images that the history of a training measures, too
BATCH = 64
COLUMNS = ("experiment", "measure", "value", "limit", "verdict", "remedy", "n", "seed")
logger = logging.getLogger("stylex")


def write_diagnosis(root: Path, name: str, device: str) -> None:
    """Write the experiment's diagnosis.csv, one row per measure in the order of repair, and log it."""
    config, paths = load_experiment(root, name), experiment_paths(root, name)
    networks, classifier = load_stylex(paths.stylex_model, device), load_classifier(paths.classifier.model, device)
    split = load_split(root, config.dataset, "val")
    findings = diagnose(networks, classifier, split, config.seed, device)
    origin = provenance(config.digest(), config.seed, device)
    write_table(paths.diagnosis, table(name, findings, min(IMAGES, len(split)), config.seed), origin)
    log_findings(name, findings)


def diagnose(
    networks: StylexNetworks, classifier: Classifier, split: ImageSplit, seed: int, device: str
) -> list[Finding]:
    """Return what is found of trained networks on a validation split, in the order of repair."""
    rows = analysis_indices(split.labels, IMAGES)  # evenly over the classes
    measures = measures_of(networks, classifier, split.images(rows).to(device), split.labels[rows], seed)
    return findings_of(measures, len(classifier.class_names))


def log_findings(name: str, findings: list[Finding]) -> None:
    """Log a line for each number of an experiment that has failed, or that all are good."""
    for sentence in sentences(findings):
        logger.info("diagnosis of %s: %s", name, sentence)


def table(name: str, findings: list[Finding], n: int, seed: int) -> pandas.DataFrame:
    """Return one row per finding; n: the images they are of. Where nothing has failed, there is no remedy."""
    rows = [
        (name, found.measure, found.value, found.limit, found.verdict, "" if found.passes else found.criterion.remedy)
        for found in findings
    ]
    return pandas.DataFrame([(*row, n, seed) for row in rows], columns=list(COLUMNS))


@torch.inference_mode()
def measures_of(
    networks: StylexNetworks, classifier: Classifier, images: Tensor, labels: Tensor, seed: int
) -> dict[str, float]:
    """Return each measure that applies, by its name in `CRITERIA`; those of the condition only where there is one.

    images [n, C, H, W] in [-1, 1] on the networks' device, labels [n] int64. Samples of M(z), one per image, are
    conditioned on its logits; reconstructions also, with w kept, on those of a random image of another decision.
    """
    logits, w = in_batches(classifier, images), in_batches(networks.encoder, images)
    decided, top = logits.argmax(dim=1).cpu(), logits.cpu().topk(2, dim=1).values
    generator, size = torch.Generator().manual_seed(seed), (len(images), networks.config.networks.latent_dim)
    z = torch.randn(size, generator=generator).to(images.device)
    other = others(decided, generator) if networks.condition_dim else None
    render = partial(_render, networks)
    reconstructions = in_batches(render, w, logits)
    samples = in_batches(render, in_batches(networks.mapping, z), logits)
    scores = [in_batches(networks.discriminator, some, logits.softmax(dim=1)).cpu() for some in (images, samples)]
    found = {
        "accuracy": recalls(labels.cpu(), decided).mean(),
        "margin": (top[:, 0] - top[:, 1]).median(),
        "discriminator_spread": torch.cat(scores).std(),
        "rarest_class": recalls(decided, _decisions(classifier, samples)).min(),
    }
    if networks.condition_dim:
        found["class_kept"] = (_decisions(classifier, reconstructions) == decided).double().mean()
    if other is not None:
        swapped = _decisions(classifier, in_batches(render, w, logits[other.to(images.device)]))
        found["condition_followed"] = recalls(decided[other], swapped).mean()
    # Without a condition samples are of any class: all pairs are compared, of the images, too.
    classes = decided if networks.condition_dim else torch.zeros_like(decided)
    pixels = images.cpu(), reconstructions.cpu()
    return {name: float(value) for name, value in found.items()} | {
        "sample_diversity": diversity(pixels[0], samples.cpu(), classes),
        "own_nearer": own_nearer(*pixels, decided),
        "own_nearest": own_nearest(*pixels),
        "relative_l1": relative_l1(*pixels, decided),
    }


def _render(networks: StylexNetworks, w: Tensor, logits: Tensor) -> Tensor:
    return networks.synthesis.render(networks.synthesis.styles(networks.w_plus(w, logits)))


def _decisions(classifier: Classifier, images: Tensor) -> Tensor:
    return in_batches(classifier, images).argmax(dim=1).cpu()


def in_batches(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """Return what a function gives of some tensors [n, ...], called with `BATCH` rows at a time."""
    return torch.cat([function(*rows) for rows in zip(*(one.split(BATCH) for one in inputs), strict=True)])


def others(decided: Tensor, generator: torch.Generator) -> Tensor | None:
    """Return for each decision [n] the row of a random one that is another; None where all are the same."""
    differs = decided[:, None] != decided
    return torch.multinomial(differs.double(), 1, generator=generator)[:, 0] if differs.any() else None


def distances(first: Tensor, second: Tensor) -> Tensor:
    """Return the Euclidean distances [n, m], float64, between images [n, ...] and [m, ...]."""
    return torch.cdist(first.flatten(1).double(), second.flatten(1).double())


def own_nearest(images: Tensor, reconstructions: Tensor) -> float:
    """Return the fraction of reconstructions to which no image is nearer than their own; 1/n by chance."""
    between = distances(reconstructions, images)
    return float((between.diagonal() <= between.min(dim=1).values).double().mean())


def own_nearer(images: Tensor, reconstructions: Tensor, decided: Tensor) -> float:
    """Return how often a reconstruction is nearer to its own image than to another of the same decision [n].

    The mean over images of the fraction of those others; equal distances count half. 0.5 by chance, whatever n is.
    """
    between = distances(reconstructions, images)
    own = between.diagonal()[:, None]
    nearer = (own < between).double() + 0.5 * (own == between).double()
    alike = (decided[:, None] == decided) & ~torch.eye(len(decided), dtype=torch.bool)
    compared = alike.any(dim=1)
    return float(((nearer * alike).sum(dim=1) / alike.sum(dim=1))[compared].mean())


def relative_l1(images: Tensor, reconstructions: Tensor, decided: Tensor) -> float:
    """Return the mean L1 error relative to that of the mean image of the same decision [n]: 1 if no better."""
    labels, places = decided.unique(return_inverse=True)
    means = torch.stack([images[decided == label].mean(dim=0) for label in labels])
    return float((reconstructions - images).abs().mean() / (means[places] - images).abs().mean())


def diversity(images: Tensor, samples: Tensor, classes: Tensor) -> float:
    """Return the mean distance between two samples of a class relative to that between two images of it.

    classes [n]: of the images, and of the samples' conditions; the mean over the classes with two of them.
    """
    ratios = []
    for label in classes.unique():
        of_samples, of_images = (torch.pdist(each[classes == label].flatten(1).double()) for each in (samples, images))
        if len(of_samples):
            ratios.append(float(of_samples.mean() / of_images.mean()))
    return sum(ratios) / len(ratios) if ratios else float("nan")
