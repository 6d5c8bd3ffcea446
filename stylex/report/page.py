"""The page of a suite: an HTML file beside its figures, or holding them, readable offline, on paper and on a phone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import pandas
from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

import stylex
from stylex.artifacts import write_table, write_text
from stylex.config import ExperimentConfig, SuitePaths, load_dataset_file
from stylex.report.answer import AGREED, answer, asked_of
from stylex.report.attributes import attributes_of
from stylex.report.captions import text
from stylex.report.claims import judge, verdicts
from stylex.report.experiment import experiment_part
from stylex.report.links import Links
from stylex.report.pictures import Album
from stylex.report.published import SOURCES as PAPERS
from stylex.report.run import anchor, load_run
from stylex.report.table import NOTHING, Block, Table
from stylex.report.writing import SOURCES, build_tables

SUFFIXES = {"csv": "CSV", "md": "Markdown", "tex": "LaTeX"}
OWN_LAYOUTS = ("folders", "table")  # of images that are a user's own
NOTES = Path("docs") / "method-notes.md"  # the only place where deviations from the papers are written down
MARKED = re.compile(r"<!-- report -->\n(.*?)<!-- end report -->", re.DOTALL)


@dataclass(frozen=True)
class TablePart:
    """A table on the page: its files beside the page, and where the numbers of each experiment come from."""

    name: str
    title: str
    blocks: tuple[Block, ...]
    files: list[tuple[str, str]]
    origins: dict[str, str]


def render(root: Path, suite: str, embedded: bool = False) -> None:
    """Write results/<suite>/index.html, or report.html, which has its figures embedded.

    Raises `ArtifactError` when a stage has not run.
    """
    config, run = load_run(root, suite)
    paths, tables = SuitePaths(root, suite), build_tables(config, run)
    links = Links([name for name in config.tables if paths.table(name, "csv").is_file()])
    album, of_moves = Album(paths, embedded), "counterfactuals" in config.tables
    attributes = {name: attributes_of(run, name) for name in run.experiments}
    every = [
        experiment_part(run, name, album if name in config.pictured else None, attributes[name], links, of_moves)
        for name in run.experiments
    ]
    parts = [part for part in every if part.name in config.pictured]
    judged = judge(run.with_tables(tables))
    sections = ["claims.j2", "experiments.j2", "tables.j2", "methods.j2", "provenance.j2"]
    if own := _own(root, run.experiments):
        sections[:2] = reversed(sections[:2])
    page = environment().get_template("page.html.j2").render(
        suite=suite,
        digest=config.digest(),
        title=config.title,
        asked=asked_of(run),
        version=stylex.__version__,
        style=_asset("page.css"),
        script=_asset("page.js"),
        papers=PAPERS,
        parts=parts,
        every=every,
        answers=[answer(run, part, attributes[part.name], links) for part in parts],
        agreed=f"{100 * AGREED:g} %",
        sections=sections,
        own=own,
        links=links,
        measured=[part for part in parts if part.confusion],  # classifiers
        tables=[_part(paths, table, list(run.experiments)) for table in tables],
        claims=judged,
        comparable=[name for name, experiment in run.experiments.items() if experiment.published_domain],
        notes=method_notes(root),
        settings=settings(run.experiments),
    )  # fmt: skip
    write_text(paths.bundle if embedded else paths.report, page)
    if not embedded:
        write_table(paths.claims, verdicts(judged), {"suite": suite})


def _own(root: Path, experiments: Mapping[str, ExperimentConfig]) -> bool:
    """Whether all experiments are a user's own, on their images or classifier: what papers claim comes later then."""

    def own(config: ExperimentConfig) -> bool:
        described = (root / "config" / "datasets" / f"{config.dataset.name}.yaml").is_file()
        return described and load_dataset_file(root, config.dataset.name).layout in OWN_LAYOUTS

    return all(config.classifier.imported or own(config) for config in experiments.values())


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


def method_notes(root: Path) -> Markup:
    """Return the marked parts of the method notes as HTML, headings from h3 on; empty where there is no such file.

    What is HTML in them is escaped, and links, which lead elsewhere, become text.
    """
    if not (root / NOTES).is_file():
        return Markup("")
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse("\n".join(MARKED.findall((root / NOTES).read_text(encoding="utf-8"))))
    last = "Methods"
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
        if token.type == "inline" and token.level == 1:
            last = token.content.rstrip(":").replace("`", "")  # the heading or sentence before a table is its name
        if token.type == "table_open":
            token.meta["label"] = last
        if token.children:
            token.children = [child for child in token.children if child.type not in ("link_open", "link_close")]

    def table_open(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
        label = escape(tokens[index].meta["label"][:80])
        return f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table>\n'

    parser.add_render_rule("table_open", table_open)
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    parser.add_render_rule("th_open", lambda *_: '<th scope="col">')
    return Markup('<div class="notes">\n{}</div>').format(Markup(parser.renderer.render(tokens, parser.options, {})))


def settings(experiments: Mapping[str, ExperimentConfig]) -> Block:
    """Return every key of every experiment, one column each, as configured with presets and defaults."""
    columns = {name: _flat(config.model_dump(mode="json")) for name, config in experiments.items()}
    keys = list(dict.fromkeys(key for column in columns.values() for key in column))
    cells = {name: [column.get(key, NOTHING) for key in keys] for name, column in columns.items()}
    return Block(text("settings"), pandas.DataFrame({"Key": keys, **cells}))


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        elif value is None or value == []:
            found[f"{prefix}{key}"] = NOTHING
        elif isinstance(value, list):
            found[f"{prefix}{key}"] = ", ".join(map(str, value))
        else:
            found[f"{prefix}{key}"] = str(value).lower() if isinstance(value, bool) else str(value)
    return found
