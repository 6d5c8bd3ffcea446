import numpy

from stylex.datasets.splits import OWN_SHARES, assign_splits

IDS = [f"image-{index}" for index in range(3000)]
LABELS = (numpy.arange(3000) % 3).astype(numpy.uint8)


def test_shares_hold_within_each_class():
    splits = assign_splits(IDS, LABELS, OWN_SHARES)
    for label in range(3):
        counts = {name: int((splits[label == LABELS] == name).sum()) for name in OWN_SHARES}
        assert counts == {"train": 650, "val": 100, "test": 250}


def test_a_split_belongs_to_the_id_and_not_to_the_order():
    order = numpy.random.default_rng(0).permutation(3000)
    shuffled = assign_splits([IDS[index] for index in order], LABELS[order], OWN_SHARES)
    assert numpy.array_equal(shuffled, assign_splits(IDS, LABELS, OWN_SHARES)[order])


def test_pinned_example():
    """Splits never change: published numbers depend on them."""
    splits = assign_splits(["a", "b", "c", "d"], numpy.zeros(4, numpy.uint8), {"train": 0.5, "val": 0.25, "test": 0.25})
    assert splits.tolist() == ["test", "val", "train", "train"]
