"""`stylex study analyse`: what people answered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    answers: Annotated[list[Path], typer.Argument(metavar="ANSWERS...", help="The participants' CSV files.")],
    key: Annotated[Path, typer.Option(help="key.csv of the questionnaire.")],
) -> None:
    """Analyse answers: people.csv and words.csv beside the key, and a summary on the screen."""
    from stylex.study.answers import analyse, describe_people, describe_words

    people, words = analyse(key, answers)
    typer.echo("\n".join([*describe_people(people), *describe_words(words)]))
