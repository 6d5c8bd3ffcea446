"""A file of a dataset, given to `stylex explain`, is read as the very bytes of the prepared split."""

import os
import shutil
from pathlib import Path

import numpy
import pytest
import torch
import yaml
from PIL import Image

from stylex.config import DatasetConfig, DatasetPaths
from stylex.datasets import dataset_spec, download, leaves, load_all_classes, prepare, read_files
from stylex.datasets.built_in import decode

COUNT = 40  # images of a class
SIDE = 32


def asked(name, resolution=SIDE):
    return DatasetConfig(name=name, resolution=resolution, classes=None, one_vs_rest=None)


def prepared_images(root, name, resolution=SIDE):
    """Every prepared image by id, uint8 [C, H, W]."""
    splits = [load_all_classes(root, name, resolution, split) for split in ("train", "val", "test")]
    return {identity: image for split in splits for identity, image in zip(split.ids, split.raw(), strict=True)}


def saved_downloads(root, name, folder):
    """Write each downloaded image of a built-in dataset as PNG, and return the files by id."""
    files = {}
    for raw in decode(dataset_spec(root, name), DatasetPaths(root, name).raw):
        for index, image in enumerate(raw.images):
            identity = f"{name}-{raw.part}-{index:05d}"
            files[identity] = folder / f"{identity}.png"
            Image.fromarray(image).save(files[identity])
    return files


def assert_read_as_prepared(root, name, files, resolution=SIDE):
    """files: of the dataset, by id."""
    prepared = prepared_images(root, name, resolution)
    assert files and files.keys() <= prepared.keys()
    read = read_files(root, asked(name, resolution), list(files.values()))
    assert read.dtype == torch.uint8
    for identity, image in zip(files, read, strict=True):
        assert torch.equal(image, prepared[identity]), identity


def test_every_digit_as_downloaded_and_as_prepared(mnist_root, tmp_path):
    files = saved_downloads(mnist_root, "mnist", tmp_path)
    assert len(files) == 5000
    assert_read_as_prepared(mnist_root, "mnist", files)
    stored = {}
    for identity, image in list(prepared_images(mnist_root, "mnist").items())[:20]:
        stored[identity] = tmp_path / f"stored-{identity}.png"
        Image.fromarray(image[0].numpy()).save(stored[identity])
    assert_read_as_prepared(mnist_root, "mnist", stored)


@pytest.mark.parametrize("resolution", [32, 64])
def test_garments_get_their_margin_before_they_are_resized(garments, tmp_path, resolution):
    prepare(garments, "fashion_mnist", resolution)
    files = saved_downloads(garments, "fashion_mnist", tmp_path)
    assert_read_as_prepared(garments, "fashion_mnist", files, resolution)


def test_a_drawn_leaf(root, tmp_path):
    for side in (28, 32):  # of 28x28, too: a leaf has no margin
        (drawn,) = leaves.draw_leaves(leaves.sample_factors(1, 0), side)
        Image.fromarray(drawn.transpose(1, 2, 0)).save(tmp_path / "leaf.png")
        (read,) = read_files(root, asked("leaves", 32), [tmp_path / "leaf.png"])
        smaller = Image.fromarray(drawn.transpose(1, 2, 0)).resize((32, 32), Image.Resampling.LANCZOS)
        assert numpy.array_equal(read.permute(1, 2, 0), numpy.asarray(smaller))


# Ending, orientation by EXIF, shape, type, channels.
KINDS = {
    "28x28 without a margin": (".png", 1, (28, 28, 3), numpy.uint8, 3),
    "grey 28x28 without a margin": (".png", 1, (28, 28), numpy.uint8, 1),
    "colour as grey": (".png", 1, (28, 28, 3), numpy.uint8, 1),
    "turned by EXIF": (".jpg", 6, (50, 70, 3), numpy.uint8, 3),
    "16 bits": (".png", 1, (45, 40), numpy.uint16, 1),
    "with transparency": (".png", 1, (33, 64, 4), numpy.uint8, 3),
    "with transparency, transposed by EXIF": (".png", 5, (33, 64, 4), numpy.uint8, 1),
    "16 bits, transposed by EXIF": (".png", 5, (28, 28), numpy.uint16, 3),
}


def describe(root, name, **content):
    (root / f"config/datasets/{name}.yaml").write_text(yaml.safe_dump({"title": name, "licence": "own"} | content))
    download(root, name)


@pytest.mark.parametrize("kind", KINDS)
def test_images_of_ones_own(root, kind):
    ending, orientation, shape, depth, channels = KINDS[kind]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for seed in range(2 * COUNT):
        path = root / "photos" / ("cat" if seed % 2 else "dog") / f"{seed:02d}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        values = numpy.random.default_rng(seed).integers(0, numpy.iinfo(depth).max, shape, depth)
        Image.fromarray(values).save(path, exif=exif, quality=90)
    describe(root, "pets", layout="folders", folder="photos", channels=channels)
    prepare(root, "pets", SIDE)
    files = {path.relative_to(root / "photos").as_posix(): path for path in (root / "photos").rglob("*.*")}
    assert len(files) == 2 * COUNT
    assert_read_as_prepared(root, "pets", files)


@pytest.fixture
def birds(root):
    """A project with 24 birds in the layout of CUB-200-2011, each with a box away from the middle."""
    folder, numbers = root / "birds/CUB_200_2011/CUB_200_2011", range(1, 25)
    names = {number: f"00{1 + number % 2}.Bird_{number % 2}/bird_{number:02d}.jpg" for number in numbers}
    for number, name in names.items():
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        values = numpy.random.default_rng(number).integers(0, 256, (60, 90, 3), numpy.uint8)
        Image.fromarray(values).save(path, quality=95)
    tables = {
        "classes": ["1 001.Bird_0", "2 002.Bird_1"],
        "images": [f"{number} {name}" for number, name in names.items()],
        "image_class_labels": [f"{number} {1 + number % 2}" for number in numbers],
        "train_test_split": [f"{number} {int(number > 8)}" for number in numbers],
        "bounding_boxes": [f"{number} {number}.0 3.0 21.0 30.0" for number in numbers],
    }
    for name, lines in tables.items():
        (folder / f"{name}.txt").write_text("\n".join(lines))
    describe(root, "birds", layout="cub", folder="birds", shares={"official": True, "val": 0.25})
    prepare(root, "birds", SIDE)
    return folder / "images"


def test_the_box_of_a_bird_holds_for_its_own_file_by_whatever_path(birds, root, monkeypatch):
    files = {path.relative_to(birds).as_posix(): path for path in sorted(birds.rglob("*.jpg"))}
    assert_read_as_prepared(root, "birds", files)
    monkeypatch.chdir(root / "config")
    assert_read_as_prepared(root, "birds", {name: Path(os.path.relpath(path)) for name, path in files.items()})
    (root / "link").symlink_to(birds)
    assert_read_as_prepared(root, "birds", {name: root / "link" / name for name in files})


def test_of_a_bird_from_elsewhere_the_central_square_is_taken(birds, root):
    path = next(birds.rglob("*.jpg"))
    shutil.copy(path, root / "copy.jpg")
    copied, own = read_files(root, asked("birds"), [root / "copy.jpg", path])
    with Image.open(path) as image:
        centre = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS, (15, 0, 75, 60))
    assert numpy.array_equal(copied.permute(1, 2, 0), numpy.asarray(centre)) and not torch.equal(copied, own)
    (birds.parent / "classes.txt").unlink()
    assert torch.equal(read_files(root, asked("birds"), [root / "copy.jpg"])[0], copied), "nothing had to be listed"
