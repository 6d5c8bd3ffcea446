"""The page of a suite: one self-contained HTML file, readable offline, on paper and on a phone."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

import stylex
from stylex.artifacts import write_text
from stylex.config import SuitePaths, load_suite
from stylex.report.experiment import experiment_part
from stylex.report.writing import build_tables, load_experiments

TEMPLATE = "report.html.j2"


def render(root: Path, suite: str) -> None:
    """Write results/<suite>/index.html; raise `ArtifactError` when a stage has not run."""
    config = load_suite(root, suite)
    experiments = load_experiments(root, config)
    page = environment().get_template(TEMPLATE).render(
        suite=suite,
        digest=config.digest(),
        title=config.title,
        version=stylex.__version__,
        parts=[experiment_part(root, suite, name, experiment) for name, experiment in experiments.items()],
        tables=build_tables(root, config, experiments),
        comparable=[name for name, experiment in experiments.items() if experiment.published_domain],
    )  # fmt: skip
    write_text(SuitePaths(root, suite).report, page)


def environment() -> Environment:
    """Return the template environment: everything is escaped, and an unknown name is an error."""
    return Environment(
        loader=PackageLoader("stylex.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
