"""A table for scripts (CSV) and for readers (Markdown, LaTeX, HTML): numbers in one, text with units in the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas

from stylex.report.published import PROTOCOLS, direction, label

LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\textasciigrave{}", "[": "{[}", "]": "{]}", "*": "{*}",  # the last: behind a \\
    "×": r"$\times$", "±": r"$\pm$", "–": "--", "\n": " ", "\r": " ",
})  # fmt: skip
# What Markdown, or GitHub's, reads as more than a letter within a line.
MARKDOWN = str.maketrans(
    {each: f"\\{each}" for each in r"\`*_[]~$|"} | {"<": "&lt;", "&": "&amp;", "\n": " ", "\r": " "}
)
NOTHING = "–"  # an empty cell of a reader's table
# How a reader's table writes what a row is about; all else as it is.
WRITTEN: dict[str, Callable[[Any], str]] = {
    "method": label,
    "protocol": lambda protocol: PROTOCOLS[protocol],
    "target_class": direction,
    "shift": "{:g}".format,
}


@dataclass(frozen=True)
class Block:
    """A captioned grid of text, as a reader sees it; the columns in `numeric` are set to the right."""

    caption: str
    frame: pandas.DataFrame
    numeric: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """`data` goes to the CSV; `blocks` to the reader: ours first, then the published figures as context."""

    name: str
    title: str
    data: pandas.DataFrame
    blocks: tuple[Block, ...]


def to_markdown(table: Table) -> str:
    """Return GitHub-flavoured tables, each under its caption."""
    parts = [f"# {table.title.translate(MARKDOWN)}"]
    for block in table.blocks:
        header = [str(name) for name in block.frame.columns]
        rule = ["---:" if name in block.numeric else ":---" for name in header]
        rows = [[str(cell).translate(MARKDOWN) for cell in row] for row in block.frame.itertuples(index=False)]
        grid = [[name.translate(MARKDOWN) for name in header], rule, *rows]
        lines = "\n".join("| " + " | ".join(row) + " |" for row in grid)
        parts += [block.caption.translate(MARKDOWN), lines]
    return "\n\n".join(parts) + "\n"


def to_latex(table: Table) -> str:
    """Return one `table` environment for each block; the document must load the package booktabs."""
    blocks = []
    for number, block in enumerate(table.blocks, start=1):
        frame = block.frame.astype(str).map(lambda cell: cell.translate(LATEX))
        frame.columns = [str(column).translate(LATEX) for column in block.frame.columns]
        blocks.append(
            frame.style.hide(axis="index").to_latex(
                column_format="".join("r" if column in block.numeric else "l" for column in block.frame.columns),
                hrules=True, caption=block.caption.translate(LATEX), label=f"tab:{table.name}-{number}",
                position="tbp", position_float="centering",
            )
        )  # fmt: skip
    return "\n".join(blocks)


def concatenated(frames: Iterable[pandas.DataFrame], columns: Iterable[str]) -> pandas.DataFrame:
    """Stack the frames of several experiments, with exactly these columns, even where one is empty throughout."""
    return pandas.concat([frame.astype(object) for frame in frames], ignore_index=True).reindex(columns=list(columns))


def named(row: Mapping[Any, Any], *columns: str) -> dict[str, Any]:
    """Return the cells of a reader's table that say what a row is about, by their headings."""
    cells = {}
    for name in columns:
        heading = name if len(name) == 1 else name.capitalize().replace("_", " ")
        cells[heading] = WRITTEN[name](row[name]) if name in WRITTEN else row[name]
    return cells


def by_k(
    data: pandas.DataFrame,
    keys: Iterable[str],
    columns: Iterable[str],
    shown: Iterable[int],
    cell: Callable[[Any], str],
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a reader's rows with a column for each k shown, and the headings of these columns.

    A row stands for what agrees in `keys`; `columns` name it; `cell` writes its record of one k, or None.
    """
    headings = {k: f"k = {k}, %" for k in shown}
    rows = []
    for _, part in data.groupby(list(keys), sort=False):
        at = {record["k"]: record for record in part.to_dict("records")}
        rows.append(named(part.iloc[0], *columns) | {heading: cell(at.get(k)) for k, heading in headings.items()})
    return rows, list(headings.values())


def percent(fraction: float) -> str:
    """Write a fraction as a percentage without its sign; nothing when it is not a number."""
    return number(fraction, 1, 100)


def number(value: float, digits: int, scale: float = 1) -> str:
    """Write a number; nothing when it is not one."""
    return NOTHING if pandas.isna(value) else f"{scale * value:.{digits}f}"


def interval(record: Mapping[Any, Any] | None, name: str = "") -> str:
    """Write fraction (or `name`), low and high of a record as percentages; nothing when there is no number."""
    fraction, low, high = (name, f"{name}_low", f"{name}_high") if name else ("fraction", "low", "high")
    if record is None or pandas.isna(record[fraction]):
        return NOTHING
    return f"{percent(record[fraction])} ({percent(record[low])}–{percent(record[high])})"
