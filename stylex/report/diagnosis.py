"""What `stylex diagnose` found of a trained model, as a reader sees it."""

from __future__ import annotations

import pandas

from stylex.artifacts import read_table
from stylex.config import ExperimentConfig, ExperimentPaths
from stylex.config.analysis import POOLED
from stylex.diagnosis.verdicts import GOOD, Finding, failures, judge
from stylex.report.counterfactuals import main_rows
from stylex.report.table import NOTHING, Block


def diagnosis(paths: ExperimentPaths, config: ExperimentConfig, of_moves: bool) -> tuple[str, Block]:
    """Return the verdict, and the table of all measures behind it; what is to be mended first is first.

    `of_moves`: whether the suite measures counterfactuals, so that it is known whether moves leave the data.
    """
    data = read_table(paths.diagnosis)
    findings = [Finding(row["measure"], row["value"], row["limit"]) for row in data.to_dict("records")]
    if of_moves:
        findings += _of_moves(paths, config)
    verdict = "; ".join(failures(findings)) or GOOD
    frame = pandas.DataFrame({
        "Measure": [each.criterion.text for each in findings],
        "Value": [each.written(each.value) for each in findings],
        "Good": [each.bound for each in findings],
        "Verdict": [each.verdict for each in findings],
        "Remedy": [NOTHING if each.passes else each.criterion.remedy for each in findings],
    })  # fmt: skip
    caption = (
        f"Diagnosis of the trained networks: {verdict}. On {data['n'].iloc[0]} validation images, as evenly over the"
        " classes as their sizes allow; what is to be mended first is first. The limits are ours."
        + (" Moves: as in the table of counterfactuals, all directions." if of_moves else "")
    )
    return verdict, Block(caption, frame, ("Value", "Good"))


def _of_moves(paths: ExperimentPaths, config: ExperimentConfig) -> list[Finding]:
    rows = main_rows(paths, config)
    return judge({"moves_distance": float(rows[POOLED]["frechet_ratio"])}, classes=len(rows) - 1)
