"""The checked configuration of a project, for `stylex validate` and for the Snakefile, and its JSON schemas.

Free of torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylex.config import (
    BackboneConfig,
    DatasetFile,
    ExperimentConfig,
    OracleConfig,
    RegressorConfig,
    SuiteConfig,
    load_backbone_config,
    load_experiment,
    load_oracle_config,
    load_pipeline,
    load_regressor_config,
    load_suite,
)
from stylex.config.base import Section
from stylex.config.experiments import PipelineConfig
from stylex.datasets.catalog import validate_dataset, validate_explained, validate_oracle, validate_released_images
from stylex.errors import ConfigError
from stylex.slurm import SiteConfig, load_site

DRAFT = "https://json-schema.org/draft/2020-12/schema"
MODELS: dict[str, type[Section]] = {
    "config": PipelineConfig,
    "suite": SuiteConfig,
    "experiment": ExperimentConfig,
    "dataset": DatasetFile,
    "backbone": BackboneConfig,
    "oracle": OracleConfig,
    "regressor": RegressorConfig,
    "site": SiteConfig,
}


@dataclass(frozen=True)
class Project:
    """A suite by name, the configuration of each of its experiments and of what they name, and the site they run on.

    What they name is backbones, oracles, regressors, and experiments outside the suite whose classifiers are explained
    in it; these come last.
    """

    suite_name: str
    suite: SuiteConfig
    experiments: dict[str, ExperimentConfig]
    backbones: dict[str, BackboneConfig]
    oracles: dict[str, OracleConfig]
    regressors: dict[str, RegressorConfig]
    site: SiteConfig


def load_project(root: Path, suite_name: str | None = None) -> Project:
    """Read and check a suite (default: that of config/config.yaml) and its experiments; raise `ConfigError`."""
    name = suite_name or load_pipeline(root).suite
    suite = load_suite(root, name)
    experiments = {each: load_checked_experiment(root, each) for each in suite.experiments}
    explained = {each.classifier_of for each in experiments.values() if each.classifier_of} - set(experiments)
    experiments |= {each: load_checked_experiment(root, each) for each in sorted(explained)}
    references = {each.stylex.perceptual_backbone for each in experiments.values() if each.runs("train")}
    backbones = {each: load_backbone_config(root, each) for each in sorted(references)}
    measured = {each.evaluation.factor_regressor for each in experiments.values()}
    regressors = {each: load_regressor_config(root, each) for each in sorted(filter(None, measured))}
    asked = {each.evaluation.oracle for each in experiments.values()}
    oracles = {each: load_oracle_config(root, each) for each in sorted(filter(None, asked))}
    _check_tables(root / "config" / "suites" / f"{name}.yaml", suite, experiments)
    return Project(name, suite, experiments, backbones, oracles, regressors, load_site(root))


def _check_tables(path: Path, suite: SuiteConfig, experiments: dict[str, ExperimentConfig]) -> None:
    """Raise `ConfigError` when a table that the suite names cannot be had of its experiments."""
    for table in suite.tables:
        giving = [each for each in suite.experiments if experiments[each].gives(table)]
        if not giving:
            images = ", or set released_images in one of them" if table == "frechet" else ""
            raise ConfigError(
                f"{path}: tables: {table} is made of experiments that are trained here, and this suite has released"
                f" models only; leave the table out{images}"
            )
        without = [each for each in giving if experiments[each].evaluation.factor_regressor is None]
        if table == "factors" and without:
            raise ConfigError(
                f"{path}: tables: factors needs evaluation.factor_regressor in every experiment, and '{without[0]}' has"
                " none; add it or leave the table out"
            )


def load_checked_experiment(root: Path, name: str, overrides: Mapping[str, Any] | None = None) -> ExperimentConfig:
    """Read one experiment, as `load_experiment` does, and check its dataset and classes against the catalog.

    Raises `ConfigError`.
    """
    experiment = load_experiment(root, name, overrides)
    try:
        if not experiment.runs("train"):  # its dataset is a name
            validate_released_images(root, experiment.released_images)
            return experiment
        validate_dataset(root, experiment.dataset)
        if experiment.evaluation.oracle is not None:
            asked = load_oracle_config(root, experiment.evaluation.oracle)
            validate_oracle(root, experiment.dataset, asked.dataset)
        if experiment.classifier_of is not None:
            validate_explained(
                root, experiment.dataset, load_experiment(root, experiment.classifier_of, overrides).dataset
            )
    except ConfigError as error:
        raise ConfigError(f"{root / 'config' / 'experiments' / name}.yaml: {error}") from None
    return experiment


def schema_texts(root: Path) -> dict[Path, str]:
    """Return workflow/schemas/<kind>.schema.json and its text for each kind of file, presets merged in."""
    folder = root / "workflow" / "schemas"
    return {folder / f"{kind}.schema.json": _schema_text(model) for kind, model in MODELS.items()}


def _schema_text(model: type[Section]) -> str:
    return json.dumps({"$schema": DRAFT, **model.model_json_schema()}, indent=1, ensure_ascii=False) + "\n"
