"""The two figures of `make bench-scaling`: a panel for what grows, on logarithmic axes, with the fitted power laws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from stylex.figures.fonts import use_fonts
from stylex.figures.style import panels, series_style, styled

PANELS = {
    "attfind": {
        "images": "images N", "coordinates": "coordinates K", "resolution": "side of the images, pixels",
        "processes": "processes (shards)",
    },
    "training": {
        "resolution": "side of the images, pixels", "batch": "images of a batch", "width": "times the channels",
    },
}  # fmt: skip
VALUES = {"attfind": "seconds of a search", "training": "training images a second"}


@styled()
def draw(measured: dict[str, Any], part: str, path: Path) -> None:
    """Draw one part as an SVG: the medians, from the lowest to the highest round, and a line a x**b for each curve."""
    sweeps, machine = PANELS[part], measured["machine"]
    figure, axes = panels(2, 2, height=2.2)
    for panel, (sweep, label) in zip(axes, sweeps.items(), strict=False):
        rows = [row for row in measured["points"] if (row["part"], row["sweep"]) == (part, sweep)]
        for number, way in enumerate(dict.fromkeys(row["way"] for row in rows)):
            curve = [row for row in rows if row["way"] == way]
            _curve(panel, curve, way, measured["exponents"][f"{part}, {sweep}, {way}"], series_style(number))
        _axes(panel, rows)
        panel.set(xlabel=label, ylabel=VALUES[part])
        panel.legend(loc="lower left", bbox_to_anchor=(0, 1))
    for panel in axes[len(sweeps) :]:
        panel.remove()
    use_fonts(figure)
    origin = f"{machine['command']}; {machine['processor']}; commit {machine['commit']}"
    with rc_context({"svg.hashsalt": origin}):  # the same numbers give the same bytes
        figure.savefig(path, metadata={"Date": None, "Description": origin})


def _axes(axes: Axes, rows: list[dict[str, Any]]) -> None:
    """Give both axes logarithmic scales with plain numbers."""
    axes.set(xscale="log", yscale="log")
    axes.set_ylim(min(row["lowest"] for row in rows) / 1.5, max(row["highest"] for row in rows) * 1.5)
    ticks = sorted({row["x"] for row in rows})
    apart = [ticks[0], *(high for low, high in zip(ticks, ticks[1:], strict=False) if high > 1.4 * low)]
    axes.set_xticks(apart, [str(tick) for tick in apart])
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(NullLocator())


def _curve(axes: Axes, rows: list[dict[str, Any]], way: str, exponent: float, look: dict[str, Any]) -> None:
    """Draw the points of a curve, their range, and the fitted line through their mean in logarithms."""
    x, value, lowest, highest = (
        numpy.array([row[key] for row in rows], float) for key in ("x", "value", "lowest", "highest")
    )
    range_ = numpy.abs(numpy.stack([value - lowest, highest - value]))
    searched = {row["images"] for row in rows if row["part"] == "attfind"}
    name = f"{way}, N = {searched.pop()}" if len(searched) == 1 else way
    axes.errorbar(x, value, range_, label=f"{name}: exponent {exponent:.2f}", **look | {"linestyle": "none"})
    scale = numpy.exp(numpy.log(value).mean() - exponent * numpy.log(x).mean())
    axes.plot(x, scale * x**exponent, color=look["color"], linestyle=look["linestyle"], linewidth=0.8)
