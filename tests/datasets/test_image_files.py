"""Datasets of image files, from a folder or a downloaded archive to the shards."""

import io
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy
import pytest
import torch
import yaml
from PIL import Image

from stylex.artifacts import read_json
from stylex.config import DatasetPaths
from stylex.datasets import download, load_all_classes, pixels, prepare, shards
from stylex.datasets.images import read_image
from stylex.errors import ConfigError, DatasetError, ImageError, StorageError

SIDE = 8
COUNT = 60
SPLITS = ("train", "val", "test")


def draw(path, seed, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(numpy.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), numpy.uint8)).save(path)


def describe(root, **changes):
    content = {"title": "Pets", "layout": "folders", "licence": "CC BY 4.0", "folder": "photos"} | changes
    path = root / "config/datasets/pets.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    if "raw" not in changes and "sources" not in changes:
        download(root, "pets")


@pytest.fixture
def photos(root):
    """A project whose user has 30 images in each of two class folders, and has said so."""
    for index in range(COUNT):
        draw(root / "photos" / ("cat" if index % 2 else "dog") / f"{index:02d}.png", index)
    describe(root)
    return root


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def ids_by_split(root):
    return {split: load_all_classes(root, "pets", SIDE, split).ids for split in SPLITS}


def test_every_image_is_in_one_split_as_read_image_reads_it(photos):
    manifest = read_json(prepare(photos, "pets", SIDE))
    assert manifest["class_names"] == ["cat", "dog"] and manifest["licence"] == "CC BY 4.0"
    counts = {split: sum(each.values()) for split, each in manifest["counts"].items()}
    assert counts == {"train": 42, "val": 10, "test": 8}
    seen = []
    for split in SPLITS:
        images = load_all_classes(photos, "pets", SIDE, split)
        expected = [read_image(photos / "photos" / name, 3, SIDE)[0] for name in images.ids]
        assert torch.equal(images.raw(), torch.stack(expected))
        assert [images.class_names[label] for label in images.labels.tolist()] == [name[:3] for name in images.ids]
        seen += images.ids
    assert len(seen) == len(set(seen)) == COUNT


def test_bytes_do_not_depend_on_the_processes(photos, monkeypatch):
    monkeypatch.setattr(pixels, "BATCH_IMAGES", 4)  # 15 batches, for 3 x 3 slots
    folder = prepare(photos, "pets", SIDE, processes=1).parent
    alone = contents(folder)
    (folder / "manifest.json").unlink()
    assert contents(prepare(photos, "pets", SIDE, processes=3).parent) == alone
    assert [path.name for path in folder.parent.iterdir()] == [str(SIDE)], "neither lock nor workspace is left"


def test_shards_are_bounded_and_read_as_one_table(photos, monkeypatch):
    prepare(photos, "pets", SIDE)
    whole = {split: load_all_classes(photos, "pets", SIDE, split) for split in SPLITS}
    monkeypatch.setattr(shards, "SHARD_BYTES", 20 * 3 * SIDE * SIDE)
    (photos / "data/processed/pets/8/manifest.json").unlink()
    entries = read_json(prepare(photos, "pets", SIDE))["shards"]
    assert [entry["rows"] for entry in entries["train"]] == [14, 14, 14]
    assert sum(entry["rows"] for each in entries.values() for entry in each) == COUNT
    for split, expected in whole.items():
        images = load_all_classes(photos, "pets", SIDE, split)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        assert images.ids == expected.ids and torch.equal(images.labels, expected.labels)
        assert torch.equal(images.raw(order), expected.raw(order))


