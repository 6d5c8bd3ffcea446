"""Whether the user's classifier is read as it was meant: the checks of `stylex check-classifier`, and its import.

A wrong declaration mostly shows as an accuracy at chance. So other declarations are tried on the same images, and the
one with which the classifier does much better is named.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from stylex.artifacts import provenance, write_json
from stylex.classifiers.formats import Network, batched, outputs_of, own_runtime
from stylex.classifiers.imported import Declaration, ImportedClassifier, Resolved, read_imported, save_imported
from stylex.classifiers.metrics import accuracy, confusion_matrix, measured
from stylex.classifiers.networks import IMAGENET, UNIT
from stylex.config import ExperimentConfig, ExperimentPaths, ImportedClassifierConfig, NetworkPaths, load_experiment
from stylex.config.imported import Range
from stylex.datasets import load_split
from stylex.errors import AccuracyError, ConfigError
from stylex.quantization import to_uint8

IMAGES = 512  # looked at, at the most, evenly over the split
PARTS = 64  # images at a time
FEW = 8  # for what one image tells as well as many
TOLERANCE = 1e-5  # of logits in float32, relative and absolute
MATES = 1e-4  # of logits: another size of a batch adds up in another order
LEVELS = 1.5  # of 255: the user's own transform rounds resized images to bytes, mostly twice; here nothing is rounded
PROBABILITY = 0.01  # how much of an answer that rounding may change
GAIN = 0.1  # of accuracy, by which another declaration must do better to be named; above chance also half of the errors
NEAR_CHANCE = 0.05  # above the share of the largest class
AFFINE: dict[Range, tuple[float, float]] = {"0..1": (1, 0), "0..255": (255, 0), "-1..1": (2, -1)}
BYTES = ((103.939, 116.779, 123.68), (1.0, 1.0, 1.0))  # of Caffe's networks: blue, green, red
logger = logging.getLogger("stylex")


class Check(NamedTuple):
    """One line of the table."""

    name: str
    passed: bool
    finding: str


class Attempt(NamedTuple):
    """Another declaration, and what it says."""

    declaration: Declaration
    suspicion: str


def failures(checks: Sequence[Check]) -> str:
    """Return what failed as one line, or an empty text."""
    return "; ".join(f"{check.name}: {check.finding}" for check in checks if not check.passed)


def check_experiment(root: Path, name: str, device: str = "cpu") -> list[Check]:
    """Check the user's classifier of an experiment on its validation images; raise as `read_imported`."""
    experiment = load_experiment(root, name)
    config = experiment.classifier
    if not isinstance(config, ImportedClassifierConfig):
        raise ConfigError(
            f"experiment '{name}' trains its classifier itself: there is nothing to check; your own is named in"
            " classifier.file"
        )
    val = load_split(root, experiment.dataset, "val")
    return check_classifier(
        config, root, val.images(chosen(len(val))), val.labels[chosen(len(val))], val.class_names, device
    )


def check_classifier(
    config: ImportedClassifierConfig,
    root: Path,
    images: Tensor,
    labels: Tensor | None,
    class_names: Sequence[str],
    device: str = "cpu",
) -> list[Check]:
    """Check what is declared of a classifier on images [N, C, S, S], float in [-1, 1], and their labels [N], if any."""
    channels, side = images.shape[1], images.shape[2]
    classifier, _, resolved = read_imported(config, root, class_names, channels, side, "classifier", device)
    return check_network(classifier, resolved, config, images, labels)


def check_network(
    classifier: ImportedClassifier,
    resolved: Resolved,
    config: ImportedClassifierConfig,
    images: Tensor,
    labels: Tensor | None,
) -> list[Check]:
    """Check a classifier that has been read; the images are on any device."""
    device = classifier.anchor.device
    few = images[:FEW].to(device)
    with torch.no_grad():
        raw = _outputs(classifier, few)
    checks = [_known(resolved), _of_outputs(raw, resolved.declaration)]
    if not checks[-1].passed:
        return checks
    checks += [_same_twice(classifier, few), _without_mates(classifier, few), _gradient(classifier, few)]
    checks += _runtime(classifier, resolved, config, few)
    if labels is not None:
        checks.append(_accuracy(classifier, images, labels))
    return checks


