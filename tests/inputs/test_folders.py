"""Folders of images as people have them: splits or classes, names that look alike, and what lies beside."""

import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import yaml
from PIL import Image

from stylex.cli import main
from stylex.datasets import dataset_spec, download, prepare
from stylex.datasets.layouts.folders import list_images
from stylex.datasets.own import stamp
from stylex.errors import ConfigError, DatasetError

ROOT = Path(__file__).parents[2]


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def both(*tops, of=("cat", "dog")):
    return [f"{top}/{name}/1.png" for top in tops for name in of]


SPLITS = both("train", "test")
TWO_READINGS = {
    "splits and one more folder": (
        [*SPLITS, "extra/2.png"],
        "photos can be read in two ways: as the splits test, train, with extra that belongs to none, or as the classes"
        " extra, test, train; take away",
    ),
    "splits and a folder without an image": ([*SPLITS, "notes/read.me"], "with notes that belongs to none"),
    "splits and a folder of folders": ([*SPLITS, *both("unsorted")], "with unsorted that belongs to none"),
    "splits and one with a name of its own": ([*SPLITS, *both("dev")], "the splits test, train, with dev that"),
    "one split and another folder": (both("train", "holdout"), "as the splits train, with holdout that"),
    "images of splits without classes": (["train/1.png", "test/2.png"], "the splits test, train, or as the classes"),
    "classes test and train beside a third": (["train/1.png", "test/2.png", "bus/3.png"], "classes bus, test, train"),
    "a split of images without classes": ([*SPLITS, "val/1.png"], "as the splits test, train, val, or as the classes"),
    "images beside the classes of a split": ([*SPLITS, "test/1.png"], "as the splits test, train, or as the classes"),
    "splits in splits": (both("train", "test", of=("train", "test")), "as the splits test, train, or as the classes"),
    "images beside class folders": (
        ["cat/1.png", "dog/1.png", "stray.jpg"],
        r"as folders \(cat, dog\) beside which 1 images of no class lie, as stray\.jpg, or as one class photos with",
    ),
    "images beside splits": ([*SPLITS, "stray.jpg"], r"as folders \(test, train\) beside which 1 images of no class"),
    "images beside class folders in a folder": (["in/cat/1.png", "in/dog/1.png", "in/a.png"], "photos/in can be read"),
    "splits in each class": (
        ["cat/train/1.png", "cat/test/2.png", "dog/train/1.png", "dog/test/2.png"],
        "photos/cat can be read in two ways: as a class with the splits test, train, or as one whose images are to be",
    ),
    "splits in one class": (["cat/train/1.png", "cat/val/2.png", "dog/1.png"], "as a class with the splits train, val"),
    "the same folders in all": (
        both("2019", "2020"),
        "as the classes 2019, 2020, or as the classes cat, dog, in each of these folders",
    ),
    "the same folders and more in all": ([*both("fold1", "fold2"), "fold2/owl/1.png"], "as the classes fold1, fold2"),
}


@pytest.mark.parametrize("kind", TWO_READINGS)
def test_what_can_be_two_things_is_refused_with_both(tmp_path, kind):
    names, message = TWO_READINGS[kind]
    with pytest.raises(DatasetError, match=message) as raised:
        list_images(make(tmp_path / "photos", *names), None, None)
    assert "\n" not in str(raised.value) and " or as " in str(raised.value)


def told(listing):
    return {(listing.class_names[each.label], each.part) for each in listing.records}


