"""The table of the user study, [L] Table 2, [V] Table 2 and [G] Table 1: how well attributes are told apart.

Three kinds of numbers, each in a column of its own: what the papers print, what the replications' raw answers give when
they were downloaded (`stylex study published`), and, of this run, people's answers (`stylex study analyse`) and those
of the machine observer, which is no person.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas

from stylex.artifacts import VERSIONED, read_table
from stylex.config import ExperimentConfig, ExperimentPaths, recomputed_user_study
from stylex.report.published import LABELS, read_published
from stylex.report.table import NOTHING, Block, Table

ALL = "all"
MEASURED = ("participants", "accuracy", "population_sd", "sample_sd", "low", "high")
COLUMNS = (
    "source", "experiment", "domain", "method", "questions", "published", "published_spread",
    *(f"{kind}_{name}" for kind in ("recomputed", "people") for name in MEASURED), "recomputed_kappa", "people_kappa",
    "finding", "observer_n", *(f"observer_{name}" for name in MEASURED[1:]), "observer_extractor",
)  # fmt: skip
TEXT = ("study", "experiment", "method", "question", "source", "domain", "published", "published_spread", "finding")


def user_study_table(root: Path, experiments: Mapping[str, ExperimentConfig]) -> Table:
    """Build the table from each experiment's observer.csv, from people.csv where there is one, and the papers."""
    ours = [row for name, config in experiments.items() for row in _measured(root, name, config)]
    printed = _printed(root)
    data = pandas.DataFrame([*ours, *printed], columns=list(COLUMNS))
    return Table("user_study", "User study", data, (_ours(ours), _context(printed)))


def _measured(root: Path, name: str, config: ExperimentConfig) -> list[dict[str, Any]]:
    """Return a row a method of one experiment."""
    paths = ExperimentPaths(root, name)
    observer = read_table(paths.observer, TEXT).to_dict("records")
    people = _people(paths)
    rows = []
    for total in (row for row in observer if row["question"] == ALL):
        method = total["method"]
        questions = sum(row["method"] == method and row["question"] != ALL for row in observer)
        row = {"experiment": name, "domain": config.domain, "method": method, "questions": questions}
        row |= {f"observer_{key}": total[key] for key in ("n", "extractor", *MEASURED[1:])}
        if method in people:
            row |= {f"people_{key}": people[method][key] for key in (*MEASURED, "kappa")}
        rows.append(row)
    return rows


def _people(paths: ExperimentPaths) -> dict[str, dict[Any, Any]]:
    """Return the summaries by method; answers to an earlier questionnaire do not count."""
    if not paths.study_people.is_file():
        return {}
    asked = set(read_table(paths.study_key, TEXT)["study"])
    rows = read_table(paths.study_people, TEXT).to_dict("records")
    return {row["method"]: row for row in rows if row["question"] == ALL and row["study"] in asked}


def _printed(root: Path) -> list[dict[str, Any]]:
    """Return a row a published cell, with what its raw answers give where they were downloaded."""
    path = recomputed_user_study(root)
    found = read_table(path, TEXT).to_dict("records") if path.is_file() else []
    cells = read_table(root / "config" / "published" / "user_study.csv", ("value", "spread"), VERSIONED)
    spelled = read_published(root, "user_study")["source"]
    rows = []
    for cell, source in zip(cells.to_dict("records"), spelled, strict=True):
        row = {"source": source, "domain": cell["domain"], "method": cell["method"]}
        row |= {"published": cell["value"], "published_spread": cell["spread"]}
        for one in found:
            same = all(one[key] == cell[key] for key in ("domain", "method"))
            if same and cell["source"].startswith(one["source"]):
                one = {**one, "accuracy": one["mean"]}
                row |= {f"recomputed_{key}": one[key] for key in (*MEASURED, "kappa")}
                row |= {key: one[key] for key in ("questions", "finding")}
        row.setdefault("finding", _reason(cell["source"]))
        rows.append(row)
    return rows


def _reason(source: str) -> str:
    if source.startswith("lang_2021"):
        return "no file of raw answers is known"
    return "raw answers are not downloaded: `stylex study published` fetches them"


def _ours(rows: list[dict[str, Any]]) -> Block:
    frame = pandas.DataFrame(
        [
            {
                "Experiment": row["experiment"],
                "Domain": row["domain"],
                "Method": LABELS.get(row["method"], row["method"]),
                "Questions": str(row["questions"]),
                "People": _cell(row, "people"),
                "Participants": f"{row['people_participants']:.0f}" if "people_participants" in row else NOTHING,
                "Machine observer (no people)": _cell(row, "observer"),
                "Its answers": f"{row['observer_n']:.0f}",
            }
            for row in rows
        ],
        columns=[
            "Experiment", "Domain", "Method", "Questions", "People", "Participants", "Machine observer (no people)",
            "Its answers",
        ],
    )  # fmt: skip
    caption = (
        "This run: fraction of right answers to part 1, which of two animations shows the attribute of the examples."
        " Mean over questions (population sd; sample sd) and its 95 % interval, for which the questions, and so the"
        " attributes, are resampled with all of their answers (percentile bootstrap; none for one question, and no"
        " width where all are answered equally well). Participants are not resampled: it holds for those who were"
        " asked. Guessing gives 0.5. The machine observer compares changes in the features of the"
        " perceptual backbone, never of the explained classifier, on the images that people see and on further draws;"
        " it sees changes too small for people, and is not comparable with a published figure."
    )
    return Block(caption, frame, ("Questions", "People", "Participants", "Machine observer (no people)", "Its answers"))


def _cell(row: dict[str, Any], kind: str) -> str:
    if f"{kind}_accuracy" not in row:
        return NOTHING
    cells = [f"{row[f'{kind}_{name}']:.3f}" for name in MEASURED[1:]]
    mean, *sds, low, high = (NOTHING if cell == "nan" else cell for cell in cells)
    return f"{mean} ({'; '.join(sds)})" + ("" if NOTHING in (low, high) else f" [{low}–{high}]")


def _context(rows: list[dict[str, Any]]) -> Block:
    frame = pandas.DataFrame(
        {
            "Source": row["source"],
            "Domain": row["domain"],
            "Method": row["method"],
            "Published": f"{row['published']} ± {row['published_spread']}",
            "From the raw answers": _cell(row, "recomputed"),
            "Participants": f"{row['recomputed_participants']:.0f}" if "recomputed_participants" in row else NOTHING,
            "Agreement (Fleiss' kappa)": f"{row['recomputed_kappa']:.3f}" if "recomputed_kappa" in row else NOTHING,
            "Does the printed cell follow?": row["finding"],
        }
        for row in rows
    )
    caption = (
        "Context: the published figures of people's answers, on the papers' own domains, and what the replications' raw"
        " answers give: mean over questions (population sd; sample sd) [95 % interval, questions resampled]."
        " None of them is measured here."
    )
    return Block(caption, frame, ("Published", "From the raw answers", "Participants", "Agreement (Fleiss' kappa)"))
