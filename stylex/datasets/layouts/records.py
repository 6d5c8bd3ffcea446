"""What is known of each image of a dataset before it is decoded: what a layout finds in the downloaded files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from stylex.errors import DatasetError

Part: TypeAlias = Literal["train", "val", "test"]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image file and what its dataset says of it."""

    id: str  # stable and unique in the dataset
    path: Path  # of the file
    source: str  # the same, relative to the raw folder, with slashes
    label: int  # position in the listing's class_names
    part: Part | None = None  # of an official split; None: split by the dataset's shares
    identity: str | None = None  # images of one identity (a person, an animal, an eye's patient) share a split
    box: tuple[float, float, float, float] | None = None  # left, upper, right, lower in pixels; None: central square


class Listing(NamedTuple):
    """All images of a dataset, sorted by id."""

    class_names: tuple[str, ...]
    records: list[ImageRecord]
    notes: tuple[str, ...] = ()  # what a layout of a user's own images has found and left out, a line each


def check_names(paths: Iterable[Path]) -> None:
    """Raise `DatasetError` for a name that is no text, which neither a manifest nor a table can hold."""
    for path in paths:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            raise DatasetError(
                f"{shown(path)}: the bytes of this name are no UTF-8; rename the file or folder, or all of them with"
                " `convmv -r -f latin1 -t utf8 --notest FOLDER`"
            ) from None


def shown(path: Path | str) -> str:
    """Return a path as it can be printed: bytes that are no UTF-8 as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def listed(names: Iterable[str], most: int = 10) -> str:
    """Return names for a line: the first ones, and how many more there are."""
    every = list(names)
    return ", ".join(every[:most]) + (f" and {len(every) - most} more" if len(every) > most else "")
