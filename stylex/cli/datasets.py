"""`stylex datasets`: list the catalog."""

from __future__ import annotations

import typer


def command() -> None:
    """List the datasets of the catalog and their classes."""
    from stylex.datasets.catalog import DATASETS

    for name, spec in sorted(DATASETS.items()):
        typer.echo(f"{name}: {', '.join(spec.class_names)} ({spec.licence})")
