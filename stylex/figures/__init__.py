"""Figures of one experiment. Drawing is pure functions of arrays; `make` reads the artifacts.

The workflow imports `stylex.figures.names` for the file names, so this module imports nothing heavy.
"""

from __future__ import annotations

from pathlib import Path


def experiment_figures(root: Path, suite: str, experiment: str, device: str) -> None:
    """Write every file of the experiment's `stylex.figures.names.figure_names` into results/<suite>/figures."""
    from stylex.config import load_experiment
    from stylex.figures import make, qualitative

    make.attribute_figures(root, suite, experiment, device)
    if not load_experiment(root, experiment).released:
        make.explanation_figures(root, suite, experiment, device)
    make.curve_figures(root, suite, experiment)
    qualitative.qualitative_figures(root, suite, experiment, device)
