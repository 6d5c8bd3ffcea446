"""Configuration: its sections, how files are read and what they extend, and the paths of artifacts."""

from stylex.config.analysis import AttFindConfig, EvaluationConfig, StudyConfig
from stylex.config.datasets import DatasetConfig, DatasetFile
from stylex.config.experiments import ExperimentConfig
from stylex.config.finetuning import BackboneConfig, ClassifierConfig, FineTuningConfig, OracleConfig, RegressorConfig
from stylex.config.imported import ImportedClassifierConfig
from stylex.config.loading import (
    experiment_paths,
    load_backbone_config,
    load_dataset_file,
    load_experiment,
    load_oracle_config,
    load_regressor_config,
)
from stylex.config.paths import (
    DatasetPaths,
    ExperimentPaths,
    GalleryPaths,
    NetworkPaths,
    SuitePaths,
    backbone_paths,
    oracle_paths,
    recomputed_user_study,
    regressor_paths,
    weights_path,
)
from stylex.config.suites import SuiteConfig, load_pipeline, load_suite
from stylex.config.training import LossesConfig, NetworksConfig, StylexConfig, TrainingConfig

__all__ = [
    "AttFindConfig", "BackboneConfig", "ClassifierConfig", "DatasetConfig", "DatasetFile", "DatasetPaths",
    "EvaluationConfig", "ExperimentConfig", "ExperimentPaths", "FineTuningConfig", "GalleryPaths",
    "ImportedClassifierConfig",
    "LossesConfig", "NetworkPaths", "NetworksConfig", "OracleConfig", "RegressorConfig", "StudyConfig", "StylexConfig",
    "SuiteConfig", "SuitePaths", "TrainingConfig", "backbone_paths", "experiment_paths",
    "load_backbone_config", "load_dataset_file", "load_experiment", "load_oracle_config", "load_pipeline",
    "load_regressor_config", "load_suite", "oracle_paths", "recomputed_user_study", "regressor_paths", "weights_path",
]  # fmt: skip
