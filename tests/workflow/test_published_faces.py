"""CelebA, FFHQ and AFHQ through the rules a user runs: download, prepare, a classifier of a few steps.

The descriptions are the shipped ones; the archives are miniatures of the published layout, so that addresses, sizes and
digests are replaced, and nothing else.
"""

import functools
import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy
import pytest
import yaml
from PIL import Image

from stylex.config import DatasetPaths, ExperimentPaths

COUNT = 10  # images of a class and part
BACKBONE = {"extends": "backbone-32", "epochs": 1}
EXPERIMENT = {
    "extends": "cpu-32",
    "title": "A test",
    "domain": "Test",
    "classifier": {"epochs": 1, "batch_size": 8, "min_accuracy": 0.0},
}
TRAINED = ("celeba-gender", "ffhq-age", "afhq-cats-dogs", "afhq-wild")
QUESTIONS = ("celeba-gender", "celeba-age", "ffhq-gender", "ffhq-age", "afhq-cats-dogs", "afhq-wild")

pytestmark = pytest.mark.slow


def picture(number: int, size: tuple[int, int], kind: str = "JPEG") -> bytes:
    """A picture of its own for every number: preparation keeps one of several that are the same."""
    colours = numpy.random.default_rng(number).integers(0, 256, (4, 4, 3), numpy.uint8)
    stream = io.BytesIO()
    Image.fromarray(colours).resize(size, Image.Resampling.NEAREST).save(stream, kind)
    return stream.getvalue()


