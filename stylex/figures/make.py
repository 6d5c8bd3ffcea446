"""Draw the figures of one experiment from its artifacts."""

from __future__ import annotations

from pathlib import Path

from stylex.artifacts import read_table
from stylex.attfind.records import read_attributes, read_effects
from stylex.classifiers import load_classifier
from stylex.config import ExperimentPaths, SuitePaths, load_experiment
from stylex.errors import AttributesNotFoundError
from stylex.figures.attributes import draw_attributes
from stylex.figures.curves import draw_frechet, draw_sufficiency
from stylex.figures.examples import choose_examples, render_examples, top_attributes
from stylex.figures.history import draw_history
from stylex.figures.style import save
from stylex.latents.table import read_latents
from stylex.networks.model import load_stylex


def attribute_figures(root: Path, suite: str, experiment: str, device: str) -> None:
    """Write <experiment>-attributes.png and .pdf: the top attributes, as figure 4 of [L]."""
    config, paths = load_experiment(root, experiment), ExperimentPaths(root, experiment)
    attributes = top_attributes(read_attributes(paths.attributes), config.evaluation.figure_attributes)
    if not attributes:
        raise AttributesNotFoundError(f"{paths.attributes} holds no attribute; lower attfind.threshold or train longer")
    effects, latents = read_effects(paths.effects()), read_latents(paths.latents)
    networks = load_stylex(paths.stylex_model, device)
    classifier = load_classifier(paths.classifier.model, device)
    examples = choose_examples(attributes, effects, latents)
    rows = render_examples(attributes, examples, effects, latents, networks, classifier)
    save(draw_attributes(rows), SuitePaths(root, suite), experiment, "attributes", _provenance(root, experiment))


def curve_figures(root: Path, suite: str, experiment: str) -> None:
    """Write <experiment>-{sufficiency,frechet,history}.png and .pdf."""
    paths = ExperimentPaths(root, experiment)
    figures = {
        "sufficiency": draw_sufficiency(read_table(paths.sufficiency, text=("target_class",))),
        "frechet": draw_frechet(read_table(paths.frechet)),
        "history": draw_history(read_table(paths.stylex_history)),
    }
    for name, figure in figures.items():
        save(figure, SuitePaths(root, suite), experiment, name, _provenance(root, experiment))


def _provenance(root: Path, experiment: str) -> str:
    config = load_experiment(root, experiment)
    return f"experiment {experiment}, config {config.digest()}, seed {config.seed}"
