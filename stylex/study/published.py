"""`stylex study published`: both replications' tables of their user studies, recomputed from their raw answers.

[V] (van der Vleuten et al. 2022) Table 2 and [G] (van de Geijn et al. 2022) Table 1. The files are parsed as they are
in the repositories (published.yaml). Each printed cell is compared with the answers: does it follow, and which of the
two standard deviations is it?
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import floor, isclose
from pathlib import Path
from typing import Any

import pandas
import yaml

from stylex.artifacts import VERSIONED, provenance, read_table, require, write_table
from stylex.config import recomputed_user_study
from stylex.datasets.transfer import PinnedFile, fetch, is_present
from stylex.errors import ChecksumError, DownloadError, StudyError
from stylex.study.answers import common_words
from stylex.study.statistics import Summary, summarise

COMMON = 3  # words, as [G] Table 2
SEED = 0  # of the resampling of questions
QUESTIONS = 6  # of each block of [V]
KEY_LINE = re.compile(r"^Same transformation in (top|bottom)-right", re.MULTILINE)
SIDES = {"top": "A", "bottom": "B"}
V_ANSWERS = "all_user_studies/user_study_results.csv"
V_KEY = "all_user_studies/user_study_images_{}/study_1/info_of_images.txt"
G_ANSWERS = "studies/classification_study_responses.csv"
G_DESCRIPTIONS = "studies/verbal_study_responses.csv"
# Blocks of [V] in the order of its columns: folder of the key, domain and method in config/published/user_study.csv.
V_BLOCKS = (
    ("old_faces", "FFHQ perceived gender", "Model 1"),
    ("new_faces", "FFHQ perceived gender", "Model 2"),
    ("old_plant", "PlantVillage health", "Model 1"),
)
# [G] numbers its questions only. Its printed figures tell which block is which domain.
G_BLOCKS = (("FFHQ perceived age", "released StylEx model"), ("FFHQ perceived gender", "released StylEx model"))


@dataclass(frozen=True)
class AnswerSource:
    """The files of one replication: of each, the commit and the path in the repository."""

    repository: str
    files: tuple[tuple[str, PinnedFile], ...]


def read_sources() -> dict[str, AnswerSource]:
    """Read published.yaml."""
    found = {}
    for name, source in yaml.safe_load(Path(__file__).with_name("published.yaml").read_text()).items():
        files = [(each["commit"], PinnedFile(each["path"], each["size"], each["sha256"])) for each in source["files"]]
        found[name] = AnswerSource(source["repository"], tuple(files))
    return found


SOURCES = read_sources()


def download_answers(root: Path, name: str, source: AnswerSource) -> Path:
    """Bring the files of `source` to data/raw/user-studies/<name>, verified, and return that folder.

    Files that are there already and match are not fetched again. Raises `DownloadError` (or `ChecksumError`).
    """
    folder = root / "data" / "raw" / "user-studies" / name
    for commit, file in source.files:
        target = folder / file.name
        try:
            if not is_present(target, file):
                fetch(f"{source.repository}/{commit}/{file.name}", file, target)
        except ChecksumError:
            raise
        except DownloadError as error:
            raise DownloadError(f"{error}; check the network, or put the file at {target} yourself") from None
    return folder


@dataclass(frozen=True)
class Block:
    """One domain of a replication's study: the columns of `stylex.study.statistics`."""

    source: str
    domain: str
    method: str
    answers: pandas.DataFrame


def recompute(root: Path, sources: Mapping[str, AnswerSource] = SOURCES) -> pandas.DataFrame:
    """Download and analyse the raw answers; write results/published/user_study.csv and …_words.csv; return the first.

    Raises `DownloadError` when a file cannot be had, `StudyError` when it is not what it was.
    """
    folders = {name: download_answers(root, name, source) for name, source in sources.items()}
    first, second = folders["vandervleuten_2022"], folders["vandegeijn_2022"]
    blocks = [*vandervleuten_blocks(first), *vandegeijn_blocks(second)]
    printed = read_table(root / "config" / "published" / "user_study.csv", ("value", "spread"), VERSIONED)
    frame = pandas.DataFrame([compared(block, printed) for block in blocks])
    words = pandas.concat([vandervleuten_words(first), vandegeijn_words(second)], ignore_index=True)
    pins = {file.name: file.digests["sha256"] for source in sources.values() for _, file in source.files}
    origin = provenance("none", SEED) | pins
    path = recomputed_user_study(root)
    write_table(path, frame, origin)
    write_table(path.with_name("user_study_words.csv"), words, origin)
    return frame


def vandervleuten_blocks(folder: Path) -> list[Block]:
    """Parse [V]: one row per participant; six answers, then six descriptions for each of three blocks."""
    given, blocks = _vandervleuten(folder), []
    for number, (key_folder, domain, method) in enumerate(V_BLOCKS):
        path = folder / V_KEY.format(key_folder)
        key = [SIDES[side] for side in KEY_LINE.findall(require(path).read_text(encoding="utf-8"))]
        if len(key) != QUESTIONS:
            raise StudyError(f"{path} has the key of {len(key)} questions, not {QUESTIONS}; download it again")
        answers = given.iloc[:, 2 * QUESTIONS * number :].iloc[:, :QUESTIONS]
        blocks.append(Block("vandervleuten_2022", domain, method, long_table(answers, key)))
    return blocks


