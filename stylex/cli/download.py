"""`stylex download`: fetch a dataset's files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylex.cli.options import DatasetArgument


def command(
    dataset: DatasetArgument,
    offline: Annotated[bool, typer.Option("--offline", help="Use data/raw and STYLEX_DATA_CACHE only.")] = False,
) -> None:
    """Download a dataset into data/raw/<dataset>, resuming and verifying."""
    from stylex.datasets import download

    download(Path(), dataset, offline)