def archive(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as target:
        for name, content in files.items():
            target.writestr(name, content)
    return stream.getvalue()


@functools.cache  # an archive has the time in it
def celeba() -> dict[str, bytes]:
    """Thirty aligned faces: every second one a man, the first of every three old, a person every two images."""
    names = [f"{number:06d}.jpg" for number in range(1, 3 * COUNT + 1)]
    signs = [(number % 2 * 2 - 1, 1 if number % 3 else -1) for number in range(len(names))]
    rows = "".join(f"{name} {male:2d} {young:2d}\n" for name, (male, young) in zip(names, signs, strict=True))
    return {
        "img_align_celeba.zip": archive(
            {f"img_align_celeba/{name}": picture(number, (178, 218)) for number, name in enumerate(names)}
        ),
        "list_attr_celeba.txt": f"{len(names)}\nMale Young \n{rows}".encode(),
        "list_eval_partition.txt": "".join(f"{name} {at // COUNT}\n" for at, name in enumerate(names)).encode(),
        "identity_CelebA.txt": "".join(f"{name} {at // 2}\n" for at, name in enumerate(names)).encode(),
    }


@functools.cache
def ffhq() -> dict[str, bytes]:
    """Forty faces of the resized copy; those of even numbers are men, and of every four two are young."""
    numbers = range(4 * COUNT)
    ages = ("3-6", "30-39", "40-49", "70-120")
    rows = [f"{at},{ages[at // 2 % 4]},0.9,{('male', 'female')[at % 2]},1,0,0,0,0,0,None" for at in numbers]
    header = (
        "image_number,age_group,age_group_confidence,gender,gender_confidence,head_pitch,head_roll,head_yaw,"
        "left_eye_occluded,right_eye_occluded,glasses"
    )
    images = {f"resized/{number:05d}.jpg": picture(100 + number, (256, 256)) for number in numbers}
    return {
        "flickrfaceshq-dataset-nvidia-resized-256px.zip": archive(images),
        "ffhq_aging_labels.csv": "\n".join([header, *rows, ""]).encode(),
    }


@functools.cache
def afhq() -> dict[str, bytes]:
    animals = [
        f"afhq/{part}/{domain}/flickr_{domain}_{number:06d}.jpg"
        for first, part in enumerate(("train", "val"))
        for domain in ("cat", "dog", "wild")
        for number in range(first * 2 * COUNT, (first + 2) * COUNT)
    ]
    return {"afhq.zip": archive({name: picture(200 + at, (512, 512)) for at, name in enumerate(animals)})}


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Iterator[str]:
    """The address of a folder with all published files, served from here."""
    folder = tmp_path_factory.mktemp("published")
    for name, content in (celeba() | ffhq() | afhq()).items():
        (folder / name).write_bytes(content)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def project(computing, published):
    """The project with these sources served from here, and an experiment and a backbone a question."""
    config, files = computing.root / "config", celeba() | ffhq() | afhq()
    for path in (config / "datasets").glob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        for source in content.get("sources", ()):
            source |= {"mirrors": [published]} if "mirrors" in source else {}
            for file in source["files"]:
                if body := files.get(file["name"]):
                    file |= {"mirrors": [published]} if "mirrors" in file else {}
                    file |= {"sha256": hashlib.sha256(body).hexdigest()} if "sha256" in file else {}
                    file |= {"md5": hashlib.md5(body).hexdigest()} if "md5" in file else {}
                    file |= {"size": len(body)} if "size" in file else {}
        path.write_text(yaml.safe_dump(content))
    for name in QUESTIONS:
        experiment = EXPERIMENT | {"dataset": {"name": name}, "stylex": {"perceptual_backbone": name}}
        (config / "backbones" / f"{name}.yaml").write_text(yaml.safe_dump(BACKBONE | {"dataset": name}))
        (config / "experiments" / f"{name}.yaml").write_text(yaml.safe_dump(experiment))
    explained = {"extends": "ffhq-gender", "classifier_of": "celeba-gender"}
    (config / "experiments" / "ffhq-by-celeba.yaml").write_text(yaml.safe_dump(explained))
    suite = {"title": "A test", "experiments": [*QUESTIONS, "ffhq-by-celeba"], "tables": ["classifiers"]}
    (config / "suites" / "faces.yaml").write_text(yaml.safe_dump(suite))
    (config / "config.yaml").write_text("suite: faces\n")
    return computing


def put(project, dataset: str, files: dict[str, bytes]) -> None:
    """Do what a person is told to do."""
    folder = DatasetPaths(project.root, dataset).raw
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def metrics_of(name: str) -> str:
    return str(ExperimentPaths(Path(), name).classifier.metrics)


def targets() -> list[str]:
    """Every dataset prepared, and a classifier of some: each costs seconds to import torch."""
    return [str(DatasetPaths(Path(), name).manifest(32)) for name in QUESTIONS] + [metrics_of(name) for name in TRAINED]


def manifest_of(project, name: str) -> dict:
    return json.loads(DatasetPaths(project.root, name).manifest(32).read_text())


@pytest.fixture(scope="module")
def refused(project) -> str:
    """What the user is told of the files that only a person can get."""
    result = project.snakemake("--keep-going", *targets())
    assert result.returncode == 1
    return " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def prepared(project, refused):
    """The project after the person has done so, and the same command again."""
    put(project, "celeba-gender", celeba())
    put(project, "ffhq-gender", {name: body for name, body in ffhq().items() if name.endswith(".zip")})
    cats = ("lion", "tiger", "leopard", "cheetah")
    last = 3 * COUNT - 1
    kinds = [cats[number % 4] if number < last else "wolf" for number in range(last + 1)]
    wild = [f"flickr_wild_{number:06d},{kind}" for number, kind in enumerate(kinds)]
    put(project, "afhq-cats-dogs", {"species.csv": "\n".join(["file,species", *wild, ""]).encode()})
    result = project.snakemake(*targets())
    assert result.returncode == 0, result.stderr
    return project


def test_what_a_person_must_do_is_said(refused):
    assert "'celeba-gender' has to be fetched by hand: missing img_align_celeba.zip" in refused
    assert "on https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html accept the agreement" in refused
    assert "Kaggle, xhlulu/flickrfaceshq-dataset-nvidia-resized-256px needs Kaggle's client" in refused
    assert "species.csv does not exist: AFHQ does not tell species" in refused


def test_the_official_parts_of_celeba(prepared):
    manifest = manifest_of(prepared, "celeba-gender")
    assert manifest["class_names"] == ["female", "male"] and manifest["preparation"]["splits"] == "official"
    assert manifest["counts"] == dict.fromkeys(("train", "val", "test"), {"female": COUNT // 2, "male": COUNT // 2})
    assert manifest_of(prepared, "celeba-age")["counts"]["train"] == {"old": 4, "young": 6}
    assert "non-commercial research only" in manifest["access"]


def test_ffhq_is_divided_by_our_shares(prepared):
    for name, first in (("ffhq-gender", "female"), ("ffhq-age", "old")):
        manifest = manifest_of(prepared, name)
        counts = {split: sum(classes.values()) for split, classes in manifest["counts"].items()}
        assert counts == {"train": 28, "val": 6, "test": 6} and manifest["class_names"][0] == first


def test_the_test_set_of_afhq_is_held_out(prepared):
    manifest = manifest_of(prepared, "afhq-cats-dogs")
    assert manifest["counts"]["test"] == {"cat": COUNT, "dog": COUNT}
    assert manifest["counts"]["train"] == {"cat": 18, "dog": 18}
    wild = manifest_of(prepared, "afhq-wild")["counts"]
    counts = {split: sum(classes.values()) for split, classes in wild.items()}
    assert counts == {"train": 16, "val": 4, "test": COUNT - 1}
    assert list(wild["train"]) == ["cheetah", "leopard", "lion", "tiger"]


def test_the_classifiers_were_trained(prepared):
    for name in TRAINED:
        metrics = json.loads((prepared.root / metrics_of(name)).read_text())
        assert metrics["class_names"] == manifest_of(prepared, name)["class_names"] and metrics["train_n"] >= COUNT


def test_the_classifier_of_celeba_explains_ffhq(prepared):
    """[V] 4.2: what is left to do for it begins with StylEx's own training."""
    model = ExperimentPaths(Path(), "ffhq-by-celeba").stylex_model
    assert prepared.planned(str(model)) == {"backbone": 1, "train": 1}
