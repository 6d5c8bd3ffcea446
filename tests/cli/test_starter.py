"""`stylex init`: what it finds in a folder of images, what it refuses, and the files that it writes."""

import shutil
from pathlib import Path

import numpy
import own_classifiers as own
import pandas
import pytest
from PIL import Image

from stylex import starter
from stylex.cli import main
from stylex.config import ImportedClassifierConfig, load_backbone_config, load_oracle_config
from stylex.datasets import leaves, prepare
from stylex.project import load_project


@pytest.fixture
def here(root, monkeypatch) -> Path:
    monkeypatch.chdir(root)
    monkeypatch.setattr(starter, "MEASURED", 0.1)
    return root


@pytest.fixture
def photos(tmp_path) -> Path:
    """Forty drawn leaves as PNG files of 48x48, a folder a class."""
    folder = tmp_path / "Leaf photos"
    factors = leaves.sample_factors(40, 3)
    for number, (pixels, label) in enumerate(
        zip(leaves.draw_leaves(factors, 48), leaves.labels_of(factors), strict=True)
    ):
        path = folder / leaves.CLASSES[label] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.transpose(1, 2, 0)).save(path)
    return folder


def ended(*arguments: str) -> int:
    """Run the command line; return its exit code, which `main` gives for a mistake, and typer's end otherwise."""
    try:
        return main(list(arguments))
    except SystemExit as end:
        return int(end.code or 0)


def test_the_files_of_a_folder_are_a_valid_suite_whose_images_can_be_prepared(here, photos, capsys):
    assert ended("init", "--images", str(photos), "--minutes", "5") == 0
    printed = capsys.readouterr().out
    assert "40 images" in printed and "healthy: " in printed and "48 to 48 pixels" in printed
    assert "--name leaf-photos" in printed and "suite=leaf-photos" in printed
    (config,) = load_project(here, "leaf-photos").experiments.values()
    assert config.dataset.resolution == 32  # nobody enlarges 48 pixels to 64
    assert config.stylex.training.images % 1000 == 0 and config.stylex.training.augment
    assert config.evaluation.oracle == config.stylex.perceptual_backbone == "leaf-photos"
    for network in (load_backbone_config(here, "leaf-photos"), load_oracle_config(here, "leaf-photos")):
        assert (network.dataset, network.resolution) == ("leaf-photos", 32)
    assert '"shards"' in prepare_downloaded(here, "leaf-photos").read_text()


def prepare_downloaded(root, name):
    from stylex.datasets import download

    download(root, name)
    return prepare(root, name, 32)


def test_a_table_says_what_is_on_the_images_of_one_folder(here, photos, capsys):
    flat = photos.parent / "flat"
    flat.mkdir()
    lines = ["path,label"]
    for path in sorted(photos.rglob("*.png")):
        shutil.copy(path, flat / path.name)
        lines.append(f"{path.name},{path.parent.name}")
    (flat / "labels.csv").write_text("\n".join(lines))
    assert ended("init", "--images", str(flat), "--labels", str(flat / "labels.csv"), "--minutes", "1") == 0
    assert "raise --minutes" in capsys.readouterr().out
    assert '"shards"' in prepare_downloaded(here, "flat").read_text()


def test_odd_images_are_counted_and_named(photos):
    grey = numpy.zeros((64, 40), numpy.uint16)
    Image.fromarray(grey).save(photos / "sick" / "scan.png")
    Image.new("RGBA", (48, 48), (0, 0, 0, 0)).save(photos / "sick" / "clear.png")
    (photos / "sick" / "torn.png").write_bytes(b"not an image")
    notes = "\n".join(starter.look_at(photos, None).lines())
    assert "1 of 42 are 16 bits" in notes and "1 of 42 are transparent" in notes and "1 of 42 are not square" in notes
    assert "1 of 43 cannot be read" in notes and "torn.png" in notes


def test_grey_images_need_one_channel(photos):
    for path in photos.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    assert starter.look_at(photos, None).channels == 1


def test_the_resolution_is_the_largest_that_becomes_good_in_the_minutes(here, photos, monkeypatch):
    for path in photos.rglob("*.png"):
        Image.open(path).resize((96, 96)).save(path)
    found, rates = starter.look_at(photos, None), {64: 60.0, 32: 250.0}
    monkeypatch.setattr(starter, "measured_rate", lambda *given: rates[given[3].resolution])
    short, long = (starter.plan(here, "x", found, minutes, "cpu", None) for minutes in (10, 60))
    assert (short.preset.resolution, short.images) == (32, 90_000)  # 360 of 600 seconds
    assert (long.preset.resolution, long.images) == (64, 140_000)  # 65 % of an hour
    assert starter.plan(here, "x", found, 1000, "cpu", None).images == starter.MOST