OFFICIAL = {("cat", "train"), ("dog", "train"), ("cat", "test"), ("dog", "test")}
ONE_READING = {
    "splits": (SPLITS, OFFICIAL),
    "splits, one of them empty": ([*SPLITS, "val/read.me"], OFFICIAL),
    "splits in a folder": ([f"pets/{name}" for name in SPLITS], OFFICIAL),
    "splits by other names": (both("Training", "testing"), OFFICIAL),
    "one split alone is a folder like others": (both("train"), {("cat", None), ("dog", None)}),
    "a class train": (["train/1.png", "bus/1.png"], {("train", None), ("bus", None)}),
    "a class test in splits": (
        both("train", "test", of=("test", "control")),
        {(name, part) for name in ("test", "control") for part in ("train", "test")},
    ),
    "animals in each class": (["cat/tom/1.png", "dog/rex/1.png", "dog/bo/1.png"], {("cat", None), ("dog", None)}),
    "a folder train in a class": (["vehicle/train/1.png", "animal/1.png"], {("vehicle", None), ("animal", None)}),
}


@pytest.mark.parametrize("kind", ONE_READING)
def test_what_can_be_one_thing_is_that(tmp_path, kind):
    names, expected = ONE_READING[kind]
    assert told(list_images(make(tmp_path / "photos", *names), None, None)) == expected


@pytest.mark.parametrize(
    ("names", "classes", "expected"),
    [
        ([*SPLITS, "extra/2.png"], ("cat", "dog"), OFFICIAL),
        ([*SPLITS, "extra/2.png"], ("extra", "train"), {("extra", None), ("train", None)}),
        (["train/1.png", "test/2.png"], ("train", "test"), {("train", None), ("test", None)}),
        (both("2019", "2020"), ("2019", "2020"), {("2019", None), ("2020", None)}),
        (["cat/1.png", "dog/1.png", "stray.jpg"], ("cat", "dog"), {("cat", None), ("dog", None)}),
    ],
)
def test_classes_decide_between_two_readings(tmp_path, names, classes, expected):
    assert told(list_images(make(tmp_path / "photos", *names), None, classes)) == expected


def test_classes_that_decide_nothing(tmp_path):
    with pytest.raises(DatasetError, match="can be read in two ways: as the splits test, train, or as the classes"):
        list_images(make(tmp_path / "a", *both("train", "test", of=("train", "test"))), None, ("train", "test"))
    with pytest.raises(DatasetError, match="unknown class folder 'owl'"):
        list_images(make(tmp_path / "b", *SPLITS, "extra/2.png"), None, ("owl", "cat"))


@pytest.mark.parametrize(
    ("one", "other"),
    [("cat", "cat "), ("caf\u00e9", "cafe\u0301"), ("big cat", "big  cat"), ("cat", "c\u200bat"), ("a b", "a\u00a0b")],
)
def test_classes_that_look_the_same_are_refused(tmp_path, one, other):
    folder = make(tmp_path, f"{one}/1.png", f"{other}/1.png", "dog/1.png")
    with pytest.raises(DatasetError, match="are different classes, and look the same; make one of them") as raised:
        list_images(folder, None, None)
    assert ascii(one) in str(raised.value) and ascii(other) in str(raised.value)
    with pytest.raises(DatasetError, match="look the same"):
        list_images(folder, None, (one, "dog"))


def test_classes_that_differ_in_capitals_are_said_once(tmp_path, caplog):
    folder = make(tmp_path, "Cat/1.png", "cat/1.png", "dog/1.png", "STRASSE/1.png", "stra\u00dfe/1.png")
    assert len(list_images(folder, None, None).class_names) == 5
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: 'Cat' and 'cat' are different classes; if they mean the same, make one of them",
        f"{tmp_path}: 'STRASSE' and 'stra\u00dfe' are different classes; if they mean the same, make one of them",
    ]
    caplog.clear()
    list_images(folder, None, ("cat", "dog"))
    (line,) = [record.getMessage() for record in caplog.records]
    assert "'Cat' and 'cat' are different, and only what `classes` names is used" in line


def draw(path, number, size=10):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(numpy.random.default_rng(number).integers(0, 256, (size, size), numpy.uint8)).save(path)


def draw_all(folder, count=24):
    for number in range(count):
        draw(folder / ("cat" if number % 2 else "dog") / f"{number:02d}.png", number)


