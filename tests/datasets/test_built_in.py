import gzip

import numpy
import pytest
from PIL import Image

from stylex.datasets import dataset_spec
from stylex.datasets.built_in import decode, prepared, read_csv, read_idx
from stylex.errors import DatasetError, ImageError

IMAGES = numpy.arange(2 * 28 * 28, dtype=numpy.uint8).reshape(2, 28, 28)


def test_the_margin_of_zeros_is_resized_with_the_image():
    images = numpy.random.default_rng(0).integers(0, 256, (3, 28, 28), numpy.uint8)
    padded = prepared(images, 32)
    assert padded.shape == (3, 1, 32, 32) and numpy.array_equal(padded[:, 0, 2:30, 2:30], images)
    assert padded.sum() == images.sum()
    for side in (8, 64):
        expected = [Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS) for image in padded[:, 0]]
        assert numpy.array_equal(prepared(images, side)[:, 0], [numpy.asarray(image) for image in expected])


def test_idx_round_trip(tmp_path, idx):
    path = tmp_path / "images.gz"
    path.write_bytes(idx(IMAGES))
    assert numpy.array_equal(read_idx(path, 3), IMAGES)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda good: good[:-20], "end-of-stream|ended before"),
        (lambda good: good[:100] + b"\0\0\0\0" + good[104:], "decompressing|CRC|Error"),
        (lambda good: b"not gzip at all", "gzip"),
        (lambda good: gzip.compress(gzip.decompress(good)[:-1]), "header says 1568 bytes, it has 1567"),
        (lambda good: gzip.compress(b"\0\0\x0d\x03" + gzip.decompress(good)[4:]), "not an IDX file of unsigned bytes"),
        (lambda good: gzip.compress(b"\0\0"), "not an IDX file"),
    ],
)
def test_damaged_idx_names_the_file(tmp_path, idx, damage, reason):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(idx(IMAGES)))
    with pytest.raises(ImageError, match=f"train-images-idx3-ubyte.gz cannot be read: .*({reason}).*delete it and run"):
        read_idx(path, 3)


def test_missing_file(tmp_path):
    with pytest.raises(DatasetError, match=r"a\.gz does not exist; .*stylex download"):
        read_idx(tmp_path / "a.gz", 3)


@pytest.mark.parametrize("row", ["1,2,3", ",".join(["1"] * 784 + ["x"]), ",".join(["256"] * 785), "1,2\n1"])
def test_damaged_csv_names_the_file(tmp_path, row):
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(gzip.compress(row.encode()))
    with pytest.raises(ImageError, match=r"digits\.csv\.gz cannot be read: "):
        read_csv(path)


def test_labels_that_do_not_fit(garments, idx):
    folder = garments / "data" / "raw" / "fashion_mnist"
    spec = dataset_spec(garments, "fashion_mnist")
    labels = folder / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(idx(numpy.zeros(39, numpy.uint8)))
    with pytest.raises(DatasetError, match="39 labels for 100 images"):
        list(decode(spec, folder))
    labels.write_bytes(idx(numpy.full(100, 10, numpy.uint8)))
    with pytest.raises(DatasetError, match="not one of the 10 classes"):
        list(decode(spec, folder))
