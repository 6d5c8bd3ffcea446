"""The participants' files: CSV that people have had in their hands, and that is theirs. Every file is named in full.

A spreadsheet may have written it anew: in another encoding, with other separators. What cannot be read as it was handed
out is refused with the line and the remedy, and never guessed at: one quotation mark too many would swallow answers.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas

from stylex.errors import StudyError

COLUMNS = ("study", "participant", "question", "answer")
SAVE = 'save it as "CSV UTF-8", or take the file as the page handed it out'
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_answer_file(path: Path) -> pandas.DataFrame:
    """Return the answers of one file as text, `COLUMNS` and `file`; raise `StudyError` when it cannot be read."""
    if not path.is_file():
        raise StudyError(f"{path} does not exist; give the CSV files that the questionnaire handed out")
    header, *rows = _rows(path, _text(path)) or [(1, [])]
    names = [name.strip() for name in header[1]]
    missing = [column for column in COLUMNS if column not in names]
    if missing:
        found = ", ".join(repr(name) for name in header[1]) or "nothing"
        raise StudyError(
            f"{path} has no column '{missing[0]}', but {found}; give a CSV that the questionnaire handed out"
        )
    for line, row in rows:
        if len(row) != len(names):
            raise StudyError(f"{path}, line {line}: {len(row)} cells where the header has {len(names)}; {SAVE}")
        if any(set(cell) & {"\n", "\r"} for cell in row):
            raise StudyError(f"{path}, line {line}: an answer of several lines, as a quotation mark is missing; {SAVE}")
    frame = pandas.DataFrame([row for _, row in rows], columns=names, dtype=object)
    return frame[list(COLUMNS)].assign(file=str(path))


def _text(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith(UTF_16) or b"\0" in content:
        raise StudyError(f"{path} is no UTF-8 text but UTF-16, or no text at all; {SAVE}")
    try:
        return content.decode("utf-8-sig")  # spreadsheets begin a UTF-8 file with a mark
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise StudyError(
            f"{path}, line {line}: the byte 0x{content[error.start]:02x} is no UTF-8, as when a spreadsheet saved it in"
            f" another encoding; {SAVE}"
        ) from None


def _rows(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """Return the rows that are not empty, each with the line where it begins."""
    first = text.partition("\n")[0]
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if "," not in first and separator in first:
            raise StudyError(f"{path} is separated by {name}, not by commas; {SAVE}")
    reader, rows, begins = csv.reader(io.StringIO(text, newline=""), strict=True), [], 1
    try:
        for row in reader:
            rows.append((begins, row))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise StudyError(f"{path}, line {begins}: {error}; mend that line, or {SAVE}") from None
    return [(line, row) for line, row in rows if row]
