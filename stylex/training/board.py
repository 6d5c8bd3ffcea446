"""The history as TensorBoard shows it while a training runs: optional, and beside history.csv, not instead of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stylex.errors import ConfigError


class Board:
    """Writes TensorBoard's event files; without a folder it writes nothing."""

    def __init__(self, folder: Path | None = None) -> None:
        """Raise `ConfigError` when a folder is given and the package is not installed."""
        self._writer = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigError("--tensorboard needs a package that is missing: pip install tensorboard") from None
        self._writer = SummaryWriter(str(folder))

    def add(self, row: Mapping[str, float]) -> None:
        """Add a row of the history; its `images` is the step of every curve."""
        if self._writer is None:
            return
        for name, value in row.items():
            if name != "images":
                self._writer.add_scalar(name, value, int(row["images"]))
        self._writer.flush()  # each row is complete in the file: a killed run has them all
