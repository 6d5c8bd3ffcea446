"""`stylex study analyse`: what the participants of a questionnaire answered, against its key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas

from stylex.artifacts import read_json, read_table, write_table
from stylex.errors import StudyError
from stylex.study.files import read_answer_file
from stylex.study.statistics import accuracy_by_question, summarise
from stylex.study.words import common_words

# Of key.csv; `images`: JSON list of ids; part 1: two examples, A, B.
KEY_COLUMNS = (
    "study", "question", "part", "method", "attribute", "style_index", "other_attribute", "other_style_index",
    "correct", "images",
)  # fmt: skip
PEOPLE_COLUMNS = (
    "study", "method", "question", "n", "correct", "accuracy", "low", "high", "questions", "participants",
    "population_sd", "sample_sd", "kappa",
)  # fmt: skip
WORD_COLUMNS = ("method", "question", "attribute", "word", "people", "n")
TEXT = ("study", "question", "method", "correct", "images")
COMMON = 5  # words of each attribute
ALL = "all"


def analyse(key_path: Path, answer_paths: Sequence[Path]) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """Write people.csv and words.csv beside the key and return them.

    people.csv: a row a question of part 1 and a row `all` for each method. words.csv: the most common words of part 2.
    Raises `StudyError` when a file is not of this questionnaire, or the same participant answers twice.
    """
    files = [key_path.with_name(name) for name in ("people.csv", "words.csv")]
    for path in files:
        if path.exists() and not path.with_suffix(".provenance.json").is_file():
            raise StudyError(f"{path} is none of ours, and would be overwritten: move it, or copy the key elsewhere")
    key, answers = read_key(key_path), read_answers(answer_paths)
    check_answers(key, answers)
    joined = answers.merge(key.drop(columns="study"), on="question", validate="many_to_one")
    records = joined.to_dict("records")
    origin = read_json(key_path.with_suffix(".provenance.json"))
    rows = [row for method in key["method"].unique() for row in people_rows(method, records, int(origin["seed"]))]
    people = pandas.DataFrame(rows, columns=list(PEOPLE_COLUMNS))
    words = pandas.DataFrame(word_rows(records), columns=list(WORD_COLUMNS))
    if people.empty and words.empty:
        raise StudyError("the files hold no answer; ask for the CSV that the page hands out at its end")
    origin |= {"study": key["study"].iloc[0]}
    for path, table in zip(files, (people, words), strict=True):
        write_table(path, table, origin)
    return people, words


def read_key(path: Path) -> pandas.DataFrame:
    """Read key.csv; raise `StudyError` when it is no answer key."""
    key = read_table(path, TEXT, "give key.csv of `study build`, which makes it again")
    missing = [f"column '{column}'" for column in KEY_COLUMNS if column not in key]
    if missing or key.empty:
        raise StudyError(
            f"{path} has no {(missing or ['question'])[0]}: it is no answer key; give key.csv of `study build`"
        )
    return key


def read_answers(paths: Sequence[Path]) -> pandas.DataFrame:
    """Read the participants' files as one table of text; empty answers are left out."""
    frames = [read_answer_file(path) for path in paths]
    if not frames:
        raise StudyError("no file of answers is given; name at least one CSV that the questionnaire handed out")
    answers = pandas.concat(frames, ignore_index=True)
    return answers.loc[answers["answer"] != ""]


def check_answers(key: pandas.DataFrame, answers: pandas.DataFrame) -> None:
    """Raise `StudyError` at the first answer that does not fit the key."""
    study, part = key["study"].iloc[0], dict(zip(key["question"], key["part"], strict=True))
    for row in answers.to_dict("records"):
        what = f"{row['file']}: question {row['question']}"
        if row["study"] != study:
            raise StudyError(f"{row['file']} answers questionnaire {row['study']}, the key is of {study}; leave it out")
        if row["question"] not in part:
            raise StudyError(f"{what} is not in the key; the file was changed, leave it out")
        if part[row["question"]] == 1 and row["answer"] not in ("A", "B"):
            raise StudyError(f"{what}: the answer '{row['answer']}' is neither A nor B; mend it or leave it out")
    twice = answers[answers.duplicated(["participant", "question"])]
    if len(twice):
        row = twice.iloc[0]
        raise StudyError(f"{row['file']}: participant {row['participant']} answered already; give each file once")


def people_rows(method: str, records: Sequence[dict[Any, Any]], seed: int) -> list[dict[str, object]]:
    """Return the rows of people.csv of one method; `records`: answers with their key; seed: of the resampling."""
    given = [row for row in records if row["part"] == 1 and row["method"] == method]
    if not given:
        return []
    answers = pandas.DataFrame(given).rename(columns={"correct": "correct_answer"})
    answers = answers.sort_values("question", kind="stable")
    common = {"study": given[0]["study"], "method": method}
    rows = [common | row for row in accuracy_by_question(answers).to_dict("records")]
    summary = asdict(summarise(answers, seed))
    n, correct = sum(row["n"] for row in rows), sum(row["correct"] for row in rows)
    total = {"question": ALL, "n": n, "correct": correct, "accuracy": summary.pop("mean")}
    return [*rows, common | total | summary]


def word_rows(records: Sequence[dict[Any, Any]]) -> list[dict[str, object]]:
    """Return the rows of words.csv; `records`: answers with their key."""
    texts: dict[tuple[str, str, int], list[str]] = {}
    for row in records:
        if row["part"] == 2:
            texts.setdefault((row["method"], row["question"], row["attribute"]), []).append(row["answer"])
    return [
        dict(zip(WORD_COLUMNS, (*place, word, count, len(given)), strict=True))
        for place, given in sorted(texts.items())
        for word, count in common_words(given, COMMON)
    ]
