"""How StylEx training went: loss terms, measurements on validation images, learning rate and speed."""

from __future__ import annotations

from pathlib import Path

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogFormatter

from stylex.artifacts import read_table
from stylex.figures.style import panels, series_style, styled

AXIS = "images"
OTHERS = "Other"
RATES = "Learning rates"
NOT_DRAWN = (AXIS, "seconds")
GROUPS = {  # panel title: column: its name in the legend
    "Adversarial losses": {"d_adversarial": "D", "g_adversarial": "G"},
    "Penalties": {"r1": "R1", "path_length": "path length"},
    "Reconstruction": {
        "reconstruction_x": "x (L1)",
        "reconstruction_perceptual": "perceptual",
        "reconstruction_w": "w",
    },
    "Classifier loss (KL)": {"classifier": "reconstructions", "classifier_noise": "noise steps"},
    "Energy distance of M(z) and E(x)": {"mapping": "energy distance"},
    "Validation: mean |x' − x|": {"val_l1": "L1"},
    "Validation: class kept": {"val_class_kept": "class kept"},
    "Validation: Fréchet distance": {"val_frechet_distance": "Fréchet distance"},
    OTHERS: {},  # whatever else the history holds
    RATES: {"learning_rate": "G, M", "encoder_learning_rate": "E", "discriminator_learning_rate": "D"},
    "Training images a second": {"images_per_second": "images a second"},
}
FROM_ZERO = (RATES, "Training images a second")  # noise should not look like a trend
LOGARITHMIC = ("Penalties",)  # R1 and path length differ by orders of magnitude


def read_history(path: Path) -> pandas.DataFrame:
    """Read history.csv, of numbers alone: `classifier`, which is a name in other tables, is a loss here."""
    return pandas.DataFrame({name: pandas.to_numeric(column) for name, column in read_table(path).items()})


@styled()
def draw_history(frame: pandas.DataFrame) -> Figure:
    """Draw every numeric column of a training history against the images shown, grouped into panels.

    Cells may be empty: a term that is computed every few steps is drawn through the rows that have it.
    """
    groups = group_columns(frame)
    columns = 1 if len(groups) == 1 else 2
    rows = -(-len(groups) // columns)
    figure, axes = panels(rows, columns, height=1.4)
    for one, (title, names) in zip(axes, groups.items(), strict=False):
        _panel(one, frame, title, names)
    for unused in axes[len(groups) :]:
        unused.set_axis_off()
    for last in axes[max(0, len(groups) - columns) : len(groups)]:
        last.set_xlabel("images shown")
    return figure


def group_columns(frame: pandas.DataFrame) -> dict[str, dict[str, str]]:
    """Return {panel title: {column: legend}} of the numeric columns with values; raise `ValueError` without any."""
    numeric = frame.select_dtypes("number").dropna(axis="columns", how="all").columns
    drawn = [str(name) for name in numeric if name not in NOT_DRAWN]
    known = {name for names in GROUPS.values() for name in names}
    groups = {title: {name: text for name, text in names.items() if name in drawn} for title, names in GROUPS.items()}
    groups[OTHERS] |= {name: name.replace("_", " ") for name in drawn if name not in known}
    groups = {title: names for title, names in groups.items() if names}
    if not groups:
        raise ValueError("the training history has no numeric column with a value")
    return groups


def _panel(axes: Axes, frame: pandas.DataFrame, title: str, names: dict[str, str]) -> None:
    for index, (name, text) in enumerate(names.items()):
        series = frame[[AXIS, name]].dropna()
        look = series_style(index)
        marker = look["marker"] if len(series) <= 15 else ""
        axes.plot(
            series[AXIS], series[name], label=text, color=look["color"], linestyle=look["linestyle"], marker=marker
        )
    axes.set_title(title, loc="left")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if title in LOGARITHMIC:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(LogFormatter())  # the default writes mathtext, which `STYLE` does not read
        axes.yaxis.set_minor_formatter(LogFormatter())
    if title in FROM_ZERO:
        axes.set_ylim(0, 1.2 * frame[list(names)].max(axis=None))
    if len(names) > 1 or title == OTHERS:
        axes.legend(loc="lower right", bbox_to_anchor=(1.02, 0.96), ncols=3, columnspacing=1, handlelength=1.6)
