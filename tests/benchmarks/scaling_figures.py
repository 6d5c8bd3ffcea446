"""The two figures of `make bench-scaling`: a panel for what grows, on logarithmic axes, with the fitted power laws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from stylex.figures.style import panels, series_style, styled, write

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
    """Draw one part as a PNG: the medians, from the lowest to the highest round, and a line a x**b for each curve."""
    sweeps = PANELS[part]
    figure, axes = panels(1 if len(sweeps) < 4 else 2, len(sweeps) if len(sweeps) < 4 else 2, height=2.3)
    for panel, (sweep, label) in zip(axes, sweeps.items(), strict=True):
        rows = [row for row in measured["points"] if (row["part"], row["sweep"]) == (part, sweep)]
        for number, way in enumerate(dict.fromkeys(row["way"] for row in rows)):
            curve = [row for row in rows if row["way"] == way]
            _curve(panel, curve, way, measured["exponents"][f"{part}, {sweep}, {way}"], series_style(number))
        panel.set(xlabel=label, ylabel=VALUES[part], xscale="log", yscale="log")
        ticks = sorted({row["x"] for row in rows})
        panel.set_xticks(ticks, [str(tick) for tick in ticks])
        panel.xaxis.set_minor_locator(NullLocator())
        panel.legend()
    machine = measured["machine"]
    write(figure, path, f"{machine['command']}; {machine['processor']}; commit {machine['commit']}")


def _curve(axes: Axes, rows: list[dict[str, Any]], way: str, exponent: float, look: dict[str, Any]) -> None:
    """Draw the points of a curve, their range, and the fitted line through their mean in logarithms."""
    x, value, lowest, highest = (
        numpy.array([row[key] for row in rows], float) for key in ("x", "value", "lowest", "highest")
    )
    range_ = numpy.abs(numpy.stack([value - lowest, highest - value]))
    axes.errorbar(x, value, range_, label=f"{way}: exponent {exponent:.2f}", **look | {"linestyle": "none"})
    scale = numpy.exp(numpy.log(value).mean() - exponent * numpy.log(x).mean())
    axes.plot(x, scale * x**exponent, color=look["color"], linestyle=look["linestyle"], linewidth=0.8)
