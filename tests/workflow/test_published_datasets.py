"""The shipped descriptions through the rules a user runs: download, prepare, a classifier of a few steps.

The archives are miniatures of the published layout: addresses, sizes and digests are replaced, and nothing else.
"""

import functools
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
import yaml
from PIL import Image

from stylex.config import DatasetPaths, ExperimentPaths
from stylex.datasets import load_all_classes
from tests.builders import serving, tgz

ROOT = Path(__file__).parents[2]
COUNT = 10  # images of a class and part
BIRDS = ("brewer-blackbird", "mallard", "winter-wren")
TRAINED = ("celeba-gender", "ffhq-age", "afhq-cats-dogs", "afhq-wild", "plantvillage", "cub-200-2011", "messidor-2")
PREPARED = (*TRAINED, "celeba-age", "ffhq-gender")
EXPERIMENT = {
    "extends": "cpu-32",
    "title": "A test",
    "domain": "Test",
    "classifier": {"epochs": 1, "batch_size": 8, "min_accuracy": 0.0},
}

pytestmark = pytest.mark.slow


def picture(seed: int, size: tuple[int, int] = (40, 30), kind: str = "JPEG") -> bytes:
    """A picture of its own for every seed: preparation keeps one of several that are the same."""
    colours = numpy.random.default_rng(seed).integers(0, 256, (4, 4, 3), numpy.uint8)
    stream = io.BytesIO()
    Image.fromarray(colours).resize(size, Image.Resampling.NEAREST).save(stream, kind)
    return stream.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def celeba() -> dict[str, bytes]:
    """Thirty aligned faces: every second one a man, the first of every three old, a person every two images."""
    names = [f"{number:06d}.jpg" for number in range(1, 3 * COUNT + 1)]
    signs = [(number % 2 * 2 - 1, 1 if number % 3 else -1) for number in range(len(names))]
    rows = "".join(f"{name} {male:2d} {young:2d}\n" for name, (male, young) in zip(names, signs, strict=True))
    return {
        "img_align_celeba.zip": zipped(
            {f"img_align_celeba/{name}": picture(number, (178, 218)) for number, name in enumerate(names)}
        ),
        "list_attr_celeba.txt": f"{len(names)}\nMale Young \n{rows}".encode(),
        "list_eval_partition.txt": "".join(f"{name} {at // COUNT}\n" for at, name in enumerate(names)).encode(),
        "identity_CelebA.txt": "".join(f"{name} {at // 2}\n" for at, name in enumerate(names)).encode(),
    }


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
        "flickrfaceshq-dataset-nvidia-resized-256px.zip": zipped(images),
        "ffhq_aging_labels.csv": "\n".join([header, *rows, ""]).encode(),
    }


def afhq() -> dict[str, bytes]:
    animals = [
        f"afhq/{part}/{domain}/flickr_{domain}_{number:06d}.jpg"
        for first, part in enumerate(("train", "val"))
        for domain in ("cat", "dog", "wild")
        for number in range(first * 2 * COUNT, (first + 2) * COUNT)
    ]
    return {"afhq.zip": zipped({name: picture(200 + at, (512, 512)) for at, name in enumerate(animals)})}


def species() -> dict[str, bytes]:
    """What a person has to write: the species of the wild animals, one of them a wolf."""
    cats, last = ("lion", "tiger", "leopard", "cheetah"), 3 * COUNT - 1
    rows = [f"flickr_wild_{at:06d},{cats[at % 4] if at < last else 'wolf'}" for at in range(last + 1)]
    return {"species.csv": "\n".join(["file,species", *rows, ""]).encode()}


def plantvillage() -> dict[str, bytes]:
    """80 photographs of 40 leaves."""
    folders = ("Apple___Apple_scab", "Apple___healthy", "Corn_(maize)___Common_rust_", "Tomato___healthy")
    files, leaves = {}, {}
    for index in range(80):
        folder, name = folders[index % 4], f"leaf {index % 4} {index // 8}-{index}"
        files[f"raw/color/{folder}/{index:08x}-d81a-4184-8541-b692b78d398a___{name}.JPG"] = picture(400 + index)
        files[f"raw/segmented/{folder}/{index:08x}___{name}_final_masked.jpg"] = picture(500 + index)
        leaves[name.lower()] = [f"{folder}:::{index // 8}.0"]
    return {"data.zip": zipped(files), "leaf-map.json": json.dumps(leaves).encode()}


