"""`stylex validate`: check every configuration file before anything runs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from stylex.config import ExperimentConfig

logger = logging.getLogger("stylex")


def command(
    suite: Annotated[str | None, typer.Argument(help="A file of config/suites; default: config/config.yaml's.")] = None,
) -> None:
    """Check a suite, and every experiment, dataset and network that measures; say what the suite will run."""
    from stylex.config.loading import available, load_backbone_config, load_oracle_config, load_suite
    from stylex.datasets.catalog import dataset_names, dataset_spec
    from stylex.figures.names import check_names
    from stylex.project import load_checked_experiment, load_project

    root = Path()
    project = load_project(root, suite)
    check_names(project.suite_name, project.suite.experiments)
    if project.suite.next:
        load_suite(root, project.suite.next)
    names = available(root, "experiments")
    for name in names:
        load_checked_experiment(root, name)
    for name in dataset_names(root):
        dataset_spec(root, name)
    for name in available(root, "backbones"):
        load_backbone_config(root, name)
    for name in available(root, "oracles"):
        load_oracle_config(root, name)
    typer.echo(f"suite {project.suite_name}: {project.suite.title}")
    for name, config in project.experiments.items():
        typer.echo(f"  {name}: {described(config)}")
        if warning := of_fonts(root, config):
            logger.warning("%s: %s", name, warning)
    typer.echo(f"all {len(names)} experiments of config/experiments are valid")


def described(config: ExperimentConfig) -> str:
    """Return what an experiment is about, in a line."""
    dataset = config.dataset
    classes = f"{dataset.one_vs_rest} against all others" if dataset.one_vs_rest else "all classes"
    classes = ", ".join(dataset.classes) if dataset.classes else classes
    budget = "released" if config.released else f"{config.stylex.training.images} images"
    line = f"{dataset.name} ({classes}), {dataset.resolution}x{dataset.resolution}, {budget}"
    return line + (f", classifier of {config.classifier_of}" if config.classifier_of else "")


def of_fonts(root: Path, config: ExperimentConfig) -> str | None:
    """Return one line when no installed font has what the classes are called, as far as these are known."""
    from stylex.datasets.catalog import dataset_spec, known_classes

    names = config.dataset.class_names
    if names is None and not config.released:
        names = known_classes(root, dataset_spec(root, config.dataset.name), config.dataset.resolution)
    if "".join(names or ()).isascii():
        return None
    from stylex.figures.fonts import warning

    return warning(names or ())
