"""`stylex prepare`: raw files to memory-mapped image tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylex.cli.options import DatasetArgument


def command(
    dataset: DatasetArgument,
    resolution: Annotated[int, typer.Option(help="Side of the square images in pixels, a power of two.")],
    processes: Annotated[
        int | None, typer.Option(min=1, help="Processes that decode image files; default: one a core.")
    ] = None,
) -> None:
    """Prepare a downloaded dataset at one resolution into data/processed/<dataset>/<resolution>."""
    from stylex.datasets import prepare

    prepare(Path(), dataset, resolution, processes)
