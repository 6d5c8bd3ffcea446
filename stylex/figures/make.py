"""Draw the figures of one experiment from its artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas
import torch

from stylex.artifacts import read_table
from stylex.attfind.maps import read_maps
from stylex.attfind.records import Method, read_attributes, read_effects
from stylex.classifiers import load_classifier
from stylex.config import ExperimentConfig, SuitePaths, experiment_paths, load_experiment, load_suite
from stylex.datasets.split import load_split
from stylex.errors import ArtifactError, AttributesNotFoundError
from stylex.figures.attributes import draw_attributes
from stylex.figures.curves import draw_frechet, draw_methods, draw_sufficiency
from stylex.figures.examples import choose_examples, render_examples, top_attributes
from stylex.figures.explanations import (
    Explanation,
    Tile,
    assemble,
    choose_explained,
    draw_explanations,
    images_of_steps,
    read_steps,
)
from stylex.figures.history import draw_history, read_history
from stylex.figures.names import SHOWN_ALONE, figure_names
from stylex.figures.style import save
from stylex.latents.table import read_latents
from stylex.networks.model import load_stylex


def attribute_figures(root: Path, suite: str, experiment: str, device: str) -> None:
    """Write <experiment>-attributes.png and .pdf: the top attributes, as figure 4 of [L]."""
    config, paths = load_experiment(root, experiment), experiment_paths(root, experiment)
    attributes = top_attributes(read_attributes(paths.attributes), config.evaluation.figure_attributes)
    if not attributes:
        raise AttributesNotFoundError(f"{paths.attributes} holds no attribute; lower attfind.threshold or train longer")
    effects = read_effects(paths.effects_shards(config.attfind.shards))
    latents = read_latents(paths.latents).under(config.attfind.protocol)
    networks = load_stylex(paths.stylex_model, device)
    classifier = load_classifier(paths.classifier.model, device)
    examples = choose_examples(attributes, effects, latents)
    maps = read_maps(paths.maps, attributes)
    rows = render_examples(attributes, examples, effects, latents, networks, classifier, maps)
    save(draw_attributes(rows), SuitePaths(root, suite), experiment, "attributes", provenance_of(root, experiment))


def explanation_figures(root: Path, suite: str, experiment: str, device: str) -> None:
    """Write <experiment>-{independent,subset}.png and .pdf: single images explained, as figures 7 and 8 of [L]."""
    config, paths = load_experiment(root, experiment), experiment_paths(root, experiment)
    every_step = config.evaluation.explanation_steps
    files = {Method.INDEPENDENT: (paths.independent, SHOWN_ALONE), Method.SUBSET: (paths.subset, every_step)}
    for method, (path, steps) in files.items():
        rows = [row for row in read_steps(path) if row["step"] <= steps]
        if not rows:
            raise AttributesNotFoundError(f"{path} explains no image; raise attfind.shift or train longer")
        blocks = _explanations(root, experiment, rows, method, device)
        save(draw_explanations(blocks), SuitePaths(root, suite), experiment, method, provenance_of(root, experiment))


def _explanations(
    root: Path, experiment: str, rows: list[dict[str, Any]], method: Method, device: str
) -> list[Explanation]:
    """Render the images to show; `rows`: of independent.csv or subset.csv, as `method` says."""
    config, paths = load_experiment(root, experiment), experiment_paths(root, experiment)
    latents = read_latents(paths.latents).under(config.attfind.protocol)
    networks = load_stylex(paths.stylex_model, device)
    split = load_split(root, config.dataset, config.attfind.split)
    extremes = torch.stack([latents.minima, latents.maxima]).to(device)
    blocks = []
    for identity in choose_explained(rows, latents.class_names):
        steps = [row for row in rows if row["id"] == identity]
        image = torch.tensor([_position(latents.ids, identity, paths.latents)])
        place = torch.tensor([_position(split.ids, identity, paths.latents)])
        target = steps[0]["target_class"]
        chances = latents.logits[image].softmax(dim=1)[0]
        pixels = split.images(place)[0].permute(1, 2, 0).numpy()
        original = Tile(pixels, "original", float(chances[latents.class_names.index(target)]))
        styles = latents.style_vector(image).to(device)
        images = images_of_steps(networks.synthesis, styles, extremes, config.attfind.shift, steps, method)
        predicted = latents.class_names[int(latents.reconstruction_logits[image].argmax())]
        blocks.append(assemble(predicted, target, original, images, steps, method))
    return blocks


def _position(ids: list[str], identity: str, path: Path) -> int:
    if identity not in ids:
        raise ArtifactError(f"image {identity} is not both in {path} and in the dataset; run encode and explain again")
    return ids.index(identity)


def _sufficiency(root: Path, experiment: str) -> pandas.DataFrame:
    """Return the experiment's rows of sufficiency.csv by its main protocol, of all methods."""
    frame = read_table(experiment_paths(root, experiment).sufficiency, text=("method", "protocol", "target_class"))
    return _main(frame, load_experiment(root, experiment))


def _main(frame: pandas.DataFrame, config: ExperimentConfig) -> pandas.DataFrame:
    """Return the rows of the main protocol."""
    return frame.loc[frame["protocol"] == config.attfind.protocol]


def methods_of_classifier(root: Path, suite: str, experiment: str) -> pandas.DataFrame:
    """Return the rows of sufficiency.csv of all of the suite that explain the same classifier on the same images."""
    explained, dataset = experiment_paths(root, experiment).classifier, load_experiment(root, experiment).dataset
    names = [name for name in load_suite(root, suite).experiments if load_experiment(root, name).dataset == dataset]
    parts = [_sufficiency(root, name) for name in names if experiment_paths(root, name).classifier == explained]
    return pandas.concat(parts, ignore_index=True)


def curve_figures(root: Path, suite: str, experiment: str) -> None:
    """Write those of <experiment>-{sufficiency,methods,frechet,history}.png and .pdf that the experiment has."""
    config, paths = load_experiment(root, experiment), experiment_paths(root, experiment)
    own = _sufficiency(root, experiment)
    figures = {
        "sufficiency": lambda: draw_sufficiency(own.loc[own["method"] == config.method]),  # without the baseline's
        "methods": lambda: draw_methods(methods_of_classifier(root, suite, experiment)),
        "frechet": lambda: draw_frechet(_main(read_table(paths.frechet, text=("protocol",)), config)),
        "history": lambda: draw_history(read_history(paths.stylex_history)),
    }
    for name in (each for each in figure_names(config) if each in figures):
        save(figures[name](), SuitePaths(root, suite), experiment, name, provenance_of(root, experiment))


def provenance_of(root: Path, experiment: str) -> str:
    """Return what the files of figures say of their origin."""
    config = load_experiment(root, experiment)
    return f"experiment {experiment}, config {config.digest()}, seed {config.seed}"
