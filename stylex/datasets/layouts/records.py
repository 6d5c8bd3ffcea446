"""What is known of each image of a dataset before it is decoded: what a layout finds in the downloaded files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

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
