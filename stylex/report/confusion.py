"""What a classifier takes for what, and its classes, in a form that a page can hold whether they are two or 200."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MATRIX = 20  # classes up to which the whole matrix is shown
MISTAKES = 20  # rows shown of a larger one
NAMED = 10  # classes up to which all are named


@dataclass(frozen=True)
class Confusion:
    """Counts of test images by true class (row) and predicted class (column)."""

    class_names: list[str]
    counts: list[list[int]]

    @property
    def shown(self) -> bool:
        """Whether the matrix is small enough to be read."""
        return len(self.class_names) <= MATRIX

    def share(self, row: int, column: int) -> float:
        """Return the fraction of a true class, in [0, 1], that is predicted as `column`."""
        return self.counts[row][column] / max(sum(self.counts[row]), 1)

    def mistakes(self) -> list[tuple[str, str, int, float]]:
        """Return the most frequent mistakes: true class, predicted class, images, their share of the true class."""
        pairs = [
            (count, row, column)
            for row, counts in enumerate(self.counts)
            for column, count in enumerate(counts)
            if count and row != column
        ]
        worst = sorted(pairs, key=lambda pair: (-pair[0], *pair[1:]))[:MISTAKES]
        names = self.class_names
        return [(names[row], names[column], count, self.share(row, column)) for count, row, column in worst]


def class_list(names: Sequence[str]) -> str:
    """Name all classes, or of many the first and the last, and how many there are."""
    if len(names) <= NAMED:
        return " / ".join(names)
    return f"{names[0]} / … / {names[-1]} ({len(names)} classes)"
