"""Draw the figures of one experiment in a suite, from its artifacts; each file says where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas
from matplotlib.figure import Figure

from stylex.artifacts import read_table
from stylex.attfind.records import Attribute, Method, read_maps
from stylex.config import ExperimentConfig, SuitePaths, experiment_paths, load_experiment, load_suite
from stylex.errors import AttributesNotFoundError
from stylex.figures.animations import draw_still, frames, note_picture, render_sweep, save_gif
from stylex.figures.attributes import draw_attributes, render_attributes, top_attributes
from stylex.figures.comparison import draw_comparison, read_direction, render_compared
from stylex.figures.curves import draw_frechet, draw_history, draw_methods, draw_sufficiency, read_history
from stylex.figures.experiment import AnalysedExperiment, load_analysed
from stylex.figures.explanations import (
    draw_explanations,
    draw_teaser,
    read_steps,
    render_explanations,
    render_teaser,
)
from stylex.figures.names import ANIMATION_NAMES, SHOWN_ALONE, figure_names
from stylex.figures.reconstructions import choose_reconstructions, draw_reconstructions, render_reconstructions
from stylex.figures.style import note, save


def experiment_figures(root: Path, suite: str, name: str, device: str) -> None:
    """Write every file of the experiment's `stylex.figures.names.figure_names` into results/<suite>/figures."""
    experiment, paths = load_analysed(root, name, device), SuitePaths(root, suite)
    config = experiment.config
    own = _sufficiency(root, name, config)
    draw: dict[str, Callable[[], Figure]] = {
        "attributes": lambda: attributes_figure(experiment),
        "teaser": lambda: teaser_figure(experiment),
        "class-attributes": lambda: class_figure(experiment),
        "comparison": lambda: draw_comparison(
            render_compared(experiment), experiment.class_name, read_direction(experiment)[1]
        ),
        "independent": lambda: explanation_figure(experiment, Method.INDEPENDENT),
        "subset": lambda: explanation_figure(experiment, Method.SUBSET),
        "reconstructions": lambda: reconstruction_figure(experiment),
        "sufficiency": lambda: draw_sufficiency(own.loc[own["method"] == config.method]),  # without the baseline's
        "methods": lambda: draw_methods(methods_of_classifier(root, suite, name)),
        "frechet": lambda: draw_frechet(_main(read_table(experiment.paths.frechet, text=("protocol",)), config)),
        "history": lambda: draw_history(read_history(experiment.paths.stylex_history)),
    }
    provenance = f"experiment {name}, config {config.digest()}, seed {config.seed}"
    for figure in figure_names(config):
        save(draw[figure](), paths, name, figure, provenance)
    found = top_attributes(experiment.attributes, len(ANIMATION_NAMES))
    for number, animation in enumerate(ANIMATION_NAMES, start=1):
        sweep = render_sweep(experiment, found[number - 1], number) if number <= len(found) else None
        missing = f"AttFind found no attribute {number}."
        save(note(missing) if sweep is None else draw_still(sweep), paths, name, animation, provenance)
        pictures = [note_picture(missing)] if sweep is None else frames(sweep)
        save_gif(paths.figure(name, animation, "gif"), pictures, provenance)


def attributes_figure(experiment: AnalysedExperiment) -> Figure:
    """Return the top attributes of all classes, as figure 4 of [L]; raise `AttributesNotFoundError` without any."""
    attributes = top_attributes(experiment.attributes, experiment.config.evaluation.figure_attributes)
    if not attributes:
        path = experiment.paths.attributes
        raise AttributesNotFoundError(f"{path} holds no attribute; lower attfind.threshold or train longer")
    return _rows_of(experiment, attributes)


def class_figure(experiment: AnalysedExperiment) -> Figure:
    """Return the top attributes of one class, as figure 6 of [L]."""
    shown = experiment.config.evaluation.figure_attributes
    attributes = experiment.attributes.get(experiment.class_name, [])[:shown]
    if not attributes:
        return note(f"AttFind found no attribute that raises P({experiment.class_name}).")
    return _rows_of(experiment, attributes)


def _rows_of(experiment: AnalysedExperiment, attributes: list[Attribute]) -> Figure:
    return draw_attributes(render_attributes(experiment, attributes, read_maps(experiment.paths.maps, attributes)))


def teaser_figure(experiment: AnalysedExperiment) -> Figure:
    """Return one image and its top attributes, as figure 1 of [L]."""
    teaser = render_teaser(experiment)
    if teaser is None:
        return note(f"No attribute raises P({experiment.class_name}) on an analysed image.")
    return draw_teaser(*teaser)


def explanation_figure(experiment: AnalysedExperiment, method: Method) -> Figure:
    """Return single images explained, as figures 7 and 8 of [L]; raise `AttributesNotFoundError` without any."""
    paths, every_step = experiment.paths, experiment.config.evaluation.explanation_steps
    alone = method is Method.INDEPENDENT
    path, steps = (paths.independent, SHOWN_ALONE) if alone else (paths.subset, every_step)
    rows = [row for row in read_steps(path) if row["step"] <= steps]
    if not rows:
        raise AttributesNotFoundError(f"{path} explains no image; raise attfind.shift or train longer")
    return draw_explanations(render_explanations(experiment, rows, method))


def reconstruction_figure(experiment: AnalysedExperiment) -> Figure:
    """Return images, reconstructions and differences."""
    spaced, worst = choose_reconstructions(experiment.latents.reconstruction_l1)
    return draw_reconstructions(render_reconstructions(experiment, spaced), render_reconstructions(experiment, worst))


def methods_of_classifier(root: Path, suite: str, name: str) -> pandas.DataFrame:
    """Return the rows of sufficiency.csv of all of the suite that explain the same classifier on the same images."""
    explained, dataset = experiment_paths(root, name).classifier, load_experiment(root, name).dataset
    configs = {each: load_experiment(root, each) for each in load_suite(root, suite).experiments}
    parts = [
        _sufficiency(root, each, config)
        for each, config in configs.items()
        if config.dataset == dataset and experiment_paths(root, each).classifier == explained
    ]
    return pandas.concat(parts, ignore_index=True)


def _sufficiency(root: Path, name: str, config: ExperimentConfig) -> pandas.DataFrame:
    """Return the experiment's rows of sufficiency.csv by its main protocol, of all methods."""
    path = experiment_paths(root, name).sufficiency
    return _main(read_table(path, text=("method", "protocol", "target_class")), config)


def _main(frame: pandas.DataFrame, config: ExperimentConfig) -> pandas.DataFrame:
    """Return the rows of the main protocol."""
    return frame.loc[frame["protocol"] == config.attfind.protocol]
