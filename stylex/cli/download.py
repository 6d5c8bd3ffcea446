"""`stylex download`: fetch a dataset's files."""

from __future__ import annotations

from pathlib import Path

from stylex.cli.options import DatasetArgument


def command(dataset: DatasetArgument) -> None:
    """Download a dataset into data/raw/<dataset>, resuming and verifying."""
    from stylex.datasets import download

    download(Path(), dataset)
