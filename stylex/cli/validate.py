"""`stylex validate`: check every configuration file before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    suite: Annotated[str | None, typer.Argument(help="A file of config/suites; default: config/config.yaml's.")] = None,
) -> None:
    """Check a suite, and every experiment, dataset and network that measures; say what the suite will run."""
    from stylex.config.loading import available, load_backbone_config, load_oracle_config, load_suite
    from stylex.datasets.catalog import dataset_names, dataset_spec
    from stylex.project import load_checked_experiment, load_project

    root = Path()
    project = load_project(root, suite)
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
        dataset = config.dataset
        classes = dataset.one_vs_rest or ", ".join(dataset.classes or ["all classes"])
        budget = "released" if config.released else f"{config.stylex.training.images} images"
        line = f"  {name}: {dataset.name} ({classes}), {dataset.resolution}x{dataset.resolution}, {budget}"
        typer.echo(line + (f", classifier of {config.classifier_of}" if config.classifier_of else ""))
    typer.echo(f"all {len(names)} experiments of config/experiments are valid")
