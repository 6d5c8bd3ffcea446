"""Datasets of image files, from a folder, a table or a downloaded archive to the shards, as people have them."""

import io
import logging
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from pathlib import Path

import numpy
import pytest
import torch
import yaml
from PIL import Image

from stylex.artifacts import read_json
from stylex.cli import main
from stylex.config import DatasetConfig, DatasetPaths
from stylex.datasets import dataset_spec, download, image_files, load_all_classes, prepare, read_files, shards
from stylex.datasets.images import read_image
from stylex.datasets.layouts.own import stamp
from stylex.errors import ConfigError, DatasetError, ImageError

REPOSITORY = Path(__file__).parents[2]
SIDE = 8
COUNT = 60
SPLITS = ("train", "val", "test")
ASKED = DatasetConfig(name="pets", resolution=SIDE, classes=None, one_vs_rest=None)
WHERE = "config/datasets/pets.yaml"


def draw(path, seed, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(numpy.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), numpy.uint8)).save(path)


def in_alpha(path, number):
    """A black icon whose shape lies in alpha alone."""
    alpha = Image.fromarray(numpy.random.default_rng(number).integers(0, 2, (20, 20), numpy.uint8) * 255)
    Image.merge("LA", (Image.new("L", alpha.size), alpha)).save(path)


def in_12_bits(path, number):
    values = numpy.random.default_rng(number).integers(0, 4096, (20, 20))
    values[0, :2] = 0, 4095
    Image.fromarray(values.astype(numpy.uint16)).save(path)


def draw_all(folder, count=24, save=draw):
    """Write images that differ, in two class folders; save(path, number)."""
    for number in range(count):
        path = folder / ("cat" if number % 2 else "dog") / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path, number)


def describe(root, **changes):
    content = {"title": "Pets", "layout": "folders", "licence": "CC BY 4.0", "folder": "photos"} | changes
    (root / WHERE).write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    if "raw" not in changes and "sources" not in changes:
        download(root, "pets")


def write_table(root, rows, columns="path,label,split,identity", **changes):
    (root / "photos/pets.csv").write_text("\n".join([columns, *rows]))
    describe(root, layout="table", folder=None, csv="photos/pets.csv", **changes)


@pytest.fixture
def photos(root):
    """A project whose user has 30 images in each of two class folders, and has described them."""
    draw_all(root / "photos", COUNT)
    describe(root)
    return root


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def ids_by_split(root):
    return {split: load_all_classes(root, "pets", SIDE, split).ids for split in SPLITS}


def prepared(root):
    """Every prepared image by id."""
    every = [load_all_classes(root, "pets", SIDE, split) for split in SPLITS]
    return {identity: image for split in every for identity, image in zip(split.ids, split.raw(), strict=True)}


def logged(caplog, words="", level=0):
    lines = [record.getMessage() for record in caplog.records if record.levelno >= level]
    return [line for line in lines if words in line]


def test_every_image_is_in_one_split_as_read_image_reads_it(photos):
    manifest = read_json(prepare(photos, "pets", SIDE))
    assert manifest["class_names"] == ["cat", "dog"] and manifest["licence"] == "CC BY 4.0"
    counts = {split: sum(each.values()) for split, each in manifest["counts"].items()}
    assert counts == {"train": 42, "val": 10, "test": 8}
    seen = []
    for split in SPLITS:
        images = load_all_classes(photos, "pets", SIDE, split)
        expected = [read_image(photos / "photos" / name, 3, SIDE)[0] for name in images.ids]
        assert numpy.array_equal(images.raw(), expected)
        assert [images.class_names[label] for label in images.labels.tolist()] == [name[:3] for name in images.ids]
        seen += images.ids
    assert len(seen) == len(set(seen)) == COUNT


def test_bytes_do_not_depend_on_the_processes(photos, monkeypatch):
    monkeypatch.setattr(image_files, "BATCH_IMAGES", 4)  # 15 batches, for 3 x 3 slots
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
    monkeypatch.undo()
    (photos / "data/processed/pets/8/manifest.json").unlink()
    folder = prepare(photos, "pets", SIDE).parent
    assert len(list(folder.glob("*.arrow"))) == 3, "none of the earlier is left"


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
        " identify image file '02.png'), dog/04.png (cannot identify image file '04.png') and 2 more; fix or remove"
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
    rows = [f"{'cat' if index % 2 else 'dog'}/{index:02d}.png,{index % 2}" for index in range(COUNT)]
    write_table(photos, [*rows, "none.png,1"], "path,label")
    with pytest.raises(ImageError, match=r"1 of 61 images .*: none\.png \(No such file or directory\)"):
        prepare(photos, "pets", SIDE)


