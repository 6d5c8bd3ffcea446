"""Deterministic splits: images are ranked by a hash of their stable id and cut at fixed shares.

Where images have identities, these are ranked, and each goes to one split with all its images; elsewhere the shares are
kept within each class. A split depends neither on the order of the images nor on a library's version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy
import numpy.typing

from stylex.config.datasets import OFFICIAL, OWN, Shares
from stylex.datasets.layouts.records import ImageRecord, listed
from stylex.errors import DatasetError

SPLITS = ("train", "val", "test")
OWN_SHARES = {"train": 0.65, "val": 0.10, "test": 0.25}  # of a built-in dataset without an official test split
OFFICIAL_SHARES = {"train": 0.90, "val": 0.10}  # of the official training split; the official test split stays


def assign_splits(
    ids: Sequence[str], labels: numpy.typing.NDArray[numpy.integer], shares: Mapping[str, float]
) -> numpy.typing.NDArray[numpy.str_]:
    """Return the name of the split of each image; the shares are kept within each class, up to rounding."""
    ranks = _ranks(ids)
    splits = numpy.empty(len(ids), dtype=f"<U{max(map(len, shares))}")
    for label in numpy.unique(labels):
        members = numpy.flatnonzero(labels == label)
        members = members[numpy.argsort(ranks[members])]
        bounds = numpy.rint(numpy.cumsum(list(shares.values())) * len(members)).astype(int)
        for name, chosen in zip(shares, numpy.split(members, bounds[:-1]), strict=True):
            splits[chosen] = name
    return splits


def assign_identities(identities: Sequence[str], shares: Mapping[str, float]) -> list[str]:
    """Return the name of the split of each image; `identities` [N]: whose image it is.

    Identities are laid one after the other in the order of their hashes, and the one that lies across a bound goes to
    the split in which its middle lies.
    """
    names, positions, sizes = numpy.unique(numpy.array(identities), return_inverse=True, return_counts=True)
    order = numpy.argsort(_ranks(names.tolist()))
    middles = numpy.empty(len(names))
    middles[order] = numpy.cumsum(sizes[order]) - sizes[order] / 2
    bounds = numpy.cumsum(list(shares.values())) * len(identities)
    chosen = numpy.minimum(numpy.searchsorted(bounds, middles), len(bounds) - 1)
    return [list(shares)[split] for split in chosen[positions]]


def default_shares(records: Sequence[ImageRecord]) -> Shares:
    """Return how images are divided by default; raise `DatasetError` when only some have an official split."""
    without = [record for record in records if record.part is None]
    if without and len(without) < len(records):
        raise DatasetError(
            f"{len(without)} of {len(records)} images have no official split, as {without[0].source}, the others have"
            " one; say train, val or test of each, or give the dataset shares of its own"
        )
    return OWN if without else OFFICIAL


def split_records(records: Sequence[ImageRecord], shares: Shares) -> list[str]:
    """Return the split of each record; raise `DatasetError` when an official one lacks images or splits identities."""
    if not shares.official:
        return _divide(records, {"train": shares.train or 0, "val": shares.val, "test": shares.test or 0})
    for record in records:
        if record.part is None:
            raise DatasetError(f"{record.source} has no official split; give the dataset shares of its own")
    parts = [record.part or "" for record in records]
    if "val" not in parts:
        training = [row for row, part in enumerate(parts) if part == "train"]
        divided = _divide([records[row] for row in training], {"train": 1 - shares.val, "val": shares.val})
        for row, part in zip(training, divided, strict=True):
            parts[row] = part
    parts_of: dict[str, str] = {}
    for record, part in zip(records, parts, strict=True):
        if record.identity is not None and parts_of.setdefault(record.identity, part) != part:
            both = f"{parts_of[record.identity]} and {part}"
            raise DatasetError(f"'{record.identity}' is in {both} of the official split; give the dataset other shares")
    return parts


def _divide(records: Sequence[ImageRecord], shares: Mapping[str, float]) -> list[str]:
    if any(record.identity is not None for record in records):
        # An image without an identity is one of its own.
        owners = [f"identity {each.identity}" if each.identity is not None else f"image {each.id}" for each in records]
        return assign_identities(owners, shares)
    labels = numpy.array([record.label for record in records], numpy.int64)
    return assign_splits([record.id for record in records], labels, shares).tolist()


def _ranks(names: Sequence[str]) -> numpy.typing.NDArray[numpy.bytes_]:
    return numpy.array([hashlib.sha256(name.encode()).hexdigest().encode() for name in names])


def check_splits(name: str, class_names: Sequence[str], counts: Mapping[tuple[str, str], int]) -> None:
    """Raise `DatasetError` when a class has no image in a split; counts: images by split and class."""
    for split in SPLITS:
        missing = [each for each in class_names if not counts.get((split, each))]
        if len(missing) == len(class_names):
            raise DatasetError(f"dataset '{name}' has no image for {split}: give it more images, or other shares")
        if missing:
            raise DatasetError(
                f"dataset '{name}' has no image for {split} of {listed(missing)}: give it more images of that class, or"
                " other shares, or leave the class out by naming the others in `classes`"
            )
