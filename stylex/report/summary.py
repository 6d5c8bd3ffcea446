"""A finished suite in a few lines: do the explanations turn the classifier, and into images of the other class."""

from __future__ import annotations

from pathlib import Path

import pandas

from stylex.config import ExperimentConfig, ExperimentPaths, load_experiment
from stylex.config.analysis import POOLED
from stylex.config.loading import load_suite
from stylex.config.paths import SuitePaths
from stylex.report.counterfactuals import main_rows


def summary(root: Path, suite: str) -> list[str]:
    """Return the lines; raise `ArtifactError` when a table of the suite is missing."""
    content = load_suite(root, suite)
    lines = []
    for name in content.experiments if "counterfactuals" in content.tables else []:
        lines += _of_experiment(root, name, load_experiment(root, name))
    lines.append(f"The report: {SuitePaths(root, suite).report}")
    if content.next:
        lines.append(f"Next, {load_suite(root, content.next).title}: make demo SUITE={content.next}")
    return lines


def _of_experiment(root: Path, name: str, config: ExperimentConfig) -> list[str]:
    """Return the row of all directions, by the main protocol, in words; nothing of a released model."""
    if config.released:
        return []
    row = main_rows(ExperimentPaths(root, name), config)[POOLED]
    parts = [
        f"{config.title}: of {row['images']} images, {row['validity']:.0%} turned within"
        f" {config.evaluation.counterfactual_attributes} attributes"
    ]
    if config.evaluation.oracle is not None:
        parts.append(f"{row['agreement']:.0%} by an independent classifier too")
    if pandas.notna(row["frechet_ratio"]):  # of too few turned ones there is none
        parts.append(f"Fréchet distance to the other class {row['frechet_ratio']:.1f} times that of reconstructions")
    return [", ".join(parts)]