def vandervleuten_words(folder: Path) -> pandas.DataFrame:
    """Return the most common words of each of [V]'s 18 attributes."""
    given = _vandervleuten(folder)
    described = [given.iloc[:, QUESTIONS * (2 * number + 1) :].iloc[:, :QUESTIONS] for number in range(len(V_BLOCKS))]
    parts = [
        word_table("vandervleuten_2022", f"{domain}, {method}", texts)
        for (_, domain, method), texts in zip(V_BLOCKS, described, strict=True)
    ]
    return pandas.concat(parts, ignore_index=True)


def _cells(path: Path) -> pandas.DataFrame:
    """Return the cells of a file as text, without a header."""
    return pandas.read_csv(require(path), header=None, dtype=str, keep_default_na=False)


def _vandervleuten(folder: Path) -> pandas.DataFrame:
    """Return the columns Q1 to Q36, a row a participant."""
    cells, path = _cells(folder / V_ANSWERS), folder / V_ANSWERS
    given = cells.iloc[1:].set_axis(cells.iloc[0], axis=1).set_index("")
    asked = [f"Q{number}" for number in range(1, 2 * QUESTIONS * len(V_BLOCKS) + 1)]
    if given.empty or not {*asked} <= {*given.columns}:
        raise StudyError(f"{path} has not the columns Q1 to Q36; download it again")
    return given[asked]


def vandegeijn_blocks(folder: Path) -> list[Block]:
    """Parse [G]: blocks begin at each 'Attribute 1'; unnamed rows are participants; then the key, and accuracies."""
    path = folder / G_ANSWERS
    cells = _cells(path)
    header, names = cells.iloc[0], cells.iloc[1:, 0]
    starts, keys = [*header.index[header == "Attribute 1"]], names.index[names == "Correct Answers"]
    if len(starts) != len(G_BLOCKS) or len(keys) != 1:
        raise StudyError(f"{path} has not {len(G_BLOCKS)} blocks and one key; download it again")
    people, key = cells.loc[names.index[names == ""]], cells.loc[keys[0]]
    blocks = []
    for (domain, method), start, end in zip(G_BLOCKS, starts, [*starts[1:], len(header)], strict=True):
        answers = long_table(people.iloc[:, start:end], key.iloc[start:end].tolist())
        blocks.append(Block("vandegeijn_2022", domain, method, answers))
    return blocks


def vandegeijn_words(folder: Path) -> pandas.DataFrame:
    """Return the most common words of each of [G]'s ten animations, which its file does not name."""
    return word_table("vandegeijn_2022", "", _cells(folder / G_DESCRIPTIONS).iloc[1:, 1:])


def long_table(answers: pandas.DataFrame, key: list[str]) -> pandas.DataFrame:
    """Return the columns of `stylex.study.statistics`; answers: a row a participant, a column a question.

    An empty answer is left out.
    """
    cells: Any = answers.set_axis(range(1, len(key) + 1), axis=1).stack()
    long = cells.rename_axis(["participant", "question"]).reset_index(name="answer")
    long["correct_answer"] = [key[question - 1] for question in long["question"]]
    return long.query("answer != ''")


def word_table(source: str, block: str, texts: pandas.DataFrame) -> pandas.DataFrame:
    """Return source, block, question, word, descriptions (that hold the word), n (descriptions in all).

    texts: a column a question.
    """
    rows = [
        {"source": source, "block": block, "question": number, "word": word, "descriptions": count, "n": len(texts)}
        for number, (_, part) in enumerate(texts.items(), start=1)
        for word, count in common_words(part, COMMON)
    ]
    return pandas.DataFrame(rows)


def compared(block: Block, printed: pandas.DataFrame) -> dict[str, object]:
    """Return a row: the summary of a block, the printed cell, and whether it follows."""
    summary = summarise(block.answers, SEED)
    source = printed["source"].str.startswith(block.source)
    cells = printed[source & (printed["domain"] == block.domain) & (printed["method"] == block.method)]
    value, spread = (cells.iloc[0]["value"], cells.iloc[0]["spread"]) if len(cells) else ("", "")
    return {
        "source": block.source,
        "domain": block.domain,
        "method": block.method,
        **asdict(summary),
        "published": value,
        "published_spread": spread,
        "finding": finding(value, spread, summary),
    }


def finding(value: str, spread: str, summary: Summary) -> str:
    """Say of a printed mean ± spread whether it follows from the answers; both as printed, empty: not printed."""
    if not value:
        return "nothing printed"
    if follows(value, summary.mean):
        mean = "the mean follows"
    else:
        mean = f"the mean does not follow: the answers give {summary.mean:.4f}"
        mean += ", cut off instead of rounded" if cut_off(value, summary.mean) else ""
    sds = {"population": summary.population_sd, "sample": summary.sample_sd}
    which = [f"the {name} sd" for name, sd in sds.items() if follows(spread, sd)]
    neither = ", ".join(f"{name} {sd:.4f}" for name, sd in sds.items())
    return f"{mean}; the spread is {' or '.join(which) or f'neither sd ({neither})'}"


def follows(printed: str, number: float) -> bool:
    """Say whether `number`, rounded to the decimals of `printed`, is what is printed (a half may go either way)."""
    unit = 10.0 ** -len(printed.partition(".")[2])
    error = abs(float(printed) - number)
    return error < unit / 2 or isclose(error, unit / 2, rel_tol=1e-6)


def cut_off(printed: str, number: float) -> bool:
    """Say whether `number` without its further decimals is what is printed."""
    scale = 10 ** len(printed.partition(".")[2])
    return round(float(printed) * scale) == floor(number * scale)
