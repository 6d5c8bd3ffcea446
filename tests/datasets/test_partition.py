from pathlib import Path

import numpy
import pytest

from stylex.config.datasets import Shares
from stylex.datasets.layouts.records import ImageRecord
from stylex.datasets.partition import (
    OWN_SHARES,
    assign_identities,
    assign_splits,
    check_splits,
    default_shares,
    split_records,
)
from stylex.errors import DatasetError

IDS = [f"image-{index}" for index in range(3000)]
LABELS = (numpy.arange(3000) % 3).astype(numpy.uint8)
OWNERS = [f"person {index % 700}" for index in range(3000)]  # 4 or 5 images each
ORDER = numpy.random.default_rng(0).permutation(3000)
SHARES = {"train": 0.5, "val": 0.25, "test": 0.25}


def test_shares_hold_within_each_class_in_any_order_of_the_images():
    splits = assign_splits(IDS, LABELS, OWN_SHARES)
    for label in range(3):
        counts = {name: int((splits[label == LABELS] == name).sum()) for name in OWN_SHARES}
        assert counts == {"train": 650, "val": 100, "test": 250}
    shuffled = assign_splits([IDS[index] for index in ORDER], LABELS[ORDER], OWN_SHARES)
    assert numpy.array_equal(shuffled, splits[ORDER])


def test_identities_keep_together_and_the_shares_hold_in_any_order():
    splits = assign_identities(OWNERS, OWN_SHARES)
    assert len(set(zip(OWNERS, splits, strict=True))) == 700
    for name, share in OWN_SHARES.items():
        assert abs(splits.count(name) - share * 3000) <= 5
    assert assign_identities([OWNERS[index] for index in ORDER], OWN_SHARES) == [splits[index] for index in ORDER]


def test_pinned_examples():
    """Splits never change: published numbers depend on them."""
    splits = assign_splits(["a", "b", "c", "d"], numpy.zeros(4, numpy.uint8), SHARES)
    assert splits.tolist() == ["test", "val", "train", "train"]
    assert assign_identities(list("abcdabc"), SHARES) == ["test", "val", "train", "train", "test", "val", "train"]


def records(*rows):
    """Records of (part, identity)."""
    return [ImageRecord(str(number), Path(), str(number), 0, *row) for number, row in enumerate(rows)]


def test_an_official_split_is_kept():
    shares = Shares(official=True, val=0.5)
    assert split_records(records(("test", None), ("val", None), ("train", None)), shares) == ["test", "val", "train"]
    divided = split_records(records(("test", None), *[("train", None)] * 10), shares)
    assert divided[0] == "test" and sorted(divided[1:]) == ["train"] * 5 + ["val"] * 5
    divided = split_records(records(("test", "c"), *[("train", "a"), ("train", "b")] * 5), shares)
    assert len(set(divided[1::2])) == len(set(divided[2::2])) == 1, "the identities a and b"


def test_an_official_split_that_is_none():
    shares = Shares(official=True, val=0.5)
    with pytest.raises(DatasetError, match="1 has no official split"):
        split_records(records(("test", None), (None, None)), shares)
    with pytest.raises(DatasetError, match="'ann' is in train and test of the official split; give the dataset other"):
        split_records(records(("train", "ann"), ("val", "bea"), ("test", "ann")), shares)


def test_the_official_split_is_the_default_where_there_is_one():
    assert default_shares(records(("train", None), ("test", None))).official
    assert not default_shares(records((None, None), (None, "ann"))).official
    with pytest.raises(DatasetError, match="1 of 2 images have no official split, as 1, the others have one"):
        default_shares(records(("train", None), (None, None)))


def test_each_class_is_in_each_split():
    counts = {(split, name): 1 for split in ("train", "val", "test") for name in "ab"}
    check_splits("pets", ["a", "b"], counts)
    with pytest.raises(DatasetError, match="'pets' has no image for test of b: give it more images of that class"):
        check_splits("pets", ["a", "b"], counts | {("test", "b"): 0})
    with pytest.raises(DatasetError, match="'pets' has no image for val: give it more images, or other shares"):
        check_splits("pets", ["a", "b"], counts | {("val", "a"): 0, ("val", "b"): 0})
