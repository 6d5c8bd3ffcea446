"""Draw the figures of one experiment in a suite, from its artifacts; each file says where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from stylex.artifacts import atomic_path, require
from stylex.config import SuitePaths
from stylex.figures import attributes, comparison, curves, explanations, reconstructions
from stylex.figures.animations import animation, save_gif
from stylex.figures.catalog import ANIMATION_NAMES, COPIES, FIGURES, figure_names
from stylex.figures.experiment import AnalysedExperiment, load_analysed
from stylex.figures.style import save

# Imported by name, so that a change in one of them draws the figures again (stylex.source).
MODULES = {
    module.__name__.rpartition(".")[2]: module
    for module in (attributes, comparison, curves, explanations, reconstructions)
}


def experiment_figures(root: Path, suite: str, name: str, device: str) -> None:
    """Write every file of the experiment's `stylex.figures.catalog.figure_names` into results/<suite>/figures."""
    experiment, paths = load_analysed(root, suite, name, device), SuitePaths(root, suite)
    config = experiment.config
    provenance = f"experiment {name}, config {config.digest()}, seed {config.seed}"
    for figure in figure_names(config):
        if figure in COPIES:
            with atomic_path(paths.figure(name, figure, "png")) as copy:
                copy.write_bytes(require(getattr(experiment.paths, COPIES[figure])).read_bytes())
            continue
        save(drawing(figure)(experiment), paths, name, figure, provenance)
    for number, figure in enumerate(ANIMATION_NAMES, start=1):
        still, frames = animation(experiment, number)
        save(still, paths, name, figure, provenance)
        save_gif(paths.figure(name, figure, "gif"), frames, provenance)


def drawing(figure: str) -> Callable[[AnalysedExperiment], Figure]:
    """Return the function that the catalog names."""
    module, _, function = FIGURES[figure].draw.partition(".")
    return getattr(MODULES[module], function)