def describe(root, **changes):
    content = {"title": "Pets", "layout": "folders", "licence": "own", "folder": "photos", "channels": 1} | changes
    text = yaml.safe_dump({key: value for key, value in content.items() if value is not None})
    (root / "config/datasets/pets.yaml").write_text(text)
    download(root, "pets")


def with_table(root, rows):
    (root / "photos/pets.csv").write_text("\n".join(["path,label,split,identity", *rows]))
    describe(root, layout="table", folder=None, csv="photos/pets.csv")


def test_each_class_in_each_split_however_images_are_divided(root):
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
    with_table(root, [f"{name},{name[:3]},{part}," for name, part in zip(names, parts, strict=True)])
    before = prepare(root, "pets", 8).read_bytes()
    parts = ["val" if number == 2 else "train" if number < 13 else "test" for number in range(24)]
    with_table(root, [f"{name},{name[:3]},{part}," for name, part in zip(names, parts, strict=True)])
    with pytest.raises(DatasetError, match="'pets' has no image for val of cat"):
        prepare(root, "pets", 8)
    owners = ["cat " + "abc"[number % 3] if number % 2 else "rex" for number in range(24)]
    with_table(root, [f"{name},{name[:3]},,{owner}" for name, owner in zip(names, owners, strict=True)])
    with pytest.raises(DatasetError, match="'pets' has no image for (train|val|test)"):
        prepare(root, "pets", 8)
    for number in range(16):
        part, kind = ("test" if number < 6 else "train"), ("cat" if number % 2 and number > 6 else "dog")
        draw(root / "official" / part / kind / f"{number}.png", number)
    describe(root, folder="official")
    with pytest.raises(DatasetError, match="'pets' has no image for test of cat"):
        prepare(root, "pets", 8)
    assert (root / "data/processed/pets/8/manifest.json").read_bytes() == before, "what was there stays"


def test_a_class_whose_images_are_copies_is_refused(root):
    draw_all(root / "photos")
    first, *others = sorted((root / "photos/cat").iterdir())
    for path in others:
        shutil.copy(first, path)
    describe(root)
    with pytest.raises(DatasetError, match="'pets' has no image for .* of cat"):
        prepare(root, "pets", 8)


def test_what_was_found_and_what_was_not_read_is_printed(root, caplog):
    caplog.set_level(logging.INFO)
    draw_all(root / "photos/pets")
    make(root / "photos/pets", "cat/.DS_Store", "cat/a.heic", "dog/b.heic", "dog/notes", "readme.txt", ".git/config")
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
        "pets: 2 of these have another class than the one that is kept; mend the labels: pets/cat/copy-2.png (cat) and"
        " pets/dog/02.png (dog), pets/cat/copy-4.png (cat) and pets/dog/04.png (dog)"
    )
    (counts,) = [line for line in lines if "split stratified by class" in line]
    assert re.search(r": train \d+ \(cat \d+, dog \d+\), val \d+ \(cat \d+, dog \d+\), test \d+ \(cat", counts)


def test_what_is_left_out_of_classes_and_splits_is_printed(tmp_path):
    folder = make(tmp_path, *SPLITS, "train/owl/1.png", "extra/1.png", "stray.png")
    assert list_images(folder, None, ("cat", "dog")).notes == (
        f"2 class folders in {tmp_path}, official split in test, train: cat, dog",
        "left out: the folders extra, owl; 1 images beside",
    )


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
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
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
    wrong = {
        "fotos": "folder",
        "pipe.csv": "csv",
        "photos/none.csv": "csv",
        "photos/cat/01.png": "folder",
        "photos": "csv",
    }
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
    make(root / "photos", "cat/notes.txt")
    assert not changed(), "no image"
    with_table(root, ["cat/03.png,cat,,", "dog/02.png,dog,,", "dog/none.png,dog,,"])
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
    with pytest.raises(DatasetError, match="photos/cat/private cannot be read: Permission denied; mend its"):
        prepare(root, "pets", 8)
    (root / "photos/cat/private").chmod(0o700)
