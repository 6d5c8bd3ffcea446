"""Write the tables of a suite as CSV (for scripts), Markdown and LaTeX (for readers), and its metrics as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stylex.artifacts import write_json, write_table, write_text
from stylex.config import ExperimentConfig, SuiteConfig, SuitePaths, load_experiment, load_suite
from stylex.config.models import TableName
from stylex.report.classifiers import classifiers_table
from stylex.report.counterfactuals import counterfactuals_table
from stylex.report.factors import factors_table
from stylex.report.frechet import frechet_table
from stylex.report.metrics import experiment_metrics
from stylex.report.paired import paired_table
from stylex.report.provenance import artifact_provenance
from stylex.report.samples import samples_table
from stylex.report.seeds import seeds_table
from stylex.report.subset import subset_table
from stylex.report.sufficiency import sufficiency_table
from stylex.report.table import Table, to_latex, to_markdown
from stylex.report.user_study import user_study_table

SOURCES = {
    "classifiers": "classifier",
    "samples": "samples",
    "sufficiency": "sufficiency",
    "seeds": "sufficiency",
    "paired": "flips",
    "subset": "subset",
    "frechet": "frechet",
    "counterfactuals": "counterfactuals",
    "factors": "factors",
    "user_study": "observer",
}  # table: artifact
BUILDERS = {
    "classifiers": classifiers_table,
    "samples": samples_table,
    "sufficiency": sufficiency_table,
    "seeds": seeds_table,
    "paired": paired_table,
    "subset": subset_table,
    "frechet": frechet_table,
    "counterfactuals": counterfactuals_table,
    "factors": factors_table,
    "user_study": user_study_table,
}


def tables(root: Path, suite: str) -> None:
    """Write results/<suite>/tables/<name>.csv, .md and .tex for every table that the suite names.

    Beside them results/<suite>/metrics/<experiment>.json, whatever tables it names.
    """
    paths = SuitePaths(root, suite)
    config = load_suite(root, suite)
    experiments = load_experiments(root, config)
    for name, table in zip(config.tables, build_tables(root, config, experiments), strict=True):
        giving = giving_table(experiments, name)
        sources = {each: artifact_provenance(root, each, SOURCES[name]) for each in giving}
        origin = {f"{name}.{key}": value for name, source in sources.items() for key, value in source.items()}
        write_table(paths.table(table.name, "csv"), table.data, {"suite": suite, **origin})
        write_text(paths.table(table.name, "md"), to_markdown(table))
        write_text(paths.table(table.name, "tex"), to_latex(table))
    for name, experiment in experiments.items():
        write_json(paths.metrics(name), experiment_metrics(root, name, experiment))


def load_experiments(root: Path, suite: SuiteConfig) -> dict[str, ExperimentConfig]:
    """Return the configurations of the suite's experiments by name, in its order."""
    return {name: load_experiment(root, name) for name in suite.experiments}


def build_tables(root: Path, suite: SuiteConfig, experiments: dict[str, ExperimentConfig]) -> list[Table]:
    """Build every table that the suite names, in its order, each of the experiments that have its numbers."""
    return [BUILDERS[name](root, giving_table(experiments, name)) for name in suite.tables]


def giving_table(experiments: Mapping[str, ExperimentConfig], table: TableName) -> dict[str, ExperimentConfig]:
    """Return the experiments that have numbers for a table."""
    return {name: config for name, config in experiments.items() if config.gives(table)}