REFUSED = {
    "no folder": (lambda photos: [str(photos / "none")], "no such folder"),
    "no image": (lambda photos: [str(emptied(photos))], "has no image"),
    "one class": (lambda photos: [str(without(photos, "sick"))], "two or more"),
    "a bad name": (lambda photos: [str(photos), "--name", "Ä B"], "--name 'Ä B'"),
    "a name that is taken": (lambda photos: [str(photos), "--name", "mnist"], "config/experiments/mnist.yaml"),
    "no table": (lambda photos: [str(photos), "--labels", "none.csv"], "--labels none.csv"),
    "unlabelled": (lambda photos: [str(photos / "sick")], "one folder per class"),
}


def emptied(photos):
    for path in photos.rglob("*.png"):
        path.unlink()
    return photos


def without(photos, name):
    shutil.rmtree(photos / name)
    return photos


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_one_line_and_leaves_nothing(here, photos, capsys, case):
    arguments, named = REFUSED[case]
    before = sorted((here / "config").rglob("*"))
    assert ended("init", "--images", *arguments(photos)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert named in line, line
    assert sorted((here / "config").rglob("*")) == before


@pytest.fixture
def discs(tmp_path) -> Path:
    """PNG files of three classes that the classifier of own_classifiers.py knows, a folder a class."""
    own.write_pngs(tmp_path / "discs", 90)
    return tmp_path / "discs"


DECLARED = [
    "--declare", "output=logits", "--declare", "inputs.range=0..1",
    "--declare", f"inputs.mean={list(own.MEAN)}", "--declare", f"inputs.sd={list(own.SD)}",
]  # fmt: skip


def test_a_classifier_of_ones_own_is_checked_and_explained_as_it_is(here, discs, capsys):
    file = own.save_torchscript(here / "own.pt", own.trained())
    assert ended("init", "--images", str(discs), "--classifier", str(file), "--minutes", "1", *DECLARED) == 0
    printed = capsys.readouterr().out
    assert "as in TorchScript" in printed and "accuracy: " in printed
    (config,) = load_project(here, "discs").experiments.values()
    assert isinstance(config.classifier, ImportedClassifierConfig)
    assert config.classifier.classes == sorted(own.CLASSES)  # as the folders are called
    assert config.attfind.threshold_margins == 2


def test_without_labels_the_classifiers_decisions_are_the_classes(here, discs, tmp_path, capsys):
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in discs.rglob("*.png"):
        shutil.copy(path, flat / f"{path.parent.name}-{path.name}")
    file = own.save_torchscript(here / "own.pt", own.trained())
    classes = ["--declare", f"classes={list(own.CLASSES)}"]
    arguments = ["--images", str(flat), "--classifier", str(file), "--minutes", "1", *DECLARED, *classes]
    assert ended("init", *arguments) == 0
    assert "Its decisions are the classes" in capsys.readouterr().out
    rows = pandas.read_csv(here / "config/datasets/flat.csv")
    right = [Path(path).name.startswith(label) for path, label in zip(rows["path"], rows["label"], strict=True)]
    assert len(rows) == 90 and sum(right) > 80
    assert '"shards"' in prepare_downloaded(here, "flat").read_text()


@pytest.mark.parametrize(
    ("declared", "named"),
    [
        (["output=logits"], "classifier.inputs.range"),
        (["output=logits", "inputs.range=0..255"], "classifier.inputs.range is probably 0..1"),
        (["output=logits", "inputs.rnge=0..1"], "did you mean 'range'?"),
        (["output"], "--declare output"),
        (["inputs.mean=[0.4"], "--declare inputs.mean=[0.4: "),
        (["inputs=3", "inputs.range=0..1", "otput=logits"], "did you mean 'output'?"),
    ],
)
def test_a_wrong_declaration_is_named_and_nothing_is_written(here, discs, capsys, declared, named):
    file = own.save_torchscript(here / "own.pt", own.trained())
    given = [*DECLARED[4:], *(text for each in declared for text in ("--declare", each))]
    assert ended("init", "--images", str(discs), "--classifier", str(file), "--minutes", "1", *given) == 2
    *_, line = capsys.readouterr().err.strip().splitlines()
    assert named in line, line
    assert not (here / "config/datasets/discs.yaml").exists()
