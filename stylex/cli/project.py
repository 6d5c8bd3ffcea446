"""The checked configuration of a project, for `stylex validate` and for the Snakefile. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stylex.config import (
    BackboneConfig,
    ExperimentConfig,
    SuiteConfig,
    load_backbone_config,
    load_experiment,
    load_pipeline,
    load_suite,
)
from stylex.datasets.catalog import validate_dataset
from stylex.errors import ConfigError


@dataclass(frozen=True)
class Project:
    """A suite by name, and the configuration of each of its experiments and of what they name.

    That is backbones, and experiments outside the suite whose classifiers are explained in it; these come last.
    """

    suite_name: str
    suite: SuiteConfig
    experiments: dict[str, ExperimentConfig]
    backbones: dict[str, BackboneConfig]


def load_project(root: Path, suite_name: str | None = None) -> Project:
    """Read and check a suite (default: that of config/config.yaml) and its experiments; raise `ConfigError`."""
    name = suite_name or load_pipeline(root).suite
    suite = load_suite(root, name)
    experiments = {each: load_checked_experiment(root, each) for each in suite.experiments}
    explained = {each.classifier_of for each in experiments.values() if each.classifier_of} - set(experiments)
    experiments |= {each: load_checked_experiment(root, each) for each in sorted(explained)}
    references = sorted({experiment.stylex.perceptual_backbone for experiment in experiments.values()})
    return Project(name, suite, experiments, {each: load_backbone_config(root, each) for each in references})


def load_checked_experiment(root: Path, name: str) -> ExperimentConfig:
    """Read one experiment and check its dataset and classes against the catalog; raise `ConfigError`."""
    experiment = load_experiment(root, name)
    try:
        validate_dataset(experiment.dataset)
    except ConfigError as error:
        raise ConfigError(f"{root / 'config' / 'experiments' / name}.yaml: {error}") from None
    return experiment