def test_hundreds_of_classes(root):
    rows = []
    for index in range(900):
        draw(root / f"photos/{index}.png", index, (2, 2))
        rows.append(f"{index}.png,species {index % 300:03d}")
    write_table(root, rows, "path,label", shares={"train": 0.34, "val": 0.33, "test": 0.33})
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
    shutil.rmtree(raw / "pets")
    (raw / "pets.zip").write_bytes(b"PK other")
    with pytest.raises(DatasetError, match=r"pets\.zip is not the file that was downloaded; run `stylex download pet"):
        prepare(photos, "pets", SIDE)
    assert not (raw / "pets").exists()


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


def wait_for_ever(*of_file):
    """In the place of `read_pixels`, in processes that are to be killed."""
    time.sleep(600)


def test_a_killed_worker_is_one_line(photos, monkeypatch):
    monkeypatch.setattr(image_files, "BATCH_IMAGES", 30)
    monkeypatch.setattr(image_files, "read_pixels", wait_for_ever)

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
        "import time; from pathlib import Path; from stylex.datasets import image_files, prepare;"
        "image_files.BATCH_IMAGES = 4;"
        "image_files.read_pixels = lambda *of_file: time.sleep(600);"
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


def test_each_class_is_in_each_split_as_listed_and_without_copies(root):
    draw_all(root / "photos")
    names = [f"{'cat' if number % 2 else 'dog'}/{number:02d}.png" for number in range(24)]
    describe(root)
    prepare(root, "pets", 8)
    (root / "photos/owl").mkdir()
    draw(root / "photos/owl/1.png", 99)
    with pytest.raises(DatasetError, match="'pets' has no image for (train|val|test) of owl: give it more images of"):
        prepare(root, "pets", 8)
    shutil.rmtree(root / "photos/owl")
    parts = [["train", "val", "test"][number % 3] for number in range(24)]
    write_table(root, [f"{name},{name[:3]},{part}," for name, part in zip(names, parts, strict=True)])
    before = prepare(root, "pets", 8).read_bytes()
    parts = ["val" if number == 2 else "train" if number < 13 else "test" for number in range(24)]
    write_table(root, [f"{name},{name[:3]},{part}," for name, part in zip(names, parts, strict=True)])
    with pytest.raises(DatasetError, match="'pets' has no image for val of cat"):
        prepare(root, "pets", 8)
    first, *others = sorted((root / "photos/cat").iterdir())
    for path in others:
        shutil.copy(first, path)
    describe(root)
    with pytest.raises(DatasetError, match="'pets' has no image for .* of cat"):
        prepare(root, "pets", 8)
    assert (root / "data/processed/pets/8/manifest.json").read_bytes() == before, "what was there stays"


def test_what_was_found_and_what_was_not_read_is_printed(root, caplog):
    caplog.set_level(logging.INFO)
    draw_all(root / "photos/pets")
    (root / "photos/pets/.git").mkdir()
    for name in ("cat/.DS_Store", "cat/a.heic", "dog/b.heic", "dog/notes", "readme.txt", ".git/config"):
        (root / "photos/pets" / name).touch()
    for number, kind in ((2, "cat"), (4, "cat"), (1, "cat")):
        source = root / f"photos/pets/{'cat' if number % 2 else 'dog'}/{number:02d}.png"
        shutil.copy(source, root / f"photos/pets/{kind}/copy-{number}.png")
    describe(root)
    caplog.clear()
    prepare(root, "pets", 8)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[:2] == [
        f"pets: 2 class folders in {root / 'photos/pets'}: cat, dog",
        "pets: left out: files: 2 .heic, 2 hidden, 1 .txt, 1 without ending",
    ]
    assert "pets: dropped 3 images whose pixels are those of an earlier one" in lines
    (conflicts,) = [line for line in lines if "another class" in line]
    assert conflicts == (
        "pets: 2 of these have another class than the one that is kept; fix the labels: pets/cat/copy-2.png (cat) and"
        " pets/dog/02.png (dog), pets/cat/copy-4.png (cat) and pets/dog/04.png (dog)"
    )
    (counts,) = [line for line in lines if "split stratified by class" in line]
    assert re.search(r": train \d+ \(cat \d+, dog \d+\), val \d+ \(cat \d+, dog \d+\), test \d+ \(cat", counts)


