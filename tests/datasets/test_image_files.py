"""Datasets of image files, from the folder to the shards."""

import numpy
import pytest
import torch
import yaml
from PIL import Image

from stylex.artifacts import read_json
from stylex.datasets import download, load_all_classes, prepare
from stylex.datasets.images import read_image

SIDE = 8
COUNT = 60


def draw(path, seed, size=(12, 10), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = numpy.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), numpy.uint8)
    Image.fromarray(values).convert(mode).save(path)


def describe(root, **changes):
    content = {"title": "Pets", "layout": "folders", "licence": "CC BY 4.0", "folder": "photos"} | changes
    path = root / "config/datasets/pets.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))


@pytest.fixture
def photos(root):
    """A project whose user has two class folders of 30 images each, and has told so."""
    for index in range(COUNT):
        draw(root / "photos" / ("cat" if index % 2 else "dog") / f"{index:02d}.png", index)
    describe(root)
    download(root, "pets")
    return root


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_every_image_is_in_one_split_as_read_image_reads_it(photos):
    manifest = read_json(prepare(photos, "pets", SIDE))
    assert manifest["class_names"] == ["cat", "dog"]
    assert {split: sum(each.values()) for split, each in manifest["counts"].items()} == {
        "train": 42,
        "val": 10,
        "test": 8,
    }
    seen = []
    for split in ("train", "val", "test"):
        images = load_all_classes(photos, "pets", SIDE, split)
        expected = [read_image(photos / "photos" / name, 3, SIDE) for name in images.ids]
        assert torch.equal(images.raw(), torch.stack(expected))
        assert [images.class_names[label] for label in images.labels.tolist()] == [name[:3] for name in images.ids]
        seen += images.ids
    assert len(seen) == len(set(seen)) == COUNT
