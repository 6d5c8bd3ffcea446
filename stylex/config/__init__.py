"""Configuration: models (the definition), loading (YAML to models), paths (where artifacts live)."""

from stylex.config.analysis import AttFindConfig, EvaluationConfig, StudyConfig
from stylex.config.loading import (
    experiment_paths,
    load_backbone_config,
    load_experiment,
    load_pipeline,
    load_suite,
)
from stylex.config.models import (
    BackboneConfig,
    ClassifierConfig,
    DatasetConfig,
    ExperimentConfig,
    FineTuningConfig,
    LossesConfig,
    NetworksConfig,
    StylexConfig,
    SuiteConfig,
    TrainingConfig,
)
from stylex.config.paths import (
    DatasetPaths,
    ExperimentPaths,
    NetworkPaths,
    SuitePaths,
    backbone_paths,
    recomputed_user_study,
    weights_path,
)

__all__ = [
    "AttFindConfig", "BackboneConfig", "ClassifierConfig", "DatasetConfig", "DatasetPaths", "EvaluationConfig",
    "ExperimentConfig", "ExperimentPaths", "FineTuningConfig", "LossesConfig", "NetworkPaths", "NetworksConfig",
    "StudyConfig", "StylexConfig", "SuiteConfig", "SuitePaths", "TrainingConfig", "backbone_paths", "experiment_paths",
    "load_backbone_config", "load_experiment", "load_pipeline", "load_suite", "recomputed_user_study", "weights_path",
]  # fmt: skip
