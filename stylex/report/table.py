"""A table for scripts (CSV) and for readers (Markdown, LaTeX, HTML): numbers in one, text with units in the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas

from stylex.report.published import PROTOCOLS, direction, label

LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\textasciigrave{}", "[": "{[}", "]": "{]}", "*": "{*}",  # the last: behind a \\
    "×": r"$\times$", "±": r"$\pm$", "−": "$-$", "–": "--", "\n": " ", "\r": " ",
})  # fmt: skip
# What Markdown, or GitHub's, reads as more than a letter within a line.
MARKDOWN = str.maketrans(
    {each: f"\\{each}" for each in r"\`*_[]~$|"} | {"<": "&lt;", "&": "&amp;", "\n": " ", "\r": " "}
)
Row: TypeAlias = dict[str, Any]
Cell: TypeAlias = str | Callable[[Row], Any]
NOTHING = "–"  # an empty cell of a reader's table
WORDS = frozenset((
    "Experiment", "Experiments", "Domain", "Method", "Protocol", "Target class", "Towards", "Architecture", "Dataset",
    "Classes", "Class", "Selection", "Source", "Note", "A", "B", "Factor", "Cause", "Moved by the list",
    "Does the printed cell follow?", "Measure", "Verdict", "Remedy", "Direction",
))  # fmt: skip  # headings of columns that hold words; others hold numbers
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
        parts += [block.caption.translate(MARKDOWN), markdown_lines(block)]
    return "\n\n".join(parts) + "\n"


def markdown_lines(block: Block) -> str:
    """Return the grid of a block as lines of GitHub's Markdown, without its caption."""
    header = [str(name) for name in block.frame.columns]
    rule = ["---:" if name in block.numeric else ":---" for name in header]
    rows = [[str(cell).translate(MARKDOWN) for cell in row] for row in block.frame.itertuples(index=False)]
    lines = [[name.translate(MARKDOWN) for name in header], rule, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def to_latex(table: Table) -> str:
    """Return one `table` environment for each block; docs/outputs.md says which packages the document must load."""
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


def grid(caption: str, rows: Iterable[Row], cells: Mapping[str, Cell]) -> Block:
    """Return a block with a line for each row; cells: by heading the name of a column, or what writes the cell."""
    lines = [
        {heading: row[cell] if isinstance(cell, str) else cell(row) for heading, cell in cells.items()} for row in rows
    ]
    return Block(
        caption, pandas.DataFrame(lines, columns=list(cells)), tuple(name for name in cells if name not in WORDS)
    )


def about(*columns: str) -> dict[str, Cell]:
    """Return the cells that say what a row is about, by their headings."""
    headings = {name: name if len(name) == 1 else name.capitalize().replace("_", " ") for name in columns}
    return {headings[name]: of(WRITTEN[name], name) if name in WRITTEN else name for name in columns}


def of(write: Callable[..., str], column: str, *options: Any) -> Cell:
    """Return what writes the value of a column by a function of it."""
    return lambda row: write(row[column], *options)


def groups(data: pandas.DataFrame, keys: Iterable[str], column: str) -> list[Row]:
    """Return a row for what agrees in `keys`: its first record, and as `at` its records by `column`."""
    return [
        {**part.iloc[0], "at": {record[column]: record for record in part.to_dict("records")}}
        for _, part in data.groupby(list(keys), sort=False)
    ]


def by_k(data: pandas.DataFrame, shown: Iterable[int], write: Callable[[Row | None], str]) -> dict[str, Cell]:
    """Return a cell for each k shown, of rows grouped by k; write: its record of one k, or None."""
    known = set(data["k"])
    listed = [k for k in shown if k in known] or sorted(known)
    return {f"k = {k}, %": lambda row, k=k: write(row["at"].get(k)) for k in listed}


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
