"""`stylex study`: questions for people, their answers, a machine observer, and the published answers ([L] 4.2.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylex.cli.options import Device, DeviceOption, ExperimentArgument, ThreadsOption, select_device

app = typer.Typer(help="The user study of Lang et al. 2021, section 4.2.2.", no_args_is_help=True)


@app.command()
def build(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Write the questionnaire, study/index.html, and its answer key, study/key.csv."""
    from stylex.study.questionnaire import build

    build(Path(), experiment, select_device(device, threads))


@app.command()
def observe(experiment: ExperimentArgument, device: DeviceOption = Device.AUTO, threads: ThreadsOption = 1) -> None:
    """Let the machine observer answer the questions of part 1, into observer.csv."""
    from stylex.study.observer import observe

    observe(Path(), experiment, select_device(device, threads))


@app.command()
def analyse(
    answers: Annotated[list[Path], typer.Argument(metavar="ANSWERS...", help="The participants' CSV files.")],
    key: Annotated[Path, typer.Option(help="key.csv of the questionnaire.")],
) -> None:
    """Analyse answers: write people.csv and words.csv beside the key, and print a summary."""
    from stylex.study.answers import analyse, describe_people, describe_words

    people, words = analyse(key, answers)
    typer.echo("\n".join([*describe_people(people), *describe_words(words)]))


@app.command()
def published() -> None:
    """Recompute the replications' published tables from their raw answers, and report cells that do not follow."""
    from stylex.config import recomputed_user_study
    from stylex.study.answers import describe_published
    from stylex.study.published import recompute

    typer.echo("\n".join([*describe_published(recompute(Path())), f"written to {recomputed_user_study(Path())}"]))
