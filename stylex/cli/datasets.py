"""`stylex datasets`: list the catalog and config/datasets."""

from __future__ import annotations

from pathlib import Path

import typer

SHOWN = 12  # classes of a dataset


def command() -> None:
    """List all datasets with their classes, licences and conditions of access."""
    from stylex.datasets.catalog import dataset_names, dataset_spec

    for name in dataset_names(Path()):
        spec = dataset_spec(Path(), name)
        names = spec.class_names or ("classes as its files have them",)
        classes = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        typer.echo(f"{name}: {spec.title}: {classes} ({spec.licence})")
        if spec.access:
            typer.echo(f"  access: {spec.access}")
