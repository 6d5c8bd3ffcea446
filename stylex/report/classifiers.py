"""The table of explained classifiers ([L] Table 1, section 4), and how well StylEx keeps their decisions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas

from stylex.artifacts import read_json
from stylex.config import ExperimentConfig, experiment_paths, load_experiment
from stylex.evaluation.intervals import wilson_interval
from stylex.latents.table import read_latents
from stylex.report.confusion import class_list
from stylex.report.published import read_published
from stylex.report.table import NOTHING, Block, Table, percent


def classifiers_table(root: Path, experiments: Mapping[str, ExperimentConfig]) -> Table:
    """Build the table from each experiment's classifier metrics and latents."""
    data = pandas.DataFrame([classifier_row(root, name, config) for name, config in experiments.items()])
    return Table("classifiers", "Classifiers", data, (_ours(data), _context(root)))


def classifier_row(root: Path, name: str, config: ExperimentConfig) -> dict[str, object]:
    """Return one experiment's row; accuracy, ece and class_kept are fractions in [0, 1]."""
    paths = experiment_paths(root, name)
    metrics = read_json(paths.classifier.metrics)
    latents = read_latents(paths.latents)
    calibration = metrics.get("calibration", {})  # a classifier made elsewhere has none, nor what is asked by `get`
    kept = latents.reconstruction_logits.argmax(1) == latents.logits.argmax(1)
    return {
        "experiment": name,
        "domain": config.domain,
        "architecture": config.classifier.architecture,
        "dataset": _datasets(root, config),
        "classes": class_list(metrics["class_names"]),
        "n_test": metrics["n"],
        "accuracy": metrics["accuracy"],
        "balanced_accuracy": metrics.get("balanced_accuracy", math.nan),
        "majority": metrics.get("majority", math.nan),
        "ece": calibration.get("ece", math.nan),
        "temperature": calibration.get("temperature", math.nan),
        "ece_scaled": calibration.get("ece_scaled", math.nan),
        "n_reconstructed": len(latents.ids),
        "class_kept": kept.double().mean().item(),
        "reconstruction_l1": latents.reconstruction_l1.double().mean().item(),
    }


def _datasets(root: Path, config: ExperimentConfig) -> str:
    """Name the images, and those of the classifier where it was trained and tested on others ([V] 4.2)."""
    trained = load_experiment(root, config.classifier_of).dataset.name if config.classifier_of else config.dataset.name
    return config.dataset.name + (f" (classifier: {trained})" if trained != config.dataset.name else "")


def _ours(data: pandas.DataFrame) -> Block:
    frame = pandas.DataFrame({
        "Experiment": data["experiment"],
        "Domain": data["domain"],
        "Architecture": data["architecture"],
        "Dataset": data["dataset"],
        "Classes": data["classes"],
        "n test": data["n_test"],
        "Accuracy, %": _with_intervals(data, "accuracy", "n_test"),
        "Balanced (one class), %": [
            f"{percent(balanced)} ({percent(majority)})"
            for balanced, majority in zip(data["balanced_accuracy"], data["majority"], strict=True)
        ],
        "ECE, %": [percent(value) for value in data["ece"]],
        "Temperature": [NOTHING if math.isnan(value) else f"{value:.2f}" for value in data["temperature"]],
        "ECE scaled, %": [percent(value) for value in data["ece_scaled"]],
        "n reconstructed": data["n_reconstructed"],
        "Class kept, %": _with_intervals(data, "class_kept", "n_reconstructed"),
        "Mean |x' - x|": [f"{value:.3f}" for value in data["reconstruction_l1"]],
    })  # fmt: skip
    caption = (
        "This run: the explained classifiers on their test images, and their reconstructions. Balanced: mean over the"
        " classes; in its brackets the share of the largest class, the accuracy of always answering it. Class kept: the"
        " reconstruction is given the same class as the image. Other brackets: 95 % Wilson intervals. Differences: of"
        " pixels in [-1, 1]. ECE: expected calibration error on the test images (Guo et al. 2017, 15 bins); scaled:"
        " with the temperature that fits the validation images best, which is measured only: the classifier explained"
        " stays uncalibrated."
        " Lang et al. 2021 ask for an accuracy of at least 95 %."
    )
    return Block(caption, frame, tuple(frame.columns[5:]))


def _with_intervals(data: pandas.DataFrame, fraction: str, n: str) -> list[str]:
    cells = []
    for value, count in zip(data[fraction], data[n], strict=True):
        low, high = wilson_interval(round(value * count), count)
        cells.append(f"{percent(value)} ({percent(low)}–{percent(high)})")
    return cells


def _context(root: Path) -> Block:
    frame = read_published(root, "datasets")
    frame = frame.rename(columns={name: str(name).capitalize() for name in frame.columns})
    return Block("Context: what the papers classify. Not measured here.", frame, ())
