"""JSON schemas of the configuration files, for editors and other tools: generated, never written by hand."""

from __future__ import annotations

import json
from pathlib import Path

from stylex.config.datasets import DatasetFile
from stylex.config.measuring import BackboneConfig, OracleConfig, RegressorConfig
from stylex.config.models import ExperimentConfig, PipelineConfig, Section, SuiteConfig
from stylex.config.site import SiteConfig

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


def schema_texts(root: Path) -> dict[Path, str]:
    """Return workflow/schemas/<kind>.schema.json and its text for each kind of file, presets merged in."""
    folder = root / "workflow" / "schemas"
    return {folder / f"{kind}.schema.json": _schema_text(model) for kind, model in MODELS.items()}


def _schema_text(model: type[Section]) -> str:
    return json.dumps({"$schema": DRAFT, **model.model_json_schema()}, indent=1, ensure_ascii=False) + "\n"