def import_classifier(root: Path, name: str, experiment: ExperimentConfig, device: str = "cpu") -> None:
    """Check the user's classifier on validation images, and write it and how well it does on the test split.

    Raises `ConfigError` when a check fails, `AccuracyError` when its balanced accuracy on the validation split is below
    classifier.min_accuracy: then there is no classifier, and metrics.json is in the folder rejected/.
    """
    config, wanted = experiment.classifier, experiment.dataset
    assert isinstance(config, ImportedClassifierConfig)
    val, test = (load_split(root, wanted, split) for split in ("val", "test"))
    classifier, description, resolved = read_imported(
        config, root, val.class_names, val.channels, val.resolution, name, device
    )
    rows = chosen(len(val))
    if failed := failures(check_network(classifier, resolved, config, val.images(rows), val.labels[rows])):
        raise ConfigError(f"classifier of '{name}': {failed}; `stylex check-classifier {name}` shows all checks")
    origin = provenance(experiment.digest(), experiment.seed, device) | {"weights_digest": description.weights_digest}
    metrics = {**measured(classifier, val, test, device), "provenance": origin}
    paths = ExperimentPaths(root, name).classifier
    rejected = NetworkPaths(paths.folder / "rejected")
    if metrics["val_balanced_accuracy"] < config.min_accuracy:
        write_json(rejected.metrics, metrics)
        raise AccuracyError(
            f"classifier of '{name}': balanced accuracy {metrics['val_balanced_accuracy']:.4f} on {metrics['val_n']}"
            f" validation images is below classifier.min_accuracy = {config.min_accuracy}; lower the bound, or declare"
            f" the inputs as they were in its training (confusion matrix: {rejected.metrics})"
        )
    shutil.rmtree(rejected.folder, ignore_errors=True)
    save_imported(paths.model, resolved.source, description, origin)
    write_json(paths.metrics, metrics)
    logger.info("classifier of %s: %s, digest %s", name, description.file, description.weights_digest)


def chosen(count: int) -> Tensor:
    """Return which of `count` images are looked at, int64, evenly over all."""
    return torch.linspace(0, count - 1, min(count, IMAGES)).round().long()


def _known(resolved: Resolved) -> Check:
    """Say where the values of the declaration come from; all others are defaults."""
    keys: dict[str, list[str]] = {}
    for key, origin in resolved.origins.items():
        keys.setdefault(origin, []).append(key)
    return Check("declaration", True, "; ".join(f"{origin}: {', '.join(each)}" for origin, each in keys.items()))


def _outputs(classifier: ImportedClassifier, images: Tensor) -> Tensor:
    """Return what the network returns; raise `ConfigError` where it does not take the images."""
    declaration = classifier.declaration
    try:
        return torch.cat([classifier.outputs(part) for part in images.split(PARTS)])
    except (RuntimeError, AssertionError, IndexError, ValueError, TypeError) as error:  # what networks raise
        shape = list(declaration.preprocess(images[:1]).shape[1:])
        reason = " ".join(str(error).split())[-160:]
        raise ConfigError(
            f"classifier.inputs: the network does not take images {shape} ({declaration.layout} without the n); declare"
            f" size, channels or layout: {reason}"
        ) from None


def _of_outputs(raw: Tensor, declaration: Declaration) -> Check:
    """Check the number of outputs, that they are finite, and whether they are what they are declared to be."""
    name = "outputs"
    declaration.logits(raw)  # raises for another number of them
    if not raw.isfinite().all():
        return Check(name, False, "NaN or infinite on real images: fix the network, or classifier.inputs.range")
    low, high = raw.min().item(), raw.max().item()
    within = low >= 0 and high <= 1
    sums = (raw.sum(1) - 1).abs().max().item() < 1e-3
    if declaration.output == "probabilities" and (not within or (raw.shape[1] > 1 and not sums)):
        return Check(name, False, f"from {low:.3g} to {high:.3g}: classifier.output is probably logits")
    if declaration.output == "logits" and within and (raw.shape[1] == 1 or sums):
        rows = "in [0, 1]" if raw.shape[1] == 1 else "of each image in [0, 1], with the sum 1"
        return Check(name, False, f"{rows}: classifier.output is probably probabilities")
    return Check(name, True, f"{raw.shape[1]} {declaration.output}, from {low:.3g} to {high:.3g}")


@torch.no_grad()
def _same_twice(classifier: ImportedClassifier, images: Tensor) -> Check:
    difference = (classifier(images) - classifier(images)).abs().max().item()
    finding = "the same answer twice" if difference <= TOLERANCE else f"two answers differ by {difference:.2g}: dropout"
    return Check(
        "eval mode",
        difference <= TOLERANCE,
        finding + (" is on; save it after model.eval()" * (difference > TOLERANCE)),
    )