def cub() -> dict[str, bytes]:
    """20 photographs of each of three of the 200 species, half of them for testing."""
    names = yaml.safe_load((ROOT / "config/datasets/cub-200-2011.yaml").read_text())["classes"]
    published = {name: f"{number:03d}.{name.title().replace('-', '_')}" for number, name in enumerate(names, 1)}
    files, lines = {}, {name: [] for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes")}
    for number in range(1, 61):
        folder = published[BIRDS[number % 3]]
        image = f"{folder}/{folder[4:]}_{number:04d}_{number}.jpg"
        files[f"images/{image}"] = picture(600 + number)
        line = {"images": image, "image_class_labels": int(folder[:3]), "train_test_split": number // 3 % 2}
        for name, value in (line | {"bounding_boxes": "5.0 4.0 20.0 10.0"}).items():
            lines[name].append(f"{number} {value}")
    lines["classes"] = [f"{int(folder[:3])} {folder}" for folder in published.values()]
    tables = {f"{name}.txt": "\n".join(rows).encode() for name, rows in lines.items()}
    archive = {f"CUB_200_2011/{name}": content for name, content in (files | tables).items()}
    return {"CUB_200_2011.tgz": tgz({"attributes.txt": b"1 has_bill_shape::curved\n"} | archive)}


def messidor2() -> dict[str, bytes]:
    """Both eyes of 40 patients; of one eye there is no grade."""
    pairs, pictures = ["left;right "], {}
    grades = ["image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable"]
    for patient in range(40):
        suffix, kind = (".png", "PNG") if patient % 2 else (".JPG", "JPEG")
        eyes = [f"IM{patient:05d}{eye}{suffix}" for eye in (0, 1)]
        pairs.append(";".join(eyes))
        for eye, name in enumerate(eyes):
            pictures[f"IMAGES/{name}"] = picture(700 + 2 * patient + eye, kind=kind)
            grade = ",,0" if patient == eye == 0 else f"2,{patient // 2 % 2},1"
            grades.append(f"{name.replace('JPG', 'jpg')},{grade}")
    table = {"messidor_data.csv": "\n".join(grades).encode(), "messidor_readme.txt": b"Krause et al."}
    return {
        "IMAGES.zip": zipped(pictures),
        "messidor-2.csv": "\n".join(pairs).encode(),
        "messidor2-dr-grades.zip": zipped(table),
    }


@functools.cache  # an archive has the time in it
def files_of(dataset: str) -> dict[str, bytes]:
    makers = {
        "celeba-gender": celeba, "ffhq-gender": ffhq, "afhq-cats-dogs": afhq, "plantvillage": plantvillage,
        "cub-200-2011": cub, "messidor-2": messidor2,
    }  # fmt: skip
    return makers[dataset]() if dataset in makers else {}


@pytest.fixture(scope="module")
def project(computing, tmp_path_factory) -> Iterator:
    """The project with these sources served from here, and an experiment and a backbone for each dataset."""
    folder, config = tmp_path_factory.mktemp("published"), computing.root / "config"
    with serving(folder) as address:
        for path in (config / "datasets").glob("*.yaml"):
            serve_sources(path, folder, [address])
        for name in PREPARED:
            dataset = {"name": name} | ({"classes": list(BIRDS)} if name == "cub-200-2011" else {})
            experiment = EXPERIMENT | {"dataset": dataset, "stylex": {"perceptual_backbone": name}}
            computing.write_config(f"backbones/{name}", {"extends": "backbone-32", "epochs": 1, "dataset": name})
            computing.write_config(f"experiments/{name}", experiment)
        explained = {"extends": "ffhq-gender", "classifier_of": "celeba-gender"}
        computing.write_config("experiments/ffhq-by-celeba", explained)
        suite = {"title": "A test", "experiments": [*PREPARED, "ffhq-by-celeba"], "tables": ["classifiers"]}
        computing.write_config("suites/photographs", suite)
        computing.write_config("config", {"suite": "photographs"})
        yield computing


def serve_sources(path: Path, folder: Path, mirrors: list[str]) -> None:
    """Write the files of a dataset into the folder of a server, and their addresses, sizes and digests into its own."""
    content, files = yaml.safe_load(path.read_text()), files_of(path.stem)
    for name, body in files.items():
        (folder / name).write_bytes(body)
    for source in content.get("sources", ()):
        source |= {"mirrors": mirrors} if "mirrors" in source else {}
        for file in source["files"]:
            if body := files.get(file["name"]):
                known = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "mirrors": mirrors}
                known["md5"] = hashlib.md5(body).hexdigest()
                file |= {key: value for key, value in known.items() if key in file}
    path.write_text(yaml.safe_dump(content))


def put(project, dataset: str, files: dict[str, bytes]) -> None:
    """Do what a person is told to do."""
    folder = DatasetPaths(project.root, dataset).raw
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def metrics_of(name: str) -> str:
    return str(ExperimentPaths(Path(), name).classifier.metrics)


def manifest_of(project, name: str) -> dict:
    return json.loads(DatasetPaths(project.root, name).manifest(32).read_text())


# Every dataset prepared, and a classifier of some: each costs seconds to import torch.
TARGETS = [str(DatasetPaths(Path(), name).manifest(32)) for name in PREPARED] + [metrics_of(name) for name in TRAINED]


@pytest.fixture(scope="module")
def refused(project) -> str:
    """What the user is told of the files that only a person can get."""
    result = project.snakemake("--keep-going", *TARGETS)
    assert result.returncode == 1
    return " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def prepared(project, refused):
    """The project after the person has done so, and the same command again."""
    for name in ("celeba-gender", "ffhq-gender", "messidor-2"):
        put(project, name, files_of(name))
    put(project, "afhq-cats-dogs", species())
    project.compute(*TARGETS)
    return project


def images_of(project, name: str) -> dict[str, list[str]]:
    """The ids of the images of each split."""
    return {split: load_all_classes(project.root, name, 32, split).ids for split in ("train", "val", "test")}


def test_what_a_person_must_do_is_said(refused):
    assert "'celeba-gender' has to be fetched by hand: missing img_align_celeba.zip" in refused
    assert "on https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html accept the agreement" in refused
    assert "Kaggle, xhlulu/flickrfaceshq-dataset-nvidia-resized-256px needs Kaggle's client" in refused
    assert "species.csv does not exist: AFHQ does not tell species" in refused
    assert "'messidor-2' has to be fetched by hand: missing IMAGES.zip" in refused


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
    assert {split: sum(counts.values()) for split, counts in wild.items()} == {"train": 16, "val": 4, "test": COUNT - 1}
    assert list(wild["train"]) == ["cheetah", "leopard", "lion", "tiger"]


def test_plantvillage_keeps_the_photographs_of_a_leaf_together(prepared):
    assert manifest_of(prepared, "plantvillage")["class_names"] == ["healthy", "sick"]
    images = images_of(prepared, "plantvillage")
    leaves = {split: {name.split("___")[-1].split("-")[0] for name in ids} for split, ids in images.items()}
    assert {split: len(found) for split, found in leaves.items()} == {"train": 28, "val": 8, "test": 4}
    assert len(set.union(*leaves.values())) == 40, "no leaf is in two splits"


def test_cub_keeps_its_test_split(prepared):
    manifest, images = manifest_of(prepared, "cub-200-2011"), images_of(prepared, "cub-200-2011")
    assert len(manifest["class_names"]) == 200 and manifest["preparation"]["crop"] == "box of the dataset"
    assert {split: len(ids) for split, ids in images.items()} == {"train": 27, "val": 3, "test": 30}
    assert {int(name.removesuffix(".jpg").split("_")[-1]) // 3 % 2 for name in images["test"]} == {0}


def test_messidor2_keeps_both_eyes_together(prepared):
    images = images_of(prepared, "messidor-2")
    assert manifest_of(prepared, "messidor-2")["class_names"] == ["non-dme", "dme"]
    patients = {split: {name[:-1] for name in ids} for split, ids in images.items()}
    assert {split: len(found) for split, found in patients.items()} == {"train": 28, "val": 6, "test": 6}
    assert len(set.union(*patients.values())) == 40, "no patient is in two splits"
    assert sum(map(len, images.values())) == 79, "the picture without a grade is left out"


def test_the_classifiers_were_trained(prepared):
    for name in TRAINED:
        metrics = json.loads((prepared.root / metrics_of(name)).read_text())
        expected = list(BIRDS) if name == "cub-200-2011" else manifest_of(prepared, name)["class_names"]
        assert metrics["class_names"] == expected and metrics["train_n"] >= COUNT


def test_the_classifier_of_celeba_explains_ffhq(prepared):
    """[V] 4.2: what is left to do for it begins with StylEx's own training."""
    model = ExperimentPaths(Path(), "ffhq-by-celeba").stylex_model
    assert prepared.planned(str(model)) == {"backbone": 1, "train": 1}
