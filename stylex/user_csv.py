"""A CSV table that a person has written or saved anew, read so that no row, column or cell is lost without a word.

Rows end with the line: a quoted cell that goes on is far more often a quote that was not closed, and swallows the rows
up to the next one.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from stylex.errors import StylexError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
AS_UTF8 = 'save it as CSV in UTF-8 (of a spreadsheet: "CSV UTF-8")'


class Table(NamedTuple):
    """The cells of a table."""

    rows: list[tuple[int, dict[str, str]]]  # line, counted from 1, and cells by column; without white space around
    unread: list[str]  # columns that nobody asked for
    separator: str  # commas, semicolons or tabs


def read_user_csv(path: Path, needed: Sequence[str], optional: Sequence[str], error: type[StylexError]) -> Table:
    """Read the columns `needed`, and those of `optional` that there are; cells may be empty.

    Raises `error` naming the table and the line that is wrong, with the remedy.
    """
    text = _decoded(path, error)
    separator, header = _header(path, text, needed, error)
    for name in (*needed, *optional):
        if header.count(name) > 1:
            raise error(f"{path} has {header.count(name)} columns '{name}'; remove or rename all but one")
        for each in header:
            if each.casefold() == name.casefold() and each != name and name not in header:
                raise error(f"{path}: the column '{each}' is not read; call it '{name}', or something else")
    columns = {name: header.index(name) for name in (*needed, *optional) if name in header}
    rows: list[tuple[int, dict[str, str]]] = []
    for line, cells in list(_lines(path, text, separator, error))[1:]:
        if len(cells) < len(header) or any(cells[len(header) :]):
            raise error(
                f"{path}, line {line}: {len(cells)} cells, the header has {len(header)} ({', '.join(header)}); a cell"
                f' with one of the {SEPARATORS[separator]} in it stands in quotes, as "cat, black"'
            )
        rows.append((line, {name: cells[position] for name, position in columns.items()}))
    unread = [name or "one without a name" for name in header if name not in columns]
    return Table(rows, unread, SEPARATORS[separator])


def _decoded(path: Path, error: type[StylexError]) -> str:
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise error(f"{path} is in UTF-16; {AS_UTF8}")
    place, what = data.find(b"\0"), "a NUL byte, as in UTF-16"
    if place < 0:
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as wrong:
            place = wrong.start + (3 if data.startswith(codecs.BOM_UTF8) else 0)
            what = f"byte 0x{data[place]:02x} is no UTF-8"
    line = len(re.split(rb"\r\n|\r|\n", data[:place]))
    raise error(f"{path}, line {line}: {what}; {AS_UTF8}")


def _lines(path: Path, text: str, separator: str, error: type[StylexError]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each line that is not empty."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    line = 1
    try:
        for cells in reader:
            if reader.line_num > line:
                raise error(
                    f'{path}, line {line}: a quote (") that is opened here goes on to line {reader.line_num}; close it,'
                    " or take the line break out of the cell"
                )
            if any(map(str.strip, cells)):
                yield line, [cell.strip() for cell in cells]
            line = reader.line_num + 1
    except csv.Error as wrong:
        what = f'a quote (") is not closed, or stands where none belongs ({wrong})'
        raise error(f"{path}, line {line}: {what}; fix it") from None


def _header(path: Path, text: str, needed: Sequence[str], error: type[StylexError]) -> tuple[str, list[str]]:
    """Return the only separator by which the first line has all columns, and the names in that line."""
    found: dict[str, tuple[int, list[str]]] = {}
    for separator in SEPARATORS:
        try:
            found[separator] = next(_lines(path, text, separator, error), (1, []))
        except error:  # a quote before another separator
            continue
        if set(needed) <= set(found[separator][1]):
            return separator, found[separator][1]
    separator = max(found, key=lambda each: len(found[each][1]), default=",")
    if separator not in found or len(found[separator][1]) < 2:
        next(_lines(path, text, ",", error), None)  # says what is wrong with its quotes, if that is it
    line, header = found.get(separator, (1, []))
    missing = next(name for name in needed if name not in header)
    raise error(
        f"{path} has no column '{missing}': line {line} has {', '.join(map(repr, header)) or 'nothing'}, separated by"
        f" {SEPARATORS[separator]}; give the columns the names {' and '.join(needed)} in the first line, separated"
        " by commas, semicolons or tabs"
    )
