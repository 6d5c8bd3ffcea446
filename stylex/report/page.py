"""The page of a suite: one self-contained HTML file, readable offline, on paper and on a phone."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

import stylex
from stylex.artifacts import write_text
from stylex.config import SuitePaths, load_suite
from stylex.report.claims import judge, read_run
from stylex.report.experiment import experiment_part
from stylex.report.methods import method_notes, settings
from stylex.report.provenance import anchor
from stylex.report.published import SOURCES as PAPERS
from stylex.report.table import Block, Table
from stylex.report.writing import SOURCES, build_tables, load_experiments

TEMPLATE = "page.html.j2"
SUFFIXES = {"csv": "CSV", "md": "Markdown", "tex": "LaTeX"}


@dataclass(frozen=True)
class TablePart:
    """A table on the page: its files beside the page, and where the numbers of each experiment come from."""

    name: str
    title: str
    blocks: tuple[Block, ...]
    files: list[tuple[str, str]]
    origins: dict[str, str]


def render(root: Path, suite: str) -> None:
    """Write results/<suite>/index.html; raise `ArtifactError` when a stage has not run."""
    config = load_suite(root, suite)
    experiments = load_experiments(root, config)
    tables = build_tables(root, config, experiments)
    parts = [experiment_part(root, suite, name, experiment) for name, experiment in experiments.items()]
    page = environment().get_template(TEMPLATE).render(
        suite=suite,
        digest=config.digest(),
        title=config.title,
        version=stylex.__version__,
        style=_asset("page.css"),
        script=_asset("page.js"),
        papers=PAPERS,
        parts=parts,
        measured=[part for part in parts if part.confusion],  # classifiers
        tables=[_part(SuitePaths(root, suite), table, list(experiments)) for table in tables],
        claims=judge(read_run(root, experiments, tables)),
        comparable=[name for name, experiment in experiments.items() if experiment.published_domain],
        notes=method_notes(root),
        settings=settings(experiments),
    )  # fmt: skip
    write_text(SuitePaths(root, suite).report, page)


def _part(paths: SuitePaths, table: Table, experiments: list[str]) -> TablePart:
    files = {label: paths.table(table.name, suffix) for suffix, label in SUFFIXES.items()}
    links = [(label, path.relative_to(paths.folder).as_posix()) for label, path in files.items() if path.is_file()]
    source = SOURCES.get(table.name)
    measured = set(table.data["experiment"]) if "experiment" in table.data else set(experiments)
    shown = [name for name in experiments if name in measured]
    origins = {name: anchor(name, source) if source else f"provenance:{name}" for name in shown}
    return TablePart(table.name, table.title, table.blocks, links, origins)


def _asset(name: str) -> Markup:
    """Return a file of the package's templates as it is: ours, and so not escaped."""
    return Markup(resources.files("stylex.report").joinpath("templates", name).read_text(encoding="utf-8"))


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
