"""What preparation writes: the rows of a dataset, and what comes to light while they are made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from stylex.datasets.factors import Factors
from stylex.datasets.images import Bytes
from stylex.datasets.rendering import Sightings

SPLITS = ("train", "val", "test")


class Row(NamedTuple):
    """One prepared image."""

    split: str
    pixels: Bytes  # [C, H, W]; may be overwritten when the next row is asked for
    label: int  # position in the dataset's class names
    id: str
    source: str  # the file that it comes from


@dataclass
class Findings:
    """What was left out and what was seen of the rest, complete when all rows were asked for."""

    sightings: Sightings
    unreadable: list[dict[str, str]] = field(default_factory=list)  # file, reason
    duplicates: Counter[str] = field(default_factory=Counter)  # "dropped", and how many of them …
    conflicts: list[str] = field(default_factory=list)  # pairs with the same pixels and different labels

    def duplicate(self, other_label: bool, other_split: bool) -> None:
        """Count an image that has the pixels of an earlier one."""
        self.duplicates["dropped"] += 1
        self.duplicates["with_another_label"] += other_label
        self.duplicates["in_another_split"] += other_split

    def record(self) -> dict[str, Any]:
        """Return the part of the manifest."""
        keys = ("dropped", "with_another_label", "in_another_split")
        duplicates = {key: self.duplicates[key] for key in keys}
        return {"unreadable": self.unreadable, "duplicates": duplicates} | self.sightings.record()


class Content(NamedTuple):
    """The images of a dataset, before they are written."""

    planned: Mapping[str, int]  # images by split, at the most
    rows: Iterator[Row]
    findings: Findings | None = None  # None: nothing is ever left out
    factors: Factors | None = None  # of the same images, where they are known