def test_fewer_shards_leave_none_of_the_earlier(photos, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_BYTES", 1)
    folder = prepare(photos, "pets", SIDE).parent
    assert len(list(folder.glob("*.arrow"))) == COUNT
    monkeypatch.undo()
    (folder / "manifest.json").unlink()
    prepare(photos, "pets", SIDE)
    assert len(list(folder.glob("*.arrow"))) == 3


def test_grey_images(photos):
    describe(photos, channels=1)
    prepare(photos, "pets", SIDE)
    images = load_all_classes(photos, "pets", SIDE, "test")
    assert tuple(images.raw().shape) == (8, 1, SIDE, SIDE)
    assert torch.equal(images.raw()[0], read_image(photos / "photos" / images.ids[0], 1, SIDE)[0])


def test_no_identity_is_in_two_splits(photos):
    rows = [f"{index % 7}/{index:02d}.png,{'ab'[index % 2]},animal {index % 20}" for index in range(COUNT)]
    for index, row in enumerate(rows):
        draw(photos / "table" / row.split(",")[0], index)
    (photos / "table/images.csv").write_text("\n".join(["path,label,identity", *rows]))
    describe(photos, layout="table", folder=None, csv="table/images.csv")
    manifest = read_json(prepare(photos, "pets", SIDE))
    assert manifest["preparation"]["splits"] == "by identity"
    owner = {row.split(",")[0]: row.split(",")[2] for row in rows}
    owners = {split: {owner[name] for name in ids} for split, ids in ids_by_split(photos).items()}
    assert all(owners.values()) and sum(map(len, owners.values())) == len(set.union(*owners.values())) == 20


def test_official_split_with_a_validation_share(photos):
    for index in range(COUNT):
        part, name = ("test" if index < 20 else "train"), ("cat" if index % 2 else "dog")
        draw(photos / "divided" / part / name / f"{index}.png", index)
    describe(photos, folder="divided", shares={"official": True, "val": 0.25})
    prepare(photos, "pets", SIDE)
    ids = ids_by_split(photos)
    assert {split: len(each) for split, each in ids.items()} == {"train": 30, "val": 10, "test": 20}
    assert {split: {name.split("/")[0] for name in each} for split, each in ids.items()} == {
        "train": {"train"},
        "val": {"train"},
        "test": {"test"},
    }


def test_a_picture_is_in_one_place_only(photos):
    """Copies of training images: with the same label, with the other one, and all over the splits."""
    prepare(photos, "pets", SIDE)
    before = ids_by_split(photos)
    for number, name in enumerate(before["train"][:30]):
        copy = photos / "photos" / ("cat" if number % 2 else "dog") / f"copy-{number}.png"
        copy.write_bytes((photos / "photos" / name).read_bytes())
    manifest = read_json(prepare(photos, "pets", SIDE))
    ids = ids_by_split(photos)
    assert not [name for each in ids.values() for name in each if "copy" in name and name.startswith("dog")]
    pictures = torch.cat([load_all_classes(photos, "pets", SIDE, split).raw() for split in SPLITS])
    assert len(pictures) == len(pictures.unique(dim=0)) == COUNT
    duplicates = manifest["duplicates"]
    assert duplicates["dropped"] == 30 and 0 < duplicates["with_another_label"] < 30
    assert 0 < duplicates["in_another_split"] < 30


def test_unreadable_images_beyond_the_limit(photos, caplog):
    good = contents(prepare(photos, "pets", SIDE).parent)
    for index in range(0, 10, 2):
        (photos / f"photos/dog/{index:02d}.png").write_bytes(b"no image")
    with pytest.raises(ImageError) as raised:
        prepare(photos, "pets", SIDE)
    assert str(raised.value) == (
        "5 of 60 images of 'pets' cannot be read: dog/00.png (cannot identify image file '00.png'), dog/02.png (cannot"
        " identify image file '02.png'), dog/04.png (cannot identify image file '04.png') and others; mend or remove"
        " them, or raise max_unreadable, which is 0, in config/datasets/pets.yaml"
    )
    assert contents(photos / "data/processed/pets/8") == good, "earlier artifacts are intact"
    describe(photos, max_unreadable=5)
    manifest = read_json(prepare(photos, "pets", SIDE))
    assert "5 of 60 images" in caplog.text
    assert manifest["unreadable"][1] == {"file": "dog/02.png", "reason": "cannot identify image file '02.png'"}
    assert sum(sum(each.values()) for each in manifest["counts"].values()) == 55
    describe(photos, max_unreadable=4)
    with pytest.raises(ImageError, match="5 of 60 images"):
        prepare(photos, "pets", SIDE)


def test_a_table_may_name_a_missing_file(photos):
    rows = [f"photos/{'cat' if index % 2 else 'dog'}/{index:02d}.png,{index % 2}" for index in range(COUNT)]
    (photos / "images.csv").write_text("\n".join(["path,label", *rows, "photos/none.png,1"]))
    describe(photos, layout="table", folder=None, csv="images.csv")
    with pytest.raises(ImageError, match=r"1 of 61 images .*: photos/none\.png \(No such file or directory\)"):
        prepare(photos, "pets", SIDE)


def test_hundreds_of_classes(root):
    rows = []
    for index in range(900):
        draw(root / f"birds/{index}.png", index, (2, 2))
        rows.append(f"birds/{index}.png,species {index % 300:03d}")
    (root / "birds.csv").write_text("\n".join(["path,label", *rows]))
    describe(root, layout="table", folder=None, csv="birds.csv", shares={"train": 0.34, "val": 0.33, "test": 0.33})
    prepare(root, "pets", SIDE)
    images = load_all_classes(root, "pets", SIDE, "test")
    assert sorted(images.labels.tolist()) == list(range(300))
    assert images.class_names[299] == "species 299"


def archive(root):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as content:
        for path in sorted((root / "photos").rglob("*.png")):
            content.write(path, f"pets/{path.relative_to(root / 'photos')}")
    return file.getvalue()


def test_a_downloaded_archive_is_unpacked_once(photos, write_raw):
    raw = photos / "data/raw/pets"
    source = {"label": "test", "mirrors": ["http://127.0.0.1/"], "files": [{"name": "pets.zip", "size": 1}]}
    describe(photos, folder=None, sources=[source])
    write_raw(raw, {"pets.zip": archive(photos)})
    manifest = read_json(prepare(photos, "pets", SIDE))
    assert set(manifest["source"]["files"]) == {"pets.zip"}
    assert load_all_classes(photos, "pets", SIDE, "test").ids[0].startswith("pets/pets/cat/")
    (raw / "pets.zip").unlink()
    prepare(photos, "pets", 16)
    draw(photos / "photos/cat/new.png", 99)
    write_raw(raw, {"pets.zip": archive(photos)})
    with pytest.raises(DatasetError, match=r"data/raw/pets/pets was made from another pets\.zip; delete it"):
        prepare(photos, "pets", SIDE)


def test_a_replaced_archive_is_refused(photos, write_raw):
    source = {"label": "test", "mirrors": ["http://127.0.0.1/"], "files": [{"name": "pets.zip", "size": 1}]}
    describe(photos, folder=None, sources=[source])
    write_raw(photos / "data/raw/pets", {"pets.zip": archive(photos)})
    (photos / "data/raw/pets/pets.zip").write_bytes(b"PK other")
    with pytest.raises(
        DatasetError, match=r"pets\.zip is not the file that was downloaded; run `stylex download pets`"
    ):
        prepare(photos, "pets", SIDE)
    assert not (photos / "data/raw/pets/pets").exists()


def test_mistakes(photos):
    with pytest.raises(ConfigError, match=r"config/datasets/pets\.yaml: folder = 'fotos': there is no such folder"):
        describe(photos, folder="fotos")
    with pytest.raises(ConfigError, match=r"folder = 'fotos': there is no such folder"):
        prepare(photos, "pets", SIDE)
    with pytest.raises(ConfigError, match=r"csv = 'photos': there is no such csv"):
        describe(photos, folder=None, csv="photos", layout="table")
    describe(photos, shares={"official": True, "val": 0.1})
    with pytest.raises(DatasetError, match=r"cat/01\.png has no official split; give the dataset shares of its own"):
        prepare(photos, "pets", SIDE)
    describe(photos, shares={"train": 0.98, "val": 0.01, "test": 0.01})
    with pytest.raises(DatasetError, match="'pets' has no image for test: give it more images, or other shares"):
        prepare(photos, "pets", SIDE)


def test_the_second_of_two_processes_waits_and_finds_it_done(photos, race, held):
    """The first is held until the second waits. Another preparation would be held for ever."""
    os.mkfifo(photos / "gate")
    go_on = threading.Event()

    def open_the_gate() -> None:
        go_on.wait(60)
        (photos / "gate").open("wb").close()

    opener = threading.Thread(target=open_the_gate)
    opener.start()
    assert race(held, (photos, "pets", SIDE, 1), go_on) == [0, 0]
    opener.join()
    manifest = read_json(DatasetPaths(photos, "pets").manifest(SIDE))
    assert sum(sum(counts.values()) for counts in manifest["counts"].values()) == COUNT
    assert [path.name for path in (photos / "data/processed/pets").iterdir()] == [str(SIDE)]


def test_full_disk(photos, small_disk):
    (photos / "data/processed").symlink_to(small_disk)
    with pytest.raises(StorageError, match=r"\.arrow: No space left on device"):
        prepare(photos, "pets", 32)
    assert not [path for path in small_disk.rglob("*") if path.is_file()]


def wait_for_ever(*of_file):
    """In the place of `read_pixels`, in processes that are to be killed."""
    time.sleep(600)


def test_a_killed_worker_is_one_line(photos, monkeypatch):
    monkeypatch.setattr(pixels, "BATCH_IMAGES", 30)
    monkeypatch.setattr(pixels, "read_pixels", wait_for_ever)

    def kill() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.01)
        os.kill(children[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(DatasetError, match="was killed, perhaps for want of memory: free some, or lower --processes"):
        prepare(photos, "pets", SIDE, processes=2)
    killer.join()
    assert not (photos / "data/processed/pets/8").exists()


def test_workers_end_with_a_killed_parent_and_the_next_run_clears_up(photos):
    program = (
        "import time; from pathlib import Path; from stylex.datasets import pixels, prepare; pixels.BATCH_IMAGES = 4;"
        "pixels.read_pixels = lambda *of_file: time.sleep(600);"
        f"prepare(Path({str(photos)!r}), 'pets', {SIDE}, 2)"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as parent:
        listing = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        while len(children := listing.read_text().split()) < 2:
            time.sleep(0.02)
        parent.kill()
    while any(Path(f"/proc/{child}").exists() for child in children):
        time.sleep(0.02)
    assert (photos / "data/processed/pets/.8.preparing").exists()
    prepare(photos, "pets", SIDE)
    assert [path.name for path in (photos / "data/processed/pets").iterdir()] == [str(SIDE)]
