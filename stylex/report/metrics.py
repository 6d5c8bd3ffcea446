"""An experiment in a few numbers, for programs: what `dvc metrics show` and `dvc metrics diff` compare."""

from __future__ import annotations

from pathlib import Path

from stylex.artifacts import read_table
from stylex.config import ExperimentConfig, ExperimentPaths
from stylex.config.analysis import POOLED
from stylex.report.classifiers import classifier_row
from stylex.report.experiment import TOP

MEASURED = ("accuracy", "class_kept", "reconstruction_l1")  # columns of the table of classifiers


def experiment_metrics(root: Path, name: str, config: ExperimentConfig) -> dict[str, object]:
    """Return {accuracy, class_kept, reconstruction_l1, sufficiency, frechet_distance}, by the main protocol.

    sufficiency: {method: {k: fraction of flipped decisions, all directions}} of the largest k up to ten ([L] Table 3);
    empty where no image could be tested. frechet_distance: {extractor: {number of attributes moved: distance}} of the
    reconstructions (0) and of the most attributes. A released model has no more than sufficiency, and distances where
    its images are known.
    """
    paths = ExperimentPaths(root, name)
    row = classifier_row(root, name, config) if config.gives("classifiers") else {}
    numbers = {key: row[key] for key in MEASURED if key in row}
    numbers["sufficiency"] = _sufficiency(paths.sufficiency, config.attfind.protocol)
    if config.gives("frechet"):
        numbers["frechet_distance"] = _frechet(paths.frechet, config.attfind.protocol)
    return numbers


def _sufficiency(path: Path, protocol: str) -> dict[str, dict[str, float]]:
    frame = read_table(path, ("method", "protocol", "target_class"))
    frame = frame.loc[frame["protocol"] == protocol]
    frame = frame.loc[(frame["target_class"] == POOLED) & (frame["k"] <= max(TOP, min(frame["k"]))) & (frame["n"] > 0)]
    ordered = sorted(frame.to_dict("records"), key=lambda row: row["k"])  # the largest k of a method stays
    return {row["method"]: {f"k{row['k']}": row["fraction"]} for row in ordered}


def _frechet(path: Path, protocol: str) -> dict[str, dict[str, float]]:
    frame = read_table(path, ("protocol", "extractor")).dropna(subset="frechet_distance").sort_values("n_attributes")
    frame = frame.loc[frame["protocol"] == protocol]
    ends = {extractor: part.iloc[[0, -1]].to_dict("records") for extractor, part in frame.groupby("extractor")}
    return {
        str(extractor): {str(row["n_attributes"]): row["frechet_distance"] for row in rows}
        for extractor, rows in ends.items()
    }
