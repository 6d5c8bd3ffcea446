"""What trained networks do with validation images, as the numbers that tell the ways in which a training fails.

Images are judged as a file holds them. Distances are Euclidean, between pixels; the fixed noise maps are used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stylex.classifiers import Classifier
from stylex.classifiers.metrics import recalls
from stylex.datasets import ImageSplit, analysis_indices
from stylex.networks.model import StylexNetworks

IMAGES = 256  # the validation images that the history of a training measures, too
BATCH = 64


@dataclass(frozen=True)
class Seen:
    """What n validation images and the networks give, all on the CPU; images are [n, C, H, W] in [-1, 1].

    `samples`: of M(z), conditioned on the answers to the images, one each. `told`: reconstructions with w kept, and
    conditioned on the answer to a random image `other` of another decision; both are None where there is no condition,
    or no other decision.
    """

    images: Tensor
    labels: Tensor  # [n] int64
    logits: Tensor  # [n, classes], C's of the images
    reconstructions: Tensor
    samples: Tensor
    other: Tensor | None  # [n] int64, rows of the images
    decided: dict[str, Tensor]  # C's decisions [n] on images, reconstructions, samples and told
    scores: Tensor  # D's, [2n]: images, then samples
    conditioned: bool


def validation_images(split: ImageSplit) -> tuple[Tensor, Tensor]:
    """Return images [n, C, H, W] in [-1, 1] and labels [n] of a validation split, evenly over its classes."""
    rows = analysis_indices(split.labels, IMAGES)
    return split.images(rows), split.labels[rows]


@torch.inference_mode()
def look(networks: StylexNetworks, classifier: Classifier, images: Tensor, labels: Tensor, seed: int) -> Seen:
    """Render and judge all that is measured; images and labels [n] as of `validation_images`, on any device."""
    logits, w = in_batches(classifier, images), in_batches(networks.encoder, images)
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(len(images), networks.config.networks.latent_dim, generator=random).to(images.device)
    other = others(logits.argmax(dim=1).cpu(), random) if networks.condition_dim else None
    rendered = {
        "reconstructions": in_batches(_renderer(networks), w, logits),
        "samples": in_batches(_renderer(networks), in_batches(networks.mapping, z), logits),
    }
    if other is not None:
        rendered["told"] = in_batches(_renderer(networks), w, logits[other.to(images.device)])
    decided = {kind: in_batches(classifier, each).argmax(dim=1).cpu() for kind, each in rendered.items()}
    probabilities = logits.softmax(dim=1)
    scores = [in_batches(networks.discriminator, each, probabilities) for each in (images, rendered["samples"])]
    return Seen(
        images=images.cpu(),
        labels=labels.cpu(),
        logits=logits.cpu(),
        reconstructions=rendered["reconstructions"].cpu(),
        samples=rendered["samples"].cpu(),
        other=other,
        decided=decided | {"images": logits.argmax(dim=1).cpu()},
        scores=torch.cat(scores).cpu(),
        conditioned=networks.condition_dim > 0,
    )


def measured(seen: Seen) -> dict[str, float]:
    """Return each measure that applies, by its name in `CRITERIA`; those of the condition only where there is one."""
    decided, top = seen.decided["images"], seen.logits.topk(2, dim=1).values
    # Without a condition samples are of any class: all pairs are compared, of the images, too.
    alike = decided if seen.conditioned else torch.zeros_like(decided)
    found = {
        "accuracy": float(recalls(seen.labels, decided).mean()),
        "margin": float((top[:, 0] - top[:, 1]).median()),
        "sample_diversity": diversity(seen.images, seen.samples, alike),
        "discriminator_spread": float(seen.scores.std()),
        "own_nearer": own_nearer(seen.images, seen.reconstructions, decided),
        "rarest_class": float(recalls(decided, seen.decided["samples"]).min()),
        "own_nearest": own_nearest(seen.images, seen.reconstructions),
        "relative_l1": relative_l1(seen.images, seen.reconstructions, decided),
    }
    if seen.conditioned:
        found["class_kept"] = float((seen.decided["reconstructions"] == decided).double().mean())
    if seen.other is not None:
        found["condition_followed"] = float(recalls(decided[seen.other], seen.decided["told"]).mean())
    return found


def in_batches(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """Return what a function gives of some tensors [n, …], asked for `BATCH` rows at a time."""
    return torch.cat([function(*rows) for rows in zip(*(each.split(BATCH) for each in inputs), strict=True)])


def _renderer(networks: StylexNetworks) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda w, logits: networks.synthesis.render(networks.synthesis.styles(networks.w_plus(w, logits)))


def others(decided: Tensor, random: torch.Generator) -> Tensor | None:
    """Return for each decision [n] the row of a random one that is another; None where all are the same."""
    differs = decided[:, None] != decided
    if not differs.any():
        return None
    return torch.multinomial(differs.double(), 1, generator=random)[:, 0]


def distances(first: Tensor, second: Tensor) -> Tensor:
    """Return the Euclidean distances [n, m], float64, between images [n, …] and [m, …]."""
    return torch.cdist(first.flatten(1).double(), second.flatten(1).double())


def own_nearest(images: Tensor, reconstructions: Tensor) -> float:
    """Return the fraction of reconstructions to which no image is nearer than their own; 1/n by chance."""
    between = distances(reconstructions, images)
    return float((between.diagonal() <= between.min(dim=1).values).double().mean())


def own_nearer(images: Tensor, reconstructions: Tensor, decided: Tensor) -> float:
    """Return how often a reconstruction is nearer to its own image than to another that is decided [n] alike.

    The mean over images of the fraction of those others; equal distances count half. 0.5 by chance, whatever n is.
    """
    between = distances(reconstructions, images)
    own = between.diagonal()[:, None]
    nearer = (own < between).double() + 0.5 * (own == between).double()
    alike = (decided[:, None] == decided) & ~torch.eye(len(decided), dtype=torch.bool)
    compared = alike.any(dim=1)
    return float(((nearer * alike).sum(dim=1) / alike.sum(dim=1))[compared].mean())


def relative_l1(images: Tensor, reconstructions: Tensor, decided: Tensor) -> float:
    """Return the mean L1 error relative to that of the mean image of all decided [n] alike: 1 if no better."""
    means = torch.stack([images[decided == label].mean(dim=0) for label in decided.unique()])
    errors = (means[decided.unique(return_inverse=True)[1]] - images).abs().mean()
    return float((reconstructions - images).abs().mean() / errors)


def diversity(images: Tensor, samples: Tensor, classes: Tensor) -> float:
    """Return the mean distance between two samples of a class relative to that between two images of it.

    classes [n]: of the images, and what the samples are told; the mean over the classes with two of them.
    """
    ratios = []
    for label in classes.unique():
        pairs = [torch.pdist(each[classes == label].flatten(1).double()) for each in (samples, images)]
        if len(pairs[0]):
            ratios.append(float(pairs[0].mean() / pairs[1].mean()))
    return sum(ratios) / len(ratios) if ratios else float("nan")
