"""Configuration: models (the definition), loading (YAML to models), paths (where artifacts live)."""

from stylex.config.analysis import AttFindConfig, EvaluationConfig, StudyConfig
from stylex.config.datasets import DatasetFile
from stylex.config.finetuning import ClassifierConfig, FineTuningConfig
from stylex.config.loading import (
    experiment_paths,
    load_backbone_config,
    load_dataset_file,
    load_experiment,
    load_oracle_config,
    load_pipeline,
    load_regressor_config,
    load_site,
    load_suite,
)
from stylex.config.measuring import BackboneConfig, OracleConfig, RegressorConfig
from stylex.config.models import (
    DatasetConfig,
    ExperimentConfig,
    StylexConfig,
    SuiteConfig,
)
from stylex.config.networks import NetworksConfig
from stylex.config.paths import (
    DatasetPaths,
    ExperimentPaths,
    NetworkPaths,
    SuitePaths,
    backbone_paths,
    oracle_paths,
    recomputed_user_study,
    regressor_paths,
    weights_path,
)
from stylex.config.site import SiteConfig
from stylex.config.training import LossesConfig, TrainingConfig

__all__ = [
    "AttFindConfig", "BackboneConfig", "ClassifierConfig", "DatasetConfig", "DatasetFile", "DatasetPaths",
    "EvaluationConfig", "ExperimentConfig", "ExperimentPaths", "FineTuningConfig", "LossesConfig", "NetworkPaths",
    "NetworksConfig", "OracleConfig", "RegressorConfig", "SiteConfig", "StudyConfig", "StylexConfig", "SuiteConfig",
    "SuitePaths", "TrainingConfig", "backbone_paths", "experiment_paths", "load_backbone_config", "load_dataset_file",
    "load_experiment", "load_oracle_config", "load_pipeline", "load_regressor_config", "load_site", "load_suite",
    "oracle_paths", "recomputed_user_study", "regressor_paths", "weights_path",
]  # fmt: skip
