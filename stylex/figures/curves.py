"""Curves: sufficiency ([L] 4.2.3) and distance ([V] figure 3) by the number of attributes, and how training went."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogFormatter, MaxNLocator, NullLocator, PercentFormatter

from stylex.artifacts import read_table
from stylex.config import ExperimentConfig, experiment_paths, load_experiment, load_suite
from stylex.config.base import INCEPTION, POOLED
from stylex.figures.experiment import AnalysedExperiment
from stylex.figures.style import COLOURS, INK, panels, series_style, styled

METHODS = {"stylex": "StylEx", "without_cst": "StylEx without CST", "wu_2021": "Wu et al."}
TICKS = (1, 2, 3, 5, 10, 20, 40, 80)
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


def sufficiency_figure(experiment: AnalysedExperiment) -> Figure:
    """Return the curve of the experiment's own method, without the baseline's."""
    own = _of_main_protocol(experiment.paths.sufficiency, experiment.config)
    return draw_sufficiency(own.loc[own["method"] == experiment.config.method])


def methods_figure(experiment: AnalysedExperiment) -> Figure:
    """Return the curves of all methods of the suite that explain the same classifier."""
    return draw_methods(methods_of_classifier(experiment.paths.root, experiment.suite, experiment.paths.name))


def frechet_figure(experiment: AnalysedExperiment) -> Figure:
    """Return the distances of the main protocol."""
    return draw_frechet(_of_main_protocol(experiment.paths.frechet, experiment.config))


def history_figure(experiment: AnalysedExperiment) -> Figure:
    """Return how the training went."""
    return draw_history(read_history(experiment.paths.stylex_history))


def methods_of_classifier(root: Path, suite: str, name: str) -> pandas.DataFrame:
    """Return the rows of sufficiency.csv of all of the suite that explain the same classifier on the same images."""
    explained, dataset = experiment_paths(root, name).classifier, load_experiment(root, name).dataset
    parts = []
    for each in dict.fromkeys([*load_suite(root, suite).runs, name]):
        config, paths = load_experiment(root, each), experiment_paths(root, each)
        if config.dataset == dataset and paths.classifier == explained:
            parts.append(_of_main_protocol(paths.sufficiency, config))
    return pandas.concat(parts, ignore_index=True)


def _of_main_protocol(path: Path, config: ExperimentConfig) -> pandas.DataFrame:
    """Return the rows of a table that are of the experiment's main protocol."""
    frame = read_table(path, text=("method", "protocol", "target_class"))
    return frame.loc[frame["protocol"] == config.attfind.protocol]


def draw_sufficiency(frame: pandas.DataFrame) -> Figure:
    """Draw the fraction of flipped decisions against k, for each target class and pooled, with its Wilson interval.

    `frame` has the columns target_class (text), k, fraction, low, high in [0, 1].
    """
    parts = {str(name): part for name, part in frame.groupby("target_class", sort=False)}
    pooled = parts.pop(POOLED, None)
    curves = [(f"to {name}", part, series_style(index)) for index, (name, part) in enumerate(parts.items())]
    if pooled is not None:
        curves.append(("all directions pooled", pooled, {"color": INK, "linestyle": "-", "marker": "o"}))
    return _draw_flips(curves, columns=3)


def draw_methods(frame: pandas.DataFrame) -> Figure:
    """Draw the fraction of flipped decisions against k, of all directions pooled, for each method with its interval.

    `frame` has the columns experiment, method, target_class (text), k, fraction, low, high in [0, 1], n.
    """
    pooled = frame.loc[frame["target_class"] == POOLED]
    methods = [method for method in METHODS if method in set(pooled["method"])]
    parts = [part for method in methods for _, part in pooled.loc[pooled["method"] == method].groupby("experiment")]
    curves = []
    for index, part in enumerate(parts):
        first = part.iloc[0]
        label = METHODS[first["method"]] + (f", {first['experiment']}" if len(parts) > len(methods) else "")
        curves.append((f"{label} (n = {first['n']})", part, series_style(index)))
    return _draw_flips(curves, columns=2)


@styled()
def _draw_flips(curves: Sequence[tuple[str, pandas.DataFrame, dict[str, Any]]], columns: int) -> Figure:
    """Draw (label, table, look) of each curve, with its band; k has a logarithmic scale where it goes far."""
    figure, (axes,) = panels(1, height=2.4)
    for label, part, look in curves:
        part = part.sort_values("k")
        axes.fill_between(part["k"], part["low"], part["high"], color=look["color"], alpha=0.15, linewidth=0)
        axes.plot(part["k"], part["fraction"], label=label, **look)
    axes.set(xlabel="number of attributes k", ylabel="decisions flipped", ylim=(-0.02, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    most = max(max(part["k"]) for _, part, _ in curves)
    if most <= 20:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        ticks = [k for k in TICKS if k <= most]
        axes.set_xscale("log")
        axes.set_xticks(ticks, [str(k) for k in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
    figure.legend(loc="outside lower center", ncols=columns)
    return figure


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
            each.xaxis.set_major_locator(MaxNLocator(integer=True))
            each.set_ylim(bottom=min(0.0, each.get_ylim()[0]))
    axes[-1].set_xlabel("number of attributes moved")
    return figure


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
    """Return {panel title: {column: legend}} of the numeric columns with values."""
    numeric = frame.select_dtypes("number").dropna(axis="columns", how="all").columns
    drawn = [str(name) for name in numeric if name not in NOT_DRAWN]
    known = {name for names in GROUPS.values() for name in names}
    groups = {title: {name: text for name, text in names.items() if name in drawn} for title, names in GROUPS.items()}
    groups[OTHERS] |= {name: name.replace("_", " ") for name in drawn if name not in known}
    return {title: names for title, names in groups.items() if names}


def _panel(axes: Axes, frame: pandas.DataFrame, title: str, names: dict[str, str]) -> None:
    for index, (name, text) in enumerate(names.items()):
        series = frame[[AXIS, name]].dropna()
        look = series_style(index)
        if len(series) > 15:
            look["marker"] = ""
        axes.plot(series[AXIS], series[name], label=text, **look)
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
