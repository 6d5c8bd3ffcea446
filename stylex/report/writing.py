"""What a suite leaves: tables (CSV, Markdown, LaTeX), metrics for programs (JSON), a summary for the terminal."""

from __future__ import annotations

from pathlib import Path

import pandas

from stylex.artifacts import write_json, write_table, write_text
from stylex.config import SuiteConfig, SuitePaths, load_suite
from stylex.config.base import POOLED
from stylex.report.basic_tables import (
    classifier_row,
    classifiers_table,
    frechet_table,
    samples_table,
    subset_table,
    sufficiency_table,
)
from stylex.report.comparisons import counterfactual_seeds_table, counterfactuals_table, main_rows, paired_table
from stylex.report.experiment import pooled_and_directions
from stylex.report.factors import factors_table
from stylex.report.repeated import seeds_table
from stylex.report.run import Run, grouped, load_run
from stylex.report.table import Table, to_latex, to_markdown
from stylex.report.user_study import user_study_table

# Of each table: the function that builds it, and the artifact whose provenance it has.
TABLES = {
    "classifiers": (classifiers_table, "classifier"),
    "samples": (samples_table, "samples"),
    "sufficiency": (sufficiency_table, "sufficiency"),
    "seeds": (seeds_table, "sufficiency"),
    "paired": (paired_table, "flips"),
    "subset": (subset_table, "subset"),
    "frechet": (frechet_table, "frechet"),
    "counterfactuals": (counterfactuals_table, "counterfactuals"),
    "counterfactual_seeds": (counterfactual_seeds_table, "counterfactuals"),
    "factors": (factors_table, "factors"),
    "user_study": (user_study_table, "observer"),
}
SOURCES = {name: artifact for name, (_, artifact) in TABLES.items()}
MEASURED = ("accuracy", "class_kept", "reconstruction_l1")  # columns of the table of classifiers


def tables(root: Path, suite: str) -> None:
    """Write results/<suite>/tables/<name>.csv, .md and .tex for every table that the suite names.

    Beside them results/<suite>/metrics/<experiment>.json, whatever tables it names.
    """
    paths, (config, run) = SuitePaths(root, suite), load_run(root, suite)
    for name, table in zip(config.tables, build_tables(config, run), strict=True):
        sources = {each: run.provenance(each, SOURCES[name]) for each in run.giving(name).experiments}
        origin = {f"{each}.{key}": value for each, source in sources.items() for key, value in source.items()}
        write_table(paths.table(table.name, "csv"), table.data, {"suite": suite, **origin})
        write_text(paths.table(table.name, "md"), to_markdown(table))
        write_text(paths.table(table.name, "tex"), to_latex(table))
    for name in run.experiments:
        write_json(paths.metrics(name), experiment_metrics(run, name))


def build_tables(suite: SuiteConfig, run: Run) -> list[Table]:
    """Build every table that the suite names, in its order, each of the experiments that have its numbers."""
    return [TABLES[name][0](run.giving(name)) for name in suite.tables]


def experiment_metrics(run: Run, name: str) -> dict[str, object]:
    """Return {accuracy, class_kept, reconstruction_l1, sufficiency, frechet_distance}, by the main protocol.

    They are what `dvc metrics diff` compares. sufficiency: {method: {k: fraction of flipped decisions, all directions}}
    of the largest k up to ten ([L] Table 3); empty where no image could be tested. frechet_distance: {extractor:
    {number of attributes moved: distance}} of the reconstructions (0) and of the most attributes. A released model has
    no more than sufficiency, and distances where its images are known.
    """
    config = run.experiments[name]
    row = classifier_row(run, name) if config.gives("classifiers") else {}
    numbers: dict[str, object] = {key: row[key] for key in MEASURED if key in row}
    methods = dict.fromkeys(row["method"] for row in run.rows(name, "sufficiency"))
    found = {method: pooled_and_directions(run, name, method)[0] for method in methods}
    numbers["sufficiency"] = {method: {f"k{row['k']}": row["fraction"]} for method, row in found.items() if row}
    if config.gives("frechet"):
        known = [row for row in run.rows(name, "frechet") if pandas.notna(row["frechet_distance"])]
        main = [row for row in known if row["protocol"] == config.attfind.protocol]
        curves = grouped(sorted(main, key=lambda row: (row["extractor"], row["n_attributes"])), "extractor")
        numbers["frechet_distance"] = {
            extractor: {str(row["n_attributes"]): row["frechet_distance"] for row in (curve[0], curve[-1])}
            for (extractor,), curve in curves.items()
        }
    return numbers


def summary(root: Path, suite: str) -> list[str]:
    """Return a finished suite in a few lines: do the explanations flip the classifier, into images of the other class.

    Raises `ArtifactError` when a table of the suite is missing.
    """
    content, run = load_run(root, suite)
    lines = []
    if "counterfactuals" in content.tables:
        lines = [
            _of_experiment(run, name) for name, config in run.experiments.items() if config.gives("counterfactuals")
        ]
    lines.append(f"The report: {SuitePaths(root, suite).report}")
    if content.next:
        lines.append(f"Next, {load_suite(root, content.next).title}: make demo SUITE={content.next}")
    return lines


def _of_experiment(run: Run, name: str) -> str:
    """Return the row of all directions, by the main protocol, in words."""
    config, row = run.experiments[name], main_rows(run, name)[POOLED]
    parts = [
        f"{config.title}: of {row['images']} images, {row['validity']:.0%} turned within"
        f" {config.evaluation.counterfactual_attributes} attributes"
    ]
    if config.evaluation.oracle is not None:
        parts.append(f"{row['agreement']:.0%} by an independent classifier too")
    if pandas.notna(row["frechet_ratio"]):  # of too few turned ones there is none
        parts.append(f"Fréchet distance to the other class {row['frechet_ratio']:.1f} times that of reconstructions")
    return ", ".join(parts)
