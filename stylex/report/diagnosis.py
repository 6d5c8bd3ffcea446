"""What `stylex diagnose` found of a trained model, as a reader sees it."""

from __future__ import annotations

import pandas

from stylex.artifacts import read_table
from stylex.config import ExperimentPaths
from stylex.diagnosis.verdicts import GOOD, Finding, failures
from stylex.report.table import NOTHING, Block


def diagnosis(paths: ExperimentPaths) -> tuple[str, Block]:
    """Return the verdict, and the table of all measures behind it; what is to be mended first is first."""
    data = read_table(paths.diagnosis)
    findings = [Finding(row["measure"], row["value"], row["limit"]) for row in data.to_dict("records")]
    verdict = "; ".join(failures(findings)) or GOOD
    frame = pandas.DataFrame({
        "Measure": [each.criterion.text for each in findings],
        "Value": [each.written(each.value) for each in findings],
        "Good": [each.bound for each in findings],
        "Verdict": data["verdict"],
        "Remedy": data["remedy"].replace("", NOTHING),
    })  # fmt: skip
    caption = (
        f"Diagnosis of the trained networks: {verdict}. On {data['n'].iloc[0]} validation images, as evenly over the"
        " classes as their sizes allow; what is to be mended first is first. The limits are ours."
    )
    return verdict, Block(caption, frame, ("Value", "Good"))
