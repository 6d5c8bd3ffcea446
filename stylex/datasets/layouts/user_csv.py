"""A CSV table that a user has written, read so that no row, column or cell is lost without a word.

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

from stylex.errors import DatasetError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
AS_UTF8 = "save it as CSV in UTF-8"


class Table(NamedTuple):
    """The cells of a table."""

    rows: list[tuple[int, dict[str, str]]]  # line, counted from 1, and cells by column; without white space around
    unread: list[str]  # columns that nobody asked for
    separator: str  # commas, semicolons or tabs


def read_table(path: Path, needed: Sequence[str], optional: Sequence[str]) -> Table:
    """Read the columns `needed`, which have a value in every row, and those of `optional` that there are.

    Raises `DatasetError` naming the table and the line that is wrong.
    """
    text = _text(path)
    separator, (_, header) = _header(path, text, needed)
    _check_columns(path, header, (*needed, *optional))
    read = {name: header.index(name) for name in (*needed, *optional) if name in header}
    rows: list[tuple[int, dict[str, str]]] = []
    for line, cells in list(_lines(path, text, separator))[1:]:
        if len(cells) < len(header) or any(cells[len(header) :]):
            raise DatasetError(
                f"{path}, line {line}: {len(cells)} cells, the header has {len(header)} ({', '.join(header)}); a cell"
                f' with one of the {SEPARATORS[separator]} in it stands in quotes, as "cat, black"'
            )
        row = {name: cells[position] for name, position in read.items()}
        for name in needed:
            if not row[name]:
                raise DatasetError(f"{path}, line {line}: no {name}; fill it in or remove the line")
        rows.append((line, row))
    return Table(rows, [name or "one without a name" for name in header if name not in read], SEPARATORS[separator])


def _text(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DatasetError(f"{path} is in UTF-16; {AS_UTF8}")
    if (place := data.find(b"\0")) >= 0:
        raise DatasetError(f"{path}, line {_line(data, place)}: a NUL byte, as in UTF-16; {AS_UTF8}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = error.start + (3 if data.startswith(codecs.BOM_UTF8) else 0)
        what = f"byte 0x{data[place]:02x} is no UTF-8"
        raise DatasetError(f"{path}, line {_line(data, place)}: {what}; {AS_UTF8}") from None


def _line(data: bytes, place: int) -> int:
    return len(re.split(rb"\r\n|\r|\n", data[:place]))


def _lines(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each line that is not empty."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    line = 1
    while True:
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            what = f'a quote (") is not closed, or stands where none belongs ({error})'
            raise DatasetError(f"{path}, line {line}: {what}; mend it") from None
        if reader.line_num > line:
            raise DatasetError(
                f'{path}, line {line}: a quote (") that is opened here goes on to line {reader.line_num}; close it, or'
                " take the line break out of the cell"
            )
        if any(cells):
            yield line, cells
        line = reader.line_num + 1


def _header(path: Path, text: str, needed: Sequence[str]) -> tuple[str, tuple[int, list[str]]]:
    """Return the only separator by which the first line has all columns, and that line."""
    found: dict[str, tuple[int, list[str]]] = {}
    for separator in SEPARATORS:
        try:
            found[separator] = next(_lines(path, text, separator), (1, []))
        except DatasetError:  # a quote before another separator
            continue
        if set(needed) <= set(found[separator][1]):
            return separator, found[separator]
    separator = max(found, key=lambda each: len(found[each][1]), default=",")
    if separator not in found or len(found[separator][1]) < 2:
        next(_lines(path, text, ","), None)  # says what is wrong with its quotes, if that is it
    line, header = found.get(separator, (1, []))
    missing = next(name for name in needed if name not in header)
    raise DatasetError(
        f"{path} has no column '{missing}': line {line} has {', '.join(map(repr, header)) or 'nothing'}, separated by"
        f" {SEPARATORS[separator]}; give the columns the names {' and '.join(needed)} in the first line, separated"
        " by commas, semicolons or tabs"
    )


def _check_columns(path: Path, header: list[str], known: Sequence[str]) -> None:
    """Refuse a column that is there twice, or whose name is meant and not read."""
    for name in known:
        if header.count(name) > 1:
            raise DatasetError(f"{path} has {header.count(name)} columns '{name}'; remove or rename all but one")
        for each in header:
            if each.casefold() == name.casefold() and each != name and name not in header:
                raise DatasetError(f"{path}: the column '{each}' is not read; call it '{name}', or something else")