@torch.no_grad()
def _without_mates(classifier: ImportedClassifier, images: Tensor) -> Check:
    together = classifier(images)
    alone = torch.cat([classifier(image[None]) for image in images])
    passed = torch.allclose(alone, together, rtol=MATES, atol=MATES)
    finding = f"logits of an image alone and among others differ by {(alone - together).abs().max().item():.2g}"
    return Check("batch mates", passed, finding + ("" if passed else ": save the network after model.eval()"))


def _gradient(classifier: ImportedClassifier, images: Tensor) -> Check:
    inputs = images.detach().clone().requires_grad_()
    logits = classifier(inputs)
    if not logits.requires_grad:
        return Check("gradient", False, "none reaches the image: the network detaches it")
    (gradient,) = torch.autograd.grad(
        (logits - logits.detach().mean(1, keepdim=True)).square().sum(), inputs, allow_unused=True
    )
    if gradient is None or not gradient.isfinite().all() or not gradient.any():
        what = "is not finite" if gradient is not None and gradient.any() else "is 0 everywhere"
        return Check("gradient", False, f"that of the logits {what}: StylEx cannot be trained with it")
    return Check("gradient", True, f"finite, up to {gradient.abs().max().item():.2g} a pixel")


@torch.no_grad()
def _runtime(
    classifier: ImportedClassifier, resolved: Resolved, config: ImportedClassifierConfig, images: Tensor
) -> list[Check]:
    """Compare with the user's own way to run the file: the network on the same inputs, then its own preprocessing."""
    if resolved.declaration.precision != "float32":
        return []
    declaration, runtime = classifier.declaration, own_runtime(resolved.source)
    inputs = declaration.preprocess(images).cpu()
    theirs = declaration.logits(outputs_of(runtime.network(inputs)))[:, classifier.columns]
    ours = classifier(images).cpu()
    difference = (ours - theirs).abs().max().item()
    on_cuda = images.device.type != "cpu"  # whose convolutions are not those of a CPU
    near = torch.allclose(ours, theirs, rtol=TOLERANCE, atol=MATES * 10 if on_cuda else TOLERANCE)
    checks = [Check(f"as in {runtime.name}", near, f"logits differ by {difference:.2g}")]
    if runtime.prepare is None or config.inputs.model_fields_set:
        return checks
    prepared = runtime.prepare(to_uint8(images))
    if prepared.shape != inputs.shape:
        finding = (
            f"{list(prepared.shape[1:])}, here {list(inputs.shape[1:])}: declare classifier.inputs.size and resize"
        )
        return [*checks, Check("preprocessing", False, f"its own gives {finding}")]
    scale = torch.tensor(declaration.sd).reshape(1, -1, 1, 1) * 255 / AFFINE[declaration.range][0]
    levels = ((prepared - inputs) * scale).abs().max().item()
    answers = declaration.logits(outputs_of(runtime.network(prepared)))[:, classifier.columns].softmax(1)
    change = (answers - ours.softmax(1)).abs().max().item()
    finding = f"as its own to {levels:.2g} of 255 levels, probabilities to {change:.2g}"
    return [*checks, Check("preprocessing", levels <= LEVELS and change <= PROBABILITY, finding)]


@torch.no_grad()
def _accuracy(classifier: ImportedClassifier, images: Tensor, labels: Tensor) -> Check:
    """Measure accuracy, and try other declarations: one with which the classifier does much better is named."""
    name, declared, majority = "accuracy", classifier.declaration, labels.bincount().max().item() / len(labels)
    logits = _logits(classifier, declared, images)
    found = accuracy(logits, labels)
    text = f"{found:.3f} on {len(labels)} images; one answer for all has {majority:.3f}"
    tried = [(accuracy(_logits(classifier, each.declaration, images), labels), each) for each in _attempts(declared)]
    tried += _permuted(logits, labels, classifier)
    best = max((score for score, _ in tried), default=0.0)
    unknowing = found <= majority + NEAR_CHANCE
    if best - found >= (GAIN if unknowing else max(GAIN, (1 - found) / 2)):
        close = [each.suspicion for score, each in tried if score >= best - GAIN / 10]
        suspicions = ", or ".join(close[:3])
        return Check(name, False, f"{suspicions}: accuracy {found:.2f} as declared, {best:.2f} with it")
    if unknowing:
        return Check(name, False, f"{text}: it knows nothing of these images, whatever is declared")
    return Check(name, True, text)


