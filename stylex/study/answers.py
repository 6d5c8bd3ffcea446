"""What the participants of a questionnaire answered: their files, the analysis against the key, and its summary.

The files are CSV that people have had in their hands (`stylex.user_csv`). The words of descriptions are counted simply,
in English only: lower-cased, without function words and words for a change as such ("becomes", "more"), plurals without
their ending. Spelling mistakes, synonyms and verb forms stay what they are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas

from stylex.artifacts import read_json, read_table, write_table
from stylex.errors import StudyError
from stylex.study.statistics import accuracy_by_question, summarise
from stylex.user_csv import read_user_csv

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
ANSWER_COLUMNS = ("study", "participant", "question", "answer")
TEXT = ("study", "question", "method", "correct", "images")
COMMON = 5  # words of each attribute
ALL = "all"


def analyse(key_path: Path, answer_paths: Sequence[Path]) -> tuple[pandas.DataFrame, pandas.DataFrame]:
    """Write people.csv and words.csv beside the key and return them.

    people.csv: one row per question of part 1, and a row `all` per method. words.csv: the most common words of part 2.
    Raises `StudyError` when a file is not of this questionnaire, or the same participant answers twice.
    """
    files = [key_path.with_name(name) for name in ("people.csv", "words.csv")]
    for path in files:
        if path.exists() and not path.with_suffix(".provenance.json").is_file():
            raise StudyError(f"{path} is none of ours, and would be overwritten: move it, or copy the key elsewhere")
    key, answers = read_key(key_path), read_answers(answer_paths)
    check_answers(key, answers)
    joined = answers.merge(key.drop(columns="study"), on="question", validate="many_to_one")
    origin = read_json(key_path.with_suffix(".provenance.json"))
    first, second = (joined.loc[joined["part"] == part] for part in (1, 2))
    rows = [row for method in key["method"].unique() for row in people_rows(method, first, int(origin["seed"]))]
    people = pandas.DataFrame(rows, columns=list(PEOPLE_COLUMNS))
    words = pandas.DataFrame(word_rows(second), columns=list(WORD_COLUMNS))
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


def read_answer_file(path: Path) -> pandas.DataFrame:
    """Return the answers of one file as text, and their `file`; raise `StudyError` when it cannot be read."""
    if not path.is_file():
        raise StudyError(f"{path} does not exist; give the CSV files that the questionnaire handed out")
    rows = [cells for _, cells in read_user_csv(path, ANSWER_COLUMNS, (), StudyError).rows]
    return pandas.DataFrame(rows, columns=list(ANSWER_COLUMNS), dtype=object).assign(file=str(path))


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


def people_rows(method: str, answers: Any, seed: int) -> list[dict[str, object]]:
    """Return the rows of people.csv of one method; answers: to part 1, with their key; seed: of the resampling."""
    given = answers.loc[answers["method"] == method].rename(columns={"correct": "correct_answer"})
    if given.empty:
        return []
    given = given.sort_values("question", kind="stable")
    common, by_question = {"study": given["study"].iloc[0], "method": method}, accuracy_by_question(given)
    summary = asdict(summarise(given, seed))
    total = {"question": ALL, **by_question[["n", "correct"]].sum(), "accuracy": summary.pop("mean")}
    return [common | row for row in (*by_question.to_dict("records"), total | summary)]


def word_rows(answers: Any) -> list[tuple[object, ...]]:
    """Return the rows of words.csv; answers: to part 2, with their key."""
    return [
        (*place, word, count, len(given))
        for place, given in answers.groupby(list(WORD_COLUMNS[:3]))["answer"]
        for word, count in common_words(given, COMMON)
    ]


WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
FUNCTION_WORDS = (
    "a about add added adds all also am an and any appear appears are as at be became become becomes been "
    "being but by can change changed changes changing did different do does doing don't down during each "
    "for from get gets getting go goes going had has have having he her here his how i i'm if in into is "
    "it it's its just less make makes many me more most my no not of off on one only or other our out "
    "over same see seem seems she slightly so some such than that the their them then there these they "
    "this those to too up very was we were what when where which while who with you your "
)
STOP_WORDS = frozenset(FUNCTION_WORDS.split())
KEPT = ("ss", "us", "is")  # glass, iris: no plural
ONLY_PLURAL = frozenset({"glasses", "eyeglasses", "sunglasses", "clothes"})


def content_words(text: str) -> set[str]:
    """Return the different words of a description, without function words, in their base form."""
    found = (word.lower().replace("’", "'").removesuffix("'s") for word in WORD.findall(text))
    return {lemma(word) for word in found if word not in STOP_WORDS}


def lemma(word: str) -> str:
    """Return the singular of a regular plural; any other word as it is."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(KEPT) or word in ONLY_PLURAL:
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    return word[:-1]


def common_words(descriptions: Iterable[str], count: int) -> list[tuple[str, int]]:
    """Return the `count` most common words and in how many descriptions each stands; ties in alphabetical order."""
    counter = Counter(word for text in descriptions for word in content_words(text))
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:count]


def describe_people(people: pandas.DataFrame) -> list[str]:
    """Return lines for people.csv."""
    lines = []
    for row in people.to_dict("records"):
        counts = f"{row['correct']} of {row['n']} right, 95 % interval {row['low']:.4f} to {row['high']:.4f}"
        if row["question"] != ALL:
            lines.append(f"  {row['method']} {row['question']}: {row['accuracy']:.4f} ({counts})")
            continue
        lines.append(
            f"{row['method']}, {row['participants']:.0f} participants, {row['questions']:.0f} questions:"
            f" mean {row['accuracy']:.4f}, population sd {row['population_sd']:.4f}, sample sd {row['sample_sd']:.4f}"
            f" ({counts}), agreement (Fleiss' kappa) {row['kappa']:.4f}"
        )
    return lines


def describe_words(words: pandas.DataFrame) -> list[str]:
    """Return lines for words.csv."""
    found: dict[str, list[str]] = {}
    for row in words.to_dict("records"):
        text = f"{row['word']} ({row['people']} of {row['n']})"
        found.setdefault(f"  {row['method']} {row['question']}: ", []).append(text)
    return [name + ", ".join(texts) for name, texts in found.items()]


def describe_published(frame: pandas.DataFrame) -> list[str]:
    """Return lines for results/published/user_study.csv."""
    return [
        f"{row['source']}, {row['domain']}, {row['method']} ({row['participants']} participants, {row['questions']}"
        f" questions): printed {row['published']} ± {row['published_spread']}; answers {row['mean']:.4f},"
        f" population sd {row['population_sd']:.4f}, sample sd {row['sample_sd']:.4f}: {row['finding']}"
        for row in frame.to_dict("records")
    ]
