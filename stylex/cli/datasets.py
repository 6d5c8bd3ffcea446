"""`stylex datasets`: list the catalog and config/datasets."""

from __future__ import annotations

from pathlib import Path

import typer


def command() -> None:
    """List all datasets with their classes, licences and conditions of access."""
    from stylex.datasets.catalog import dataset_names, dataset_spec

    for name in dataset_names(Path()):
        spec = dataset_spec(Path(), name)
        classes = ", ".join(spec.class_names) if spec.class_names else "classes as found in its files"
        typer.echo(f"{name}: {spec.title}: {classes} ({spec.licence})")
        if spec.access:
            typer.echo(f"  access: {spec.access}")
