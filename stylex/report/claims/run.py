"""Collect what the claims are judged by: the suite's tables, and those artifacts of its experiments that exist."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas

from stylex.artifacts import read_table
from stylex.config import ExperimentConfig, ExperimentPaths
from stylex.report.claims.model import Run
from stylex.report.published import read_published
from stylex.report.table import Table

# Relative to the experiment's folder. A suite need not compute all of them.
ARTIFACTS = {
    "attributes": "attfind/attributes.csv",
    "flips": "flips.csv",
    "random_flips": "random_flips.csv",
    "independent": "independent.csv",
    "counterfactuals": "counterfactuals.csv",
    "counterfactual_images": "counterfactual_images.csv",
    "history": "stylex/history.csv",
    "factor_fit": "factor_fit.csv",
}
TEXT = ("id", "target_class", "direction", "method", "protocol", "factor")
PUBLISHED = ("sufficiency", "user_study")


def read_run(root: Path, experiments: Mapping[str, ExperimentConfig], tables: Iterable[Table]) -> Run:
    """Read the artifacts that exist; raise `ArtifactError` when one of them is damaged."""
    stacked = {name: _stacked(root, experiments, file) for name, file in ARTIFACTS.items()}
    return Run(
        experiments=dict(experiments),
        tables={table.name: table.data for table in tables},
        artifacts={name: frame for name, frame in stacked.items() if frame is not None},
        published={name: read_published(root, name) for name in PUBLISHED},
    )


def _stacked(root: Path, experiments: Iterable[str], file: str) -> pandas.DataFrame | None:
    paths = {name: ExperimentPaths(root, name).folder / file for name in experiments}
    frames = [read_table(path, TEXT).assign(experiment=name) for name, path in paths.items() if path.is_file()]
    return pandas.concat([frame.astype(object) for frame in frames], ignore_index=True) if frames else None
