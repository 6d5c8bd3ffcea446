"""Curves over the number of attributes: sufficiency ([L] 4.2.3) and distance to the dataset's images ([V] figure 3)."""

from __future__ import annotations

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, PercentFormatter

from stylex.config.analysis import INCEPTION, POOLED
from stylex.figures.style import COLOURS, INK, panels, series_style, styled

METHODS = {"stylex": "StylEx", "without_cst": "StylEx without CST", "wu_2021": "Wu et al."}
TICKS = (1, 2, 3, 5, 10, 20, 40, 80)


@styled()
def draw_sufficiency(frame: pandas.DataFrame) -> Figure:
    """Draw the fraction of flipped decisions against k, for each target class and pooled, with its Wilson interval.

    `frame` has the columns target_class (text), k, fraction, low, high in [0, 1].
    """
    figure, (axes,) = panels(1, height=2.4)
    parts = {str(name): part for name, part in frame.groupby("target_class", sort=False)}
    pooled = parts.pop(POOLED, None)
    for index, (name, part) in enumerate(parts.items()):
        _band(axes, part, f"to {name}", series_style(index))
    if pooled is not None:
        _band(axes, pooled, "all directions pooled", {"color": INK, "linestyle": "-", "marker": "o"})
    _axes_of_flips(axes, frame)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@styled()
def draw_methods(frame: pandas.DataFrame) -> Figure:
    """Draw the fraction of flipped decisions against k, of all directions pooled, for each method with its interval.

    `frame` has the columns experiment, method, target_class (text), k, fraction, low, high in [0, 1], n.
    """
    figure, (axes,) = panels(1, height=2.4)
    pooled = frame.loc[frame["target_class"] == POOLED]
    methods = [method for method in METHODS if method in set(pooled["method"])]
    parts = [part for method in methods for _, part in pooled.loc[pooled["method"] == method].groupby("experiment")]
    for index, part in enumerate(parts):
        first = part.iloc[0]
        label = METHODS[first["method"]] + (f", {first['experiment']}" if len(parts) > len(methods) else "")
        _band(axes, part, f"{label} (n = {part['n'].iloc[0]})", series_style(index))
    _axes_of_flips(axes, pooled)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _axes_of_flips(axes: Axes, frame: pandas.DataFrame) -> None:
    """Label the axes; a few k far beyond the others would press these together, so k is then on a logarithmic scale."""
    axes.set(xlabel="number of attributes k", ylabel="decisions flipped", ylim=(-0.02, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    if (most := max(frame["k"])) <= 20:
        return _whole_numbers(axes)
    axes.set_xscale("log")
    ticks = [k for k in TICKS if k <= most]
    axes.set_xticks(ticks, [str(k) for k in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


@styled()
def draw_frechet(frame: pandas.DataFrame) -> Figure:
    """Draw Fréchet distance and KID (mean ± sd over subsets) against the number of attributes moved.

    `frame` has the columns n_attributes, n, extractor, frechet_distance, kid, kid_sd of one experiment; each extractor
    has a pair of axes of its own, as their scales have nothing in common.
    """
    parts = [(str(name), part) for name, part in frame.groupby("extractor", sort=False)]
    figure, axes = panels(2 * len(parts), height=1.7)
    for (extractor, part), upper, lower in zip(parts, axes[::2], axes[1::2], strict=True):
        part, fid = part.sort_values("n_attributes"), extractor == INCEPTION
        upper.plot(part["n_attributes"], part["frechet_distance"], color=COLOURS[0], marker="o")
        upper.set_ylabel("FID" if fid else "Fréchet distance")
        network = "pytorch-fid's Inception" if fid else extractor
        upper.set_title(f"features of {network}, n = {part['n'].iloc[0]}", loc="left")
        kid, deviation = 1000 * part["kid"], 1000 * part["kid_sd"]
        bars = {"color": COLOURS[1], "marker": "s", "capsize": 2, "elinewidth": 0.8, "capthick": 0.8}
        lower.errorbar(part["n_attributes"], kid, yerr=deviation, **bars)
        lower.set_ylabel("KID × 1000")
        for each in (upper, lower):
            _whole_numbers(each)
            each.set_ylim(bottom=min(0.0, each.get_ylim()[0]))
    axes[-1].set_xlabel("number of attributes moved")
    return figure


def _band(axes: Axes, frame: pandas.DataFrame, label: str, look: dict[str, str]) -> None:
    frame = frame.sort_values("k")
    axes.fill_between(frame["k"], frame["low"], frame["high"], color=look["color"], alpha=0.15, linewidth=0)
    axes.plot(
        frame["k"],
        frame["fraction"],
        label=label,
        color=look["color"],
        linestyle=look["linestyle"],
        marker=look["marker"],
    )


def _whole_numbers(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
