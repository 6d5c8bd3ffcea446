"""A dataset of image files goes through the rules that a user runs: download, prepare, classifier."""

import hashlib
import io
import os
import zipfile

import numpy
import pytest
from PIL import Image

from stylex.artifacts import read_json
from stylex.config import DatasetPaths, ExperimentPaths
from stylex.errors import ConfigError
from stylex.project import load_project
from tests.workflow.conftest import Project, copy_project

pytestmark = pytest.mark.slow

PETS = {"title": "Pets", "layout": "folders", "licence": "CC0", "access": "sign the form"}
SUITE = {"title": "One", "experiments": ["tiny"], "tables": ["classifiers"]}
COUNT = 32


def picture(index: int) -> bytes:
    """A cat is brighter than a dog."""
    random = numpy.random.default_rng(index)
    file = io.BytesIO()
    values = random.integers(0, 96, (34, 40, 3)) + 128 * (index % 2)
    Image.fromarray(values.astype(numpy.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def pictures() -> dict[str, bytes]:
    """Images by the path below their class folder."""
    return {f"{'cat' if index % 2 else 'dog'}/{index}.png": picture(index) for index in range(COUNT)}


def write(folder, pictures):
    for name, body in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(body)


@pytest.fixture
def project(tmp_path) -> Project:
    return copy_project(tmp_path / "project")


def classified(project, described, **question):
    """Take a dataset through download, prepare and classifier, as a user does; return its manifest and the metrics."""
    project.write_config("datasets/pets", described)
    changes = {"dataset": {"name": "pets", **question}, "classifier.epochs": 1, "classifier.min_accuracy": 0.0}
    project.configure_tiny(SUITE, changes)
    paths = ExperimentPaths(project.root, "tiny").classifier
    project.compute(str(paths.model.relative_to(project.root)))
    return read_json(DatasetPaths(project.root, "pets").manifest(32)), read_json(paths.metrics)


def rerun(project):
    return set(project.planned("--", "data/processed/pets/32/manifest.json"))


def test_a_downloaded_archive(project, pictures, serve):
    folder, address = serve
    with zipfile.ZipFile(folder / "pets.zip", "w") as archive:
        for name, body in pictures.items():
            archive.writestr(f"pets/{name}", body)
    body = (folder / "pets.zip").read_bytes()
    pin = {"name": "pets.zip", "size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    source = {"label": "loopback", "mirrors": [address], "files": [pin]}
    manifest, metrics = classified(project, PETS | {"sources": [source]})
    assert (manifest["licence"], manifest["access"], manifest["source"]["name"]) == ("CC0", "sign the form", "loopback")
    assert sum(sum(each.values()) for each in manifest["counts"].values()) == COUNT
    assert metrics["class_names"] == ["cat", "dog"] and metrics["n"] == sum(manifest["counts"]["test"].values())
    project.edit("config/datasets/pets.yaml", "label: loopback", "label: elsewhere")
    assert rerun(project) == {"download", "prepare"}


def test_a_folder_of_ones_own(project, pictures, tmp_path):
    write(tmp_path / "photos", pictures)
    (tmp_path / "photos/cat/up").symlink_to("..")  # round and round, past the dogs
    own = PETS | {"folder": str(tmp_path / "photos"), "shares": {"train": 0.5, "val": 0.25, "test": 0.25}}
    manifest, metrics = classified(project, own, classes=["dog", "cat"])
    counts = {split: sum(each.values()) for split, each in manifest["counts"].items()}
    assert counts == {"train": 16, "val": 8, "test": 8}
    assert manifest["counts"]["test"] == {"cat": 4, "dog": 4} and manifest["duplicates"]["dropped"] == 0
    assert metrics["class_names"] == ["dog", "cat"]
    assert not list((project.root / "data/raw/pets").glob("*.png"))
    assert rerun(project) == set()
    os.utime(tmp_path / "photos/cat/1.png")
    assert rerun(project) == {"prepare"}
    project.compute("--", "data/processed/pets/32/manifest.json")
    assert project.planned("--", "results/experiments/tiny/classifier/model.safetensors") == {}, "the same bytes"
    write(tmp_path / "photos", {"cat/new.png": picture(99)})
    assert rerun(project) == {"prepare"}
    project.edit("config/experiments/tiny.yaml", "- cat", "- cta")
    with pytest.raises(ConfigError, match=r"tiny\.yaml: dataset\.classes: unknown class of pets 'cta'; did you mean"):
        load_project(project.root)


def test_a_table_of_ones_own(project, pictures, tmp_path):
    write(tmp_path / "photos", pictures)
    table = tmp_path / "photos/images.csv"
    rows = [f"{name},{name[:3]},number {index % 16}" for index, name in enumerate(pictures)]
    table.write_text("\n".join(["path,species,identity", *rows]))
    own = PETS | {"layout": "table", "csv": str(table), "label": "species", "channels": 1}
    manifest, metrics = classified(project, own, one_vs_rest="cat")
    assert manifest["preparation"]["splits"] == "by identity" and manifest["channels"] == 1
    assert metrics["class_names"] == ["rest", "cat"]
    table.write_text(table.read_text().replace("0.png,dog", "0.png,cat"))
    assert rerun(project) == {"prepare"}