ODD = os.fsdecode(b"gr\xfc\xdfe.png")  # of an archive made on a machine with Latin-1


@pytest.mark.parametrize("place", [Path("cat", ODD), Path(os.fsdecode(b"k\xe4fer"), "1.png")])
def test_a_name_that_is_no_text_is_one_line(root, monkeypatch, capsys, place):
    draw_all(root / "photos")
    (root / "photos" / place).parent.mkdir(exist_ok=True)
    shutil.copy(root / "photos/cat/01.png", root / "photos" / place)
    describe(root)
    monkeypatch.chdir(root)
    escaped = os.fsencode(place).decode("utf-8", "backslashreplace")
    assert main(["prepare", "pets", "--resolution", "8"]) == 2
    assert capsys.readouterr().err.splitlines()[-1:] == [
        f"error: photos/{escaped}: the bytes of this name are no UTF-8; rename the file or folder, or all of them"
        " with `convmv -r -f latin1 -t utf8 --notest FOLDER`"
    ]
    with pytest.raises(SystemExit, match="0"):  # it reads no folder
        main(["validate"])
    with pytest.raises(DatasetError, match="the bytes of this name are no UTF-8"):
        stamp(root, dataset_spec(root, "pets"))


@pytest.mark.slow
def test_names_and_folders_that_are_wrong_are_one_line_when_snakemake_plans(tmp_path):
    for part in ("Snakefile", "workflow", "profiles", "config", "stylex", "environment.yml"):
        copy = shutil.copytree if (REPOSITORY / part).is_dir() else shutil.copy
        copy(REPOSITORY / part, tmp_path / part)
    draw_all(tmp_path / "photos")
    describe(tmp_path)

    def plan():
        command = ["-m", "snakemake", "-n", "--cores", "1", "--", "data/processed/pets/8/manifest.json"]
        return subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False
        )

    good = plan()
    assert good.returncode == 0 and "prepare" in good.stdout + good.stderr, good.stderr
    shutil.copy(tmp_path / "photos/cat/01.png", tmp_path / "photos/cat" / ODD)
    refused = plan()
    assert refused.returncode != 0 and "Traceback" not in refused.stdout + refused.stderr
    (line,) = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith(r"error: photos/cat/gr\xfc\xdfe.png: the bytes of this name are no UTF-8; rename")
    shutil.move(tmp_path / "photos", tmp_path / "elsewhere")
    gone = plan()
    assert gone.returncode != 0 and "Traceback" not in gone.stdout + gone.stderr
    assert "error: config/datasets/pets.yaml: folder = 'photos': there is no such folder" in gone.stderr


def test_a_mistyped_folder_is_found_by_download(root, monkeypatch, capsys):
    draw_all(root / "photos")
    describe(root)
    shutil.rmtree(root / "data/raw")
    monkeypatch.chdir(root)
    os.mkfifo(root / "pipe.csv")
    wrong = {"pipe.csv": "csv", "photos/none.csv": "csv", "photos": "csv"}
    wrong |= {"fotos": "folder", "photos/cat/01.png": "folder"}
    for value, key in wrong.items():
        with pytest.raises(ConfigError, match=rf"pets\.yaml: {key} = '{value}': there is no such {key}"):
            describe(root, **{"folder": None, "layout": "table", key: value})
        assert main(["download", "pets"]) == 2 and not (root / "data/raw").exists()
        assert f"error: config/datasets/pets.yaml: {key} = '{value}'" in capsys.readouterr().err


