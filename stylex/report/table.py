"""A table for scripts (CSV) and for readers (Markdown, LaTeX, HTML): numbers in one, text with units in the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas

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
    """Return one `table` environment a block; the document must load the package booktabs."""
    return "\n".join(_latex_block(table.name, number, block) for number, block in enumerate(table.blocks, start=1))


def _latex_block(name: str, number: int, block: Block) -> str:
    frame = block.frame.astype(str).map(lambda cell: cell.translate(LATEX))
    alignment = "".join("r" if column in block.numeric else "l" for column in block.frame.columns)
    frame.columns = [str(column).translate(LATEX) for column in block.frame.columns]
    caption, label = block.caption.translate(LATEX), f"tab:{name}-{number}"
    styler = frame.style.hide(axis="index")
    return styler.to_latex(
        column_format=alignment, hrules=True, caption=caption, label=label, position="tbp", position_float="centering"
    )


def concatenated(frames: Iterable[pandas.DataFrame], columns: tuple[str, ...]) -> pandas.DataFrame:
    """Stack the frames of several experiments, with exactly these columns, even where one is empty throughout."""
    return pandas.concat([frame.astype(object) for frame in frames], ignore_index=True).reindex(columns=list(columns))


def percent(fraction: float) -> str:
    """Write a fraction as a percentage without its sign; nothing when it is not a number."""
    return NOTHING if pandas.isna(fraction) else f"{100 * fraction:.1f}"


def interval(record: Mapping[Any, Any] | None) -> str:
    """Write fraction, low and high of a record as percentages; nothing when there is no record or no number."""
    if record is None or pandas.isna(record["fraction"]):
        return NOTHING
    return f"{percent(record['fraction'])} ({percent(record['low'])}–{percent(record['high'])})"
