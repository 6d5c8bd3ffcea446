"""config/datasets/<name>.yaml: what it may say, and what a mistake in it says."""

import pytest
import yaml

from stylex.artifacts import write_json
from stylex.config import DatasetConfig, DatasetPaths
from stylex.datasets import dataset_names, dataset_spec, validate_dataset
from stylex.datasets.catalog import Source
from stylex.datasets.transfer import PinnedFile
from stylex.errors import ConfigError

FILES = [{"name": "pets.zip", "size": 10, "md5": "0" * 32}]
MIRRORS = {"label": "the authors' server", "mirrors": ["https://example.org/pets/"], "files": FILES}
PETS = {
    "title": "Pets",
    "layout": "folders",
    "licence": "CC BY 4.0",
    "access": "sign the form",
    "sources": [MIRRORS, {"label": "Kaggle", "kaggle": "owner/pets", "files": FILES}],
}


def write(root, name="pets", **changes):
    content = {key: value for key, value in (PETS | changes).items() if value is not None}
    path = root / "config" / "datasets" / f"{name}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(content))


FORM = {"label": "the authors", "page": "https://example.org/pets", "steps": "sign the form"}


def test_a_file_is_a_dataset(root):
    write(root)
    spec = dataset_spec(root, "pets")
    pin = PinnedFile("pets.zip", 10, md5="0" * 32)
    assert spec.sources == (
        Source("the authors' server", (pin,), mirrors=("https://example.org/pets/",)),
        Source("Kaggle", (pin,), kaggle="owner/pets"),
    )
    write(root, sources=[{"label": "npm", "npm": ["@owner/pets@1.0.0"], "files": [FILES[0] | {"members": ["*.png"]}]}])
    packed = PinnedFile("pets.zip", 10, md5="0" * 32, members=("*.png",))
    assert dataset_spec(root, "pets").sources == (Source("npm", (packed,), npm=("@owner/pets@1.0.0",)),)
    write(root, sources=[FORM | {"files": FILES}])
    assert dataset_spec(root, "pets").sources == (Source(**FORM, files=(pin,)),)
    write(root, sources=None, folder="/photos")
    assert dataset_spec(root, "pets").sources == (Source("own images: /photos"),)
    assert (spec.title, spec.channels, spec.class_names, spec.raw) == ("Pets", 3, None, "pets")
    assert {"pets", "mnist", "leaves"} <= set(dataset_names(root))


def test_two_datasets_share_their_downloads(root):
    write(root)
    write(root, "pets-age", sources=None, access=None, raw="pets", label="age")
    spec = dataset_spec(root, "pets-age")
    assert (spec.raw, spec.access) == ("pets", "sign the form")
    assert spec.sources == dataset_spec(root, "pets").sources


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": "folder"}, "layout: unknown layout 'folder'; did you mean 'folders'"),
        ({"lisence": "MIT"}, "lisence = 'MIT': unknown key 'lisence'; did you mean 'licence'"),
        ({"shares": {"val": 0.2, "tets": 0.2}}, "shares.tets = 0.2: unknown key 'tets'; did you mean 'test'"),
        ({"shares": {"train": 0.5, "val": 0.2, "test": 0.2}}, "train, val and test must add up to 1"),
        ({"shares": {"official": True, "val": 0.2, "test": 0.2}}, "official excludes train and test"),
        ({"folder": "photos"}, "exactly one of sources, raw, folder and csv"),
        ({"sources": None}, "exactly one of sources, raw, folder and csv"),
        ({"sources": None, "csv": "a.csv"}, "csv needs layout: table"),
        ({"sources": [{**MIRRORS, "kaggle": "a/b"}]}, "one of mirrors, kaggle, npm and page"),
        ({"sources": [{"label": "npm", "npm": ["a@1", "b@1"], "files": FILES}]}, "one package for each file that"),
        ({"sources": [{"label": "npm", "npm": ["pets"], "files": FILES}]}, r"npm\.0 = 'pets'"),
        ({"sources": [{"label": "a form", "page": "https://example.org", "files": FILES}]}, "page and steps belong"),
        ({"sources": [{**MIRRORS, "mirors": []}]}, r"sources\.0\.mirors = \[\]: .*did you mean 'mirrors'"),
        ({"sources": [{**MIRRORS, "mirrors": ["https://example.org"]}]}, "is not of the form https"),
        ({"sources": [{**MIRRORS, "files": FILES * 2}]}, "a file is listed twice"),
        ({"sources": [{**MIRRORS, "files": [{"name": "../x", "size": 1}]}]}, "a file name goes here"),
        ({"classes": ["cat", "cat"]}, "a class is listed twice"),
        ({"sources": None, "raw": "pets"}, "raw: unknown dataset of config/datasets 'pets'"),
        ({"sources": None, "raw": "mnist"}, "raw: unknown dataset of config/datasets 'mnist'"),
        ({"sources": None, "raw": "own"}, "raw = 'own' has no sources of its own"),
    ],
)
def test_mistakes(root, changes, message):
    write(root, "own", sources=None, folder="photos")
    write(root, **changes)
    with pytest.raises(ConfigError, match=rf"config/datasets/pets\.yaml: .*{message}"):
        dataset_spec(root, "pets")


def test_names(root):
    write(root, "mnist")
    with pytest.raises(ConfigError, match=r"mnist\.yaml: 'mnist' is a built-in dataset"):
        dataset_spec(root, "mnist")
    write(root, "My pets")
    with pytest.raises(ConfigError, match="'My pets' is no name of a dataset"):
        dataset_spec(root, "My pets")


def test_classes_are_checked_when_they_are_known(root):
    asked = DatasetConfig(name="pets", resolution=32, classes=["cat", "dgo"])
    write(root)
    validate_dataset(root, asked)
    write_json(DatasetPaths(root, "pets").manifest(32), {"class_names": ["cat", "dog"]})
    with pytest.raises(ConfigError, match="dataset.classes: unknown class of pets 'dgo'; did you mean 'dog'"):
        validate_dataset(root, asked)
    write(root, classes=["cow", "dog"])
    with pytest.raises(ConfigError, match="unknown class of pets 'cat'"):
        validate_dataset(root, asked)
