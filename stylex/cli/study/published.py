"""`stylex study published`: what the replications' participants answered."""

from __future__ import annotations

from pathlib import Path

import typer


def command() -> None:
    """Recompute the replications' published tables from their raw answers, and say where a cell does not follow."""
    from stylex.config import recomputed_user_study
    from stylex.study.answers import describe_published
    from stylex.study.published import recompute

    typer.echo("\n".join([*describe_published(recompute(Path())), f"written to {recomputed_user_study(Path())}"]))
