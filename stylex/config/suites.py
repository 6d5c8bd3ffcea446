"""A suite, and which one is built. Apart from experiments, so that another key of a suite trains nothing again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import Field

from stylex.config.base import NAME, Name, Section
from stylex.config.experiments import TableName
from stylex.config.loading import named_file
from stylex.config.paths import SHARED
from stylex.config.reading import load_file, unknown_name
from stylex.errors import ConfigError


class SuiteConfig(Section):
    """Experiments, and the tables and figures made of them: config/suites/<name>.yaml."""

    title: str = Field(description="Heading of the report.")
    experiments: list[Name] = Field(min_length=1, description="Files of config/experiments.")
    seeds: Annotated[int, Field(ge=1)] = Field(
        1,
        description="Each experiment is also run with the seeds 1 to this number minus 1, as NAME-seed1 and so on:"
        " tables hold them all.",
    )
    shown: list[Name] | None = Field(
        None, description="Those of the list that figures, gallery and the report's first screen show; without it: all."
    )
    tables: list[TableName] = Field(
        min_length=1, description="Tables of the report; docs/own-experiment.md says what each holds."
    )
    next: Name | None = Field(None, description="The suite to try after it, which `stylex summary` names.")

    @property
    def pictured(self) -> list[str]:
        """Names of the experiments that figures and gallery show."""
        return self.experiments if self.shown is None else self.shown

    @property
    def runs(self) -> list[str]:
        """Names of the experiments with each of their seeds."""
        return [f"{name}-seed{seed}" if seed else name for name in self.experiments for seed in range(self.seeds)]


class PipelineConfig(Section):
    """config/config.yaml: which suite `snakemake` builds."""

    suite: Name = Field(description="A file of config/suites.")


def load_pipeline(root: Path) -> PipelineConfig:
    """Read config/config.yaml."""
    return load_file(PipelineConfig, root / "config" / "config.yaml")


def load_suite(root: Path, name: str) -> SuiteConfig:
    """Read config/suites/<name>.yaml; the experiments it names must exist."""
    path = named_file(root, "suites", name)
    if not re.fullmatch(NAME, name):
        raise ConfigError(
            f"{path}: use small letters, digits, '.', '_' and '-' in the name of a suite: rename the file"
        )
    if name in SHARED:
        raise ConfigError(f"{path}: results/{name} is a folder of all suites: rename the file")
    suite = load_file(SuiteConfig, path)
    for experiment in suite.experiments:
        named_file(root, "experiments", experiment, f"{path}: experiments: ")
    if unknown := [each for each in suite.pictured if each not in suite.experiments]:
        raise ConfigError(f"{path}: shown: {unknown_name('experiment', unknown[0], suite.experiments)} (of the list)")
    if again := {each for each in suite.runs if suite.runs.count(each) > 1}:
        raise ConfigError(f"{path}: experiments: '{min(again)}' stands there twice (seeds: {suite.seeds}); remove one")
    return suite
