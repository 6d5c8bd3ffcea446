"""The look of all figures, and how they are written.

Colours are those of Okabe and Ito (2008), told apart with any colour vision; line styles and markers differ as well.
Sizes are for one column of a two-column page. Figures are made with matplotlib's object interface (no global state),
and two runs over the same numbers give the same bytes: no timestamps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stylex.artifacts import atomic_path
from stylex.config import SuitePaths
from stylex.figures.fonts import FAMILY, use_fonts

COLUMN_WIDTH = 3.5  # inches
DPI = 300
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
LINES = ("-", "--", "-.", ":")
MARKERS = ("s", "^", "D", "v", "P", "X")
INK = "#222222"
STYLE: dict[Any, Any] = {
    "font.family": FAMILY,
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "legend.fontsize": 6.5,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "text.color": INK,
    "text.parse_math": False,  # names are text: a class may be called low_$
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "pdf.fonttype": 42,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw figures of this style inside (or as a decorator); what was set before comes back."""
    with rc_context(STYLE):
        yield


def series_style(index: int) -> dict[str, str]:
    """Return colour, line style and marker of the series with this number."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": LINES[index % len(LINES)],
        "marker": MARKERS[index % len(MARKERS)],
    }


def panels(rows: int, columns: int = 1, height: float = 1.9) -> tuple[Figure, list[Axes]]:
    """Return a figure of `rows` x `columns` axes, each row `height` inches high and each column a page column wide."""
    figure = Figure(figsize=(COLUMN_WIDTH * columns, height * rows), layout="constrained", facecolor="white")
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def save(figure: Figure, paths: SuitePaths, experiment: str, name: str, provenance: str) -> None:
    """Write results/<suite>/figures/<experiment>-<name>.png and .pdf, with `provenance` in their metadata."""
    fixed = {
        "png": {"Software": None, "Description": provenance},
        "pdf": {"Creator": None, "Producer": None, "CreationDate": None, "Subject": provenance},
    }
    with styled():
        use_fonts(figure)
        for suffix, metadata in fixed.items():
            with atomic_path(paths.figure(experiment, name, suffix)) as temporary:
                figure.savefig(temporary, format=suffix, dpi=DPI, metadata=metadata)
