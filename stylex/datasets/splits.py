"""Deterministic splits: within each class, images are ranked by a hash of their stable id and cut at fixed shares.

No random generator is involved, so a split depends neither on the order of the images nor on a library's version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy
import numpy.typing

OWN_SHARES = {"train": 0.65, "val": 0.10, "test": 0.25}  # of a dataset without an official test split
OFFICIAL_SHARES = {"train": 0.90, "val": 0.10}  # of the official training split; the official test split stays


def assign_splits(
    ids: Sequence[str], labels: numpy.typing.NDArray[numpy.uint8], shares: Mapping[str, float]
) -> numpy.typing.NDArray[numpy.str_]:
    """Return the name of the split of each image; the shares are kept within each class, up to rounding."""
    ranks = numpy.array([hashlib.sha256(name.encode()).hexdigest() for name in ids])
    splits = numpy.empty(len(ids), dtype=f"<U{max(map(len, shares))}")
    for label in numpy.unique(labels):
        members = numpy.flatnonzero(labels == label)
        members = members[numpy.argsort(ranks[members])]
        bounds = numpy.rint(numpy.cumsum(list(shares.values())) * len(members)).astype(int)
        for name, chosen in zip(shares, numpy.split(members, bounds[:-1]), strict=True):
            splits[chosen] = name
    return splits
