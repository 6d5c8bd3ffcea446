"""Commands for what was trained: latents, AttFind, what its attributes do; figures, tables and report of a suite."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylex.cli.options import (
    Device,
    DeviceOption,
    ExperimentArgument,
    ProtocolOption,
    SuiteArgument,
    ThreadsOption,
    select_device,
)
from stylex.errors import ConfigError


def encode(
    experiment: ExperimentArgument,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
    shard: Annotated[
        int | None, typer.Option(min=0, help="Encode only this one of the attfind.encode_shards parts, from 0.")
    ] = None,
    merge: Annotated[bool, typer.Option("--merge", help="Only merge the encoded parts into latents.parquet.")] = False,
) -> None:
    """Encode the analysed images into latents.parquet."""
    from stylex.latents.encode import encode, merge_shards

    if not merge:
        encode(Path(), experiment, select_device(device, threads), shard)
    elif shard is None:
        merge_shards(Path(), experiment)
    else:
        raise ConfigError(f"--shard {shard} with --merge: a merge takes all shards; leave one of them out")


def effects(
    experiment: ExperimentArgument,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
    shard: Annotated[int, typer.Option(min=0, help="Measure this one of the attfind.shards parts, from 0.")] = 0,
    protocol: ProtocolOption = None,
) -> None:
    """Move every style coordinate of every searched image and record the change of the classifier's logits."""
    from stylex.attfind.effects import compute_effects

    compute_effects(Path(), experiment, select_device(device, threads), shard, protocol)


def attributes(experiment: ExperimentArgument, protocol: ProtocolOption = None) -> None:
    """Select the top attributes of each class from the measured effects."""
    from stylex.attfind.selection import select

    select(Path(), experiment, protocol)


def baseline(experiment: ExperimentArgument, protocol: ProtocolOption = None) -> None:
    """Select coordinates by the method of Wu et al., on an experiment without classifier-specific training."""
    from stylex.evaluation.baselines import baseline

    baseline(Path(), experiment, protocol)


def samples(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Count the classifier's decisions on random samples and on the analysed images."""
    from stylex.evaluation.samples import samples

    samples(Path(), experiment, select_device(device, threads))


def sufficiency(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Measure the fraction of images whose decision the top-k attributes, or random moves, flip."""
    from stylex.evaluation.sufficiency import random_flips, sufficiency

    chosen = select_device(device, threads)
    sufficiency(Path(), experiment, chosen)
    random_flips(Path(), experiment, chosen)


def frechet(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Measure the Fréchet distance to the dataset's images with 0..n attributes applied."""
    from stylex.evaluation.frechet import frechet

    frechet(Path(), experiment, select_device(device, threads))


def factors(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Measure how each attribute, and each of some random moves, changes the known factors."""
    from stylex.evaluation.factors import factors

    factors(Path(), experiment, select_device(device, threads))


def ganalyze(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Learn a single direction in W that changes the classifier's output, as in GANalyze."""
    from stylex.evaluation.baselines import ganalyze

    ganalyze(Path(), experiment, select_device(device, threads))


def maps(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Map the mean change of each pixel by each of the top attributes."""
    from stylex.evaluation.maps import maps

    maps(Path(), experiment, select_device(device, threads))


def counterfactuals(
    experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1
) -> None:
    """Measure every method's counterfactuals: an oracle's decision, distances to real images, what was changed."""
    from stylex.evaluation.quality import counterfactuals

    counterfactuals(Path(), experiment, select_device(device, threads))


def figures(
    suite: SuiteArgument,
    experiment: ExperimentArgument,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
) -> None:
    """Draw the experiment's figures into results/<suite>/figures."""
    from stylex.figures.make import experiment_figures

    experiment_figures(Path(), suite, experiment, select_device(device, threads))


def frames(
    suite: SuiteArgument,
    experiment: ExperimentArgument,
    device: DeviceOption = Device.AUTO,
    threads: ThreadsOption = 1,
) -> None:
    """Render and classify what the gallery shows of the experiment, into results/<suite>/gallery."""
    from stylex.gallery.frames import frames

    frames(Path(), suite, experiment, select_device(device, threads))


def gallery(suite: SuiteArgument) -> None:
    """Write results/<suite>/gallery/index.html, the page with sliders; its folder needs no server."""
    from stylex.gallery.page import gallery

    gallery(Path(), suite)


def tables(suite: SuiteArgument) -> None:
    """Write results/<suite>/tables (CSV, Markdown and LaTeX, with published figures beside ours), and metrics."""
    from stylex.report import tables

    tables(Path(), suite)


def names(
    file: Annotated[Path, typer.Argument(help="The JSON file that the gallery exported.", show_default=False)],
) -> None:
    """Keep the names and favourites that people gave to attributes in the gallery; the report then uses them."""
    from stylex.names import import_names

    for experiment, found in import_names(Path(), file).items():
        called = ", ".join(f"{index} '{name.text}'" for index, name in found.items() if name.text)
        stars = ", ".join(str(index) for index, name in found.items() if name.favourite)
        typer.echo(f"{experiment}: names {called or 'none'}; favourites {stars or 'none'}")
    typer.echo("Renew the report: snakemake --cores 2, or of another suite: stylex report SUITE")


def report(
    suite: SuiteArgument,
    self_contained: Annotated[
        bool, typer.Option("--self-contained", help="Write report.html instead, which has its figures embedded.")
    ] = False,
) -> None:
    """Write results/<suite>/index.html, which shows the figures that lie beside it."""
    from stylex.report import render

    render(Path(), suite, self_contained)


def summary(suite: SuiteArgument) -> None:
    """Print the main numbers of each experiment, where the report is, and a next command."""
    from stylex.report.writing import summary

    typer.echo("\n".join(summary(Path(), suite)))
