import numpy
import pytest
import torch

from stylex.config import DatasetConfig
from stylex.datasets import analysis_indices, load_all_classes, load_split, prepare
from stylex.datasets.built_in import read_idx
from stylex.errors import ArtifactError


@pytest.fixture
def prepared(garments):
    prepare(garments, "fashion_mnist", 32)
    return garments


def config(**question):
    return DatasetConfig(name="fashion_mnist", resolution=32, **question)


def test_all_classes(prepared):
    split = load_all_classes(prepared, "fashion_mnist", 32, "test")
    raw = read_idx(prepared / "data/raw/fashion_mnist/t10k-images-idx3-ubyte.gz", 3)
    assert (len(split), split.channels, split.resolution) == (20, 1, 32)
    assert split.class_names[9] == "ankle-boot"
    assert split.labels.dtype == torch.int64
    assert split.labels.tolist() == [index % 10 for index in range(20)]
    assert split.ids[3] == "fashion_mnist-test-00003"
    assert split.raw().dtype == torch.uint8
    assert numpy.array_equal(split.raw()[:, 0, 2:30, 2:30].numpy(), raw)
    assert not split.table.flags.owndata and not split.table.flags.writeable, "the images stay on disk"


def test_images_are_in_minus_one_to_one(prepared):
    split = load_all_classes(prepared, "fashion_mnist", 32, "test")
    indices = torch.tensor([5, 1, 5])
    images = split.images(indices)
    assert images.dtype == torch.float32
    assert tuple(images.shape) == (3, 1, 32, 32)
    assert images.min() == -1
    torch.testing.assert_close((images + 1) * 127.5, split.raw(indices).float())
    images.zero_()
    assert split.raw(indices).any(), "what is handed out is a copy"


def test_classes_are_relabelled_in_the_order_asked(prepared):
    everything = load_all_classes(prepared, "fashion_mnist", 32, "test")
    split = load_split(prepared, config(classes=["sneaker", "sandal"]), "test")
    assert split.class_names == ("sneaker", "sandal")
    assert split.labels.tolist() == [1, 0, 1, 0]
    assert split.ids == [everything.ids[index] for index in (5, 7, 15, 17)]
    assert torch.equal(split.raw(), everything.raw(torch.tensor([5, 7, 15, 17])))
    indices = torch.tensor([3, 0])
    part = split.part(indices)
    assert torch.equal(part.images(), split.images(indices)) and torch.equal(part.labels, split.labels[indices])
    assert part.ids == [split.ids[3], split.ids[0]] and part.class_names == split.class_names


def test_one_against_rest(prepared):
    split = load_split(prepared, config(one_vs_rest="bag"), "test")
    assert split.class_names == ("rest", "bag")
    assert len(split) == 20
    assert split.labels.nonzero().flatten().tolist() == [8, 18]


def test_errors(prepared):
    with pytest.raises(ArtifactError, match=r"manifest\.json does not exist; run `stylex prepare mnist --resolution"):
        load_all_classes(prepared, "mnist", 32, "train")
    shard = prepared / "data/processed/fashion_mnist/32/test-00000.arrow"
    good = shard.read_bytes()
    shard.write_bytes(good[:-100])
    with pytest.raises(ArtifactError, match="is missing or not of .* bytes as its manifest says; run `stylex prepare"):
        load_all_classes(prepared, "fashion_mnist", 32, "test")
    shard.write_bytes(bytes(len(good)))
    with pytest.raises(ArtifactError, match=r"test-00000\.arrow is damaged"):
        load_all_classes(prepared, "fashion_mnist", 32, "test")


def test_choice_is_even_over_classes_and_deterministic():
    labels = torch.tensor([0] * 100 + [1] * 50 + [2] * 30)
    chosen = analysis_indices(labels, 60)
    assert torch.equal(chosen, analysis_indices(labels, 60))
    assert labels[chosen].bincount().tolist() == [20, 20, 20]
    assert chosen.tolist() == sorted(set(chosen.tolist()))
    assert chosen[:20].tolist() == list(range(0, 100, 5)), "spread over the class, not its first images"


def test_large_classes_fill_what_small_ones_leave():
    labels = torch.tensor([1] * 5 + [0] * 100)
    assert labels[analysis_indices(labels, 50)].bincount().tolist() == [45, 5]


@pytest.mark.parametrize(("count", "expected"), [(7, 7), (10, 10), (1000, 10)])
def test_never_more_images_than_asked_for_or_there(count, expected):
    assert len(analysis_indices(torch.tensor([0, 1] * 5), count)) == expected
