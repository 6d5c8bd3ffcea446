"""`stylex weights`: fetch weights that others have published, for the FID and for LPIPS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(name: Annotated[str, typer.Argument(help="inception: of the FID; alexnet, vgg16: of LPIPS.")]) -> None:
    """Download published weights into data/weights, resuming and verifying."""
    from stylex.pretrained import download_weights

    typer.echo(download_weights(Path(), name))
