"""The table of the user study, [L] Table 2, [V] Table 2 and [G] Table 1: how well attributes are told apart.

Three kinds of numbers, each in a column of its own: what the papers print, what the replications' raw answers give when
they were downloaded (`stylex study published`), and, of this run, people's answers (`stylex study analyse`) and those
of the machine observer, which is no person.
"""

from __future__ import annotations

import pandas

from stylex.artifacts import VERSIONED, read_table
from stylex.config import recomputed_user_study
from stylex.report.captions import text
from stylex.report.run import Run, records
from stylex.report.table import NOTHING, Row, Table, about, grid, of

ALL = "all"
MEASURED = ("participants", "accuracy", "population_sd", "sample_sd", "low", "high")
COLUMNS = (
    "source", "experiment", "domain", "method", "questions", "published", "published_spread",
    *(f"{kind}_{name}" for kind in ("recomputed", "people") for name in MEASURED), "recomputed_kappa", "people_kappa",
    "finding", "observer_n", *(f"observer_{name}" for name in MEASURED[1:]), "observer_extractor",
)  # fmt: skip


def user_study_table(run: Run) -> Table:
    """Build the table from each experiment's observer.csv, from people.csv where there is one, and the papers."""
    ours, printed = [row for name in run.experiments for row in _measured(run, name)], _printed(run)
    cells = about("experiment", "domain", "method") | {
        "Questions": of(str, "questions"),
        "People": lambda row: _cell(row, "people"),
        "Participants": lambda row: _number(row, "people_participants", 0),
        "Machine observer (no people)": lambda row: _cell(row, "observer"),
        "Its answers": lambda row: _number(row, "observer_n", 0),
    }
    context = {
        "Source": "source",
        "Domain": "domain",
        "Method": "method",
        "Published": lambda row: f"{row['published']} ± {row['published_spread']}",
        "From the raw answers": lambda row: _cell(row, "recomputed"),
        "Participants": lambda row: _number(row, "recomputed_participants", 0),
        "Agreement (Fleiss' kappa)": lambda row: _number(row, "recomputed_kappa", 3),
        "Does the printed cell follow?": "finding",
    }
    blocks = (grid(text("user_study"), ours, cells), grid(text("published_user_study"), printed, context))
    return Table("user_study", "User study", pandas.DataFrame([*ours, *printed], columns=list(COLUMNS)), blocks)


def _measured(run: Run, name: str) -> list[Row]:
    """Return one experiment's row for each method; people's answers to an earlier questionnaire do not count."""
    observer, people = run.rows(name, "observer"), {}
    if run.paths(name).study_people.is_file():
        asked = set(run.table(name, "study_key")["study"])
        answers = run.rows(name, "study_people")
        people = {row["method"]: row for row in answers if row["question"] == ALL and row["study"] in asked}
    rows = []
    for total in (row for row in observer if row["question"] == ALL):
        method = total["method"]
        questions = sum(row["method"] == method and row["question"] != ALL for row in observer)
        row = {"experiment": name, "domain": run.experiments[name].domain, "method": method, "questions": questions}
        row |= {f"observer_{key}": total[key] for key in ("n", "extractor", *MEASURED[1:])}
        if method in people:
            row |= {f"people_{key}": people[method][key] for key in (*MEASURED, "kappa")}
        rows.append(row)
    return rows


def _printed(run: Run) -> list[Row]:
    """Return a row for each published cell, with what its raw answers give where they were downloaded."""
    path = recomputed_user_study(run.root)
    found = records(read_table(path, ("published", "published_spread"))) if path.is_file() else []
    cells = read_table(run.root / "config" / "published" / "user_study.csv", ("value", "spread"), VERSIONED)
    rows = []
    for cell, source in zip(records(cells), run.published("user_study")["source"], strict=True):
        row = {"source": source, "domain": cell["domain"], "method": cell["method"]}
        row |= {"published": cell["value"], "published_spread": cell["spread"]}
        row["finding"] = "raw answers are not downloaded: `stylex study published` fetches them"
        if cell["source"].startswith("lang_2021"):
            row["finding"] = "no file of raw answers is known"
        for one in found:
            same = all(one[key] == cell[key] for key in ("domain", "method"))
            if same and cell["source"].startswith(one["source"]):
                one = {**one, "accuracy": one["mean"]}
                row |= {f"recomputed_{key}": one[key] for key in (*MEASURED, "kappa")}
                row |= {key: one[key] for key in ("questions", "finding")}
        rows.append(row)
    return rows


def _number(row: Row, key: str, digits: int) -> str:
    return f"{row[key]:.{digits}f}" if key in row else NOTHING


def _cell(row: Row, kind: str) -> str:
    if f"{kind}_accuracy" not in row:
        return NOTHING
    cells = [f"{row[f'{kind}_{name}']:.3f}" for name in MEASURED[1:]]
    mean, *sds, low, high = (NOTHING if cell == "nan" else cell for cell in cells)
    return f"{mean} ({'; '.join(sds)})" + ("" if NOTHING in (low, high) else f" [{low}–{high}]")