def _logits(classifier: ImportedClassifier, declaration: Declaration, images: Tensor) -> Tensor:
    network, device = Network(classifier.user_network, classifier.batch), classifier.anchor.device
    parts = [
        declaration.logits(batched(network, declaration.preprocess(part.to(device)))) for part in images.split(PARTS)
    ]
    return torch.cat(parts)[:, classifier.columns].nan_to_num().cpu()


def _attempts(declared: Declaration) -> Iterator[Attempt]:
    """Yield declarations that people forget: the order of channels, range, mean and sd; then both."""
    colours = declared.channels == 3
    other = "rgb" if declared.channel_order == "bgr" else "bgr"
    if colours:
        yield Attempt(declared.changed(channel_order=other), f"classifier.inputs.channel_order is probably {other}")
    known = {_affine(declared)}
    for range, (mean, sd), called in _normalisations(declared):
        changed = declared.changed(range=range, mean=mean, sd=sd)
        if (affine := _affine(changed)) in known or (len(mean) == 3 and not colours):
            continue
        known.add(affine)
        suspicion = _of_normalisation(declared, changed, called)
        yield Attempt(changed, suspicion)
        if colours and len(mean) == 3:
            yield Attempt(changed.changed(channel_order=other), f"{suspicion}, with channel_order: {other}")


def _normalisations(declared: Declaration) -> Iterator[tuple[Range, tuple[tuple[float, ...], tuple[float, ...]], str]]:
    own, none = (declared.mean, declared.sd), ((0.0,), (1.0,))
    for range in AFFINE:
        yield range, own, ""
    for range in AFFINE:
        yield range, none, "left out"
    imagenet = tuple(IMAGENET[0]), tuple(IMAGENET[1])
    yield "0..1", imagenet, "those of ImageNet"
    yield "0..1", (tuple(UNIT[0]), tuple(UNIT[1])), "0.5 each"
    yield "0..255", BYTES, "those of Caffe"


def _of_normalisation(declared: Declaration, changed: Declaration, called: str) -> str:
    """Name what differs of range, mean and sd."""
    ranges = changed.range != declared.range
    means = (changed.mean, changed.sd) != (declared.mean, declared.sd)
    if not means:
        return f"classifier.inputs.range is probably {changed.range}"
    values = "" if called == "left out" else f" ({_numbers(changed.mean)} and {_numbers(changed.sd)})"
    also = f", and range {changed.range}" if ranges else ""
    return f"classifier.inputs.mean and sd are probably {called}{values}{also}"


def _numbers(values: Sequence[float]) -> str:
    return f"[{', '.join(f'{value:g}' for value in values)}]"


def _affine(declaration: Declaration) -> tuple[tuple[float, float], ...]:
    """Return factor and offset for each channel of what becomes of images in [0, 1], rounded."""
    factor, offset = AFFINE[declaration.range]
    count = declaration.channels
    mean, sd = (each * count if len(each) == 1 else each for each in (declaration.mean, declaration.sd))
    return tuple(
        (round(factor / spread, 3), round((offset - centre) / spread, 3))
        for centre, spread in zip(mean, sd, strict=True)
    )


def _permuted(logits: Tensor, labels: Tensor, classifier: ImportedClassifier) -> list[tuple[float, Attempt]]:
    """Return the accuracy with the classes in the order that fits best, and that order."""
    from scipy.optimize import linear_sum_assignment  # takes long to import

    counts = confusion_matrix(logits, labels)  # [true class, decided class]
    decided, true = linear_sum_assignment(-counts.T.numpy())
    order = list(classifier.declaration.classes)
    for column, name in zip(decided, true, strict=True):
        order[classifier.columns[column]] = classifier.class_names[name]
    if order == list(classifier.declaration.classes):
        return []
    right = counts.T.numpy()[decided, true].sum() / len(labels)
    named = _shown(order)
    changed = classifier.declaration.changed(classes=tuple(order))
    return [(float(right), Attempt(changed, f"classifier.classes are probably in the order {named}"))]


def _shown(order: Sequence[str]) -> str:
    return f"[{', '.join(order[:10])}{', …' if len(order) > 10 else ''}]"
