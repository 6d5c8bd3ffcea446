"""`stylex schemas`: write the JSON schemas of the configuration files."""

from __future__ import annotations

from pathlib import Path

import typer


def command() -> None:
    """Write workflow/schemas/*.schema.json, generated from the configuration models."""
    from stylex.artifacts import write_text
    from stylex.config.schema import schema_texts

    for path, text in schema_texts(Path()).items():
        write_text(path, text)
        typer.echo(path)
