"""A finished suite in a few lines: do the explanations turn the classifier, and into images of the other class."""

from __future__ import annotations

from pathlib import Path

from stylex.artifacts import read_table
from stylex.config import ExperimentConfig, ExperimentPaths, load_experiment
from stylex.config.analysis import POOLED
from stylex.config.loading import load_suite
from stylex.config.paths import SuitePaths

NEXT = "make demo SUITE=seeds"


def summary(root: Path, suite: str) -> list[str]:
    """Return the lines; raise `ArtifactError` when a table of the suite is missing."""
    content = load_suite(root, suite)
    lines = []
    for name in content.experiments if "counterfactuals" in content.tables else []:
        lines += _of_experiment(root, name, load_experiment(root, name))
    page = SuitePaths(root, suite).report
    return [*lines, f"The report: {page}", f"Next, three seeds of each: {NEXT}"]


def _of_experiment(root: Path, name: str, config: ExperimentConfig) -> list[str]:
    """Return the row of all directions, by the main protocol, in words; nothing of a released model."""
    if config.released:
        return []
    table = read_table(ExperimentPaths(root, name).counterfactuals, ("method", "protocol", "target_class"))
    chosen = (table["method"] == config.method) & (table["protocol"] == config.attfind.protocol)
    row = table.loc[chosen & (table["target_class"] == POOLED)].iloc[0]
    known = config.evaluation.oracle is not None
    agreed = f"{row['agreement']:.0%} by an independent classifier too, " if known else ""
    return [
        f"{config.title}: of {row['images']} images, {row['validity']:.0%} turned within"
        f" {config.evaluation.counterfactual_attributes} attributes, {agreed}Fréchet distance to the other class"
        f" {row['frechet_ratio']:.1f} times that of reconstructions"
    ]