def test_a_home_is_found(root, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    draw_all(tmp_path / "home/photos")
    describe(root, folder="~/photos")
    prepare(root, "pets", 8)
    rows = [f"{path.relative_to(tmp_path / 'home')},{path.parent.name}" for path in (tmp_path / "home").rglob("*.png")]
    (tmp_path / "home/pets.csv").write_text("\n".join(["path,label", *sorted(rows)]))
    describe(root, layout="table", folder=None, csv="~/pets.csv")
    prepare(root, "pets", 8)
    with pytest.raises(ConfigError, match="folder = '~nobody-of-this-name/photos': there is no such folder"):
        describe(root, folder="~nobody-of-this-name/photos")


def test_snakemake_is_told_what_may_have_changed(root):
    draw_all(root / "photos")
    describe(root)
    states = [stamp(root, dataset_spec(root, "pets"))]

    def changed():
        states.append(stamp(root, dataset_spec(root, "pets")))
        return states[-1] != states[-2]

    assert not changed()
    path = root / "photos/cat/01.png"
    os.utime(path, ns=(0, 0))
    assert changed()
    path.write_bytes(path.read_bytes() + b"\0")
    os.utime(path, ns=(0, 0))
    assert changed(), "another size"
    path.rename(path.with_name("new.png"))
    assert changed()
    (root / "photos/cat/notes.txt").touch()
    assert not changed(), "no image"
    write_table(root, ["cat/03.png,cat,,", "dog/02.png,dog,,", "dog/none.png,dog,,"])
    assert changed() and not changed()
    os.utime(root / "photos/cat/05.png", ns=(0, 0))
    assert not changed(), "not in the table"
    os.utime(root / "photos/cat/03.png", ns=(0, 0))
    assert changed()
    assert stamp(root, dataset_spec(root, "mnist")) == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read any folder")
def test_a_folder_that_nobody_may_read(root):
    draw_all(root / "photos")
    draw(root / "photos/cat/private/1.png", 99)
    describe(root)
    (root / "photos/cat/private").chmod(0)
    with pytest.raises(DatasetError, match="photos/cat/private cannot be read: Permission denied; fix its"):
        prepare(root, "pets", 8)
    (root / "photos/cat/private").chmod(0o700)


def test_icons_in_alpha_differ_on_any_background_and_explain_reads_the_same(root, caplog):
    caplog.set_level(logging.INFO)
    draw_all(root / "photos", save=in_alpha)
    Image.new("L", (20, 20), 9).save(root / "photos/cat/opaque.png")
    brightness = []
    for colour in ("white", "#808080"):
        caplog.clear()
        describe(root, channels=1, background=colour)
        manifest = read_json(prepare(root, "pets", SIDE))
        assert manifest["preparation"]["background"] == colour and manifest["transparent"] == 24
        images = prepared(root)
        assert manifest["duplicates"]["dropped"] == 0 and len(images) == 25
        read = read_files(root, ASKED, [root / "photos" / identity for identity in images])
        assert torch.equal(read, torch.stack(list(images.values())))
        line = f"pets: 24 of 25 images have transparent pixels, which are put on {colour} (background in {WHERE})"
        assert logged(caplog, "transparent") == [line, line]
        brightness.append(read.float().mean())
    assert brightness[1] < brightness[0] - 40
    prepare(root, "pets", SIDE)
    assert logged(caplog, "already prepared")


def test_of_a_built_in_dataset_too(root, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    Image.new("LA", (SIDE, SIDE), (0, 0)).save(tmp_path / "digit.png")
    asked = DatasetConfig(name="mnist", resolution=SIDE, classes=None, one_vs_rest=None)
    assert (read_files(root, asked, [tmp_path / "digit.png"]) == 255).all()
    assert logged(caplog, "transparent") == ["mnist: 1 of 1 images have transparent pixels, which are put on white"]


@pytest.mark.parametrize("colour", [None, "grey", "White", "#fff", "#12345g", 0])
def test_a_background_that_is_none(photos, colour):
    (photos / WHERE).write_text((photos / WHERE).read_text() + yaml.safe_dump({"background": colour}))
    with pytest.raises(ConfigError, match=r"pets\.yaml: background = .*: white, black or '#rrggbb' goes here"):
        dataset_spec(photos, "pets")


def test_12_bits_in_files_of_16_are_said_once_with_their_range(root, caplog):
    draw_all(root / "photos", save=in_12_bits)
    describe(root, channels=1)
    manifest = read_json(prepare(root, "pets", SIDE))
    assert manifest["levels_of_16_bits"] == [0, 4095]
    line = "pets: 24 images with 16 bits have values from 0 to 4095 of 65535, and become dark; if 4095 is white, write"
    assert logged(caplog, "16 bits") == [f"{line} white_level: 4095 into config/datasets/pets.yaml"]
    caplog.clear()
    describe(root, channels=1, white_level=4095)
    manifest = read_json(prepare(root, "pets", SIDE))
    assert manifest["preparation"]["white_level"] == 4095 and not logged(caplog, level=logging.WARNING)
    assert max(int(image.max()) for image in prepared(root).values()) > 200
    describe(root, channels=1, white_level=1023)
    prepare(root, "pets", SIDE)
    assert "values above white_level = 1023, up to 4095, are cut off at white: " in caplog.text
    caplog.clear()
    describe(root, channels=1, white_level=65535)
    prepare(root, "pets", SIDE)
    assert not logged(caplog, level=logging.WARNING), "stated, and so believed"
    describe(root, channels=1)
    read_files(root, ASKED, [root / "photos/cat/01.png"])
    assert re.search(r"pets: 1 images with 16 bits have values from \d+ to \d+ of 65535, and become dark", caplog.text)
    caplog.clear()
    Image.fromarray(numpy.full((20, 20), 40000, numpy.uint16)).save(root / "photos/cat/bright.png")
    assert read_json(prepare(root, "pets", SIDE))["levels_of_16_bits"] == [0, 40000]
    assert not logged(caplog, "16 bits"), "one image with the top bit: these are no 12 bits"


def test_dark_colours_of_16_bits_are_said_and_a_white_for_them_is_refused(root, caplog):
    def save(path, number):
        values = numpy.random.default_rng(number).integers(0, 4096, (20, 20, 3), numpy.uint16)
        path.write_bytes(b"P6 20 20 65535\n" + values.astype(">u2").tobytes())

    draw_all(root / "photos", save=save)
    describe(root, channels=3)
    prepare(root, "pets", SIDE)
    assert "become dark; save the 24 in colour with 8 bits a channel" in caplog.text
    describe(root, channels=3, white_level=4095)
    with pytest.raises(ImageError, match=r"24 of 24 images .* so white_level = 4095 cannot hold"):
        prepare(root, "pets", SIDE)


def test_very_large_images_are_named_with_what_to_do(root, caplog, monkeypatch):
    draw_all(root / "photos")
    draw(root / "photos/cat/large.png", 98, (30, 30))
    describe(root, channels=1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 800)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare(root, "pets", SIDE)
    assert logged(caplog, "Pillow") == [
        "pets: images that Pillow warns of; look at them: cat/large.png (Image size (900 pixels) exceeds limit of"
        " 800 pixels: make it smaller)"
    ]
    draw(root / "photos/cat/huge.png", 99, (50, 50))
    with pytest.raises(ImageError, match=r"huge\.png \(.*2500 pixels.* exceeds .* 1600 pixels: make it smaller\)"):
        prepare(root, "pets", SIDE)


def test_files_with_several_pictures_are_named(root, caplog):
    draw_all(root / "photos")
    values = numpy.random.default_rng(90).integers(0, 256, (2, 9, 9), numpy.uint8)
    pictures = [Image.fromarray(each) for each in values]
    for ending in ("gif", "tif", "webp"):
        pictures[0].save(root / f"photos/cat/a.{ending}", save_all=True, append_images=pictures[1:], lossless=True)
    describe(root, channels=1)
    prepare(root, "pets", SIDE)
    (line,) = logged(caplog, "several pictures")
    assert line.endswith("the first is taken: cat/a.gif, cat/a.tif, cat/a.webp")
    assert numpy.array_equal(read_image(root / "photos/cat/a.tif", 1, 9)[0][0], values[0])


def test_a_replaced_image_of_equal_size_is_noticed_and_a_touch_is_not(root, caplog):
    caplog.set_level(logging.INFO)
    draw_all(
        root / "photos", save=lambda path, number: path.write_bytes(b"P5 8 8 255\n" + bytes([number]) * 63 + b"\1")
    )
    describe(root, channels=1)
    manifest = prepare(root, "pets", SIDE)
    before, path = manifest.read_bytes(), root / "photos/cat/01.png"
    times = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"\2")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    prepare(root, "pets", SIDE)
    assert manifest.read_bytes() != before and prepared(root)["cat/01.png"].min() == 1
    before = manifest.read_bytes()
    caplog.clear()
    for file in root.glob("photos/*/*"):
        os.utime(file)
    assert logged(caplog, "already prepared") == [] and prepare(root, "pets", SIDE).read_bytes() == before
    assert logged(caplog, "already prepared")
    manifest.unlink()  # as Snakemake does before it runs the rule
    assert prepare(root, "pets", SIDE).read_bytes() == before, "the same bytes: nothing is trained anew"
