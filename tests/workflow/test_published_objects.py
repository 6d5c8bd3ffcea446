"""PlantVillage, CUB-200-2011 and Messidor-2 from miniature archives of the published layout, through a user's rules."""

import functools
import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy
import pytest
import yaml
from PIL import Image

from stylex.datasets import load_all_classes

ROOT = Path(__file__).parents[2]
BIRDS = ("brewer-blackbird", "mallard", "winter-wren")

pytestmark = pytest.mark.slow


def photograph(seed: int, kind: str = "JPEG") -> bytes:
    """A photograph that is like no other: preparation drops copies."""
    file = io.BytesIO()
    Image.fromarray(numpy.random.default_rng(seed).integers(0, 256, (30, 40, 3), numpy.uint8)).save(file, kind)
    return file.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def tgz(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def plantvillage() -> dict[str, bytes]:
    """80 photographs of 40 leaves."""
    folders = ("Apple___Apple_scab", "Apple___healthy", "Corn_(maize)___Common_rust_", "Tomato___healthy")
    files, leaves = {}, {}
    for index in range(80):
        folder, name = folders[index % 4], f"leaf {index % 4} {index // 8}-{index}"
        files[f"raw/color/{folder}/{index:08x}-d81a-4184-8541-b692b78d398a___{name}.JPG"] = photograph(index)
        files[f"raw/segmented/{folder}/{index:08x}___{name}_final_masked.jpg"] = photograph(100 + index)
        leaves[name.lower()] = [f"{folder}:::{index // 8}.0"]
    return {"data.zip": zipped(files), "leaf-map.json": json.dumps(leaves).encode()}


def cub(class_names: list[str]) -> dict[str, bytes]:
    """20 photographs of each of three species, half of them for testing."""
    published = {name: f"{number:03d}.{name.title().replace('-', '_')}" for number, name in enumerate(class_names, 1)}
    files, lines = {}, {name: [] for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes")}
    for number in range(1, 61):
        folder = published[BIRDS[number % 3]]
        image = f"{folder}/{folder[4:]}_{number:04d}_{number}.jpg"
        files[f"images/{image}"] = photograph(200 + number)
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
            pictures[f"IMAGES/{name}"] = photograph(300 + 2 * patient + eye, kind)
            grade = ",,0" if patient == eye == 0 else f"2,{patient // 2 % 2},1"
            grades.append(f"{name.replace('JPG', 'jpg')},{grade}")
    table = {"messidor_data.csv": "\n".join(grades).encode(), "messidor_readme.txt": b"Krause et al."}
    return {
        "IMAGES.zip": zipped(pictures),
        "messidor-2.csv": "\n".join(pairs).encode(),
        "messidor2-dr-grades.zip": zipped(table),
    }


def described(name: str) -> dict:
    return yaml.safe_load((ROOT / "config" / "datasets" / f"{name}.yaml").read_text())


def miniature_source(name: str, files: dict[str, bytes], url: str) -> dict:
    """The first source of the shipped description with the address, sizes and digests of the miniature."""
    source = described(name)["sources"][0]
    assert [file["name"] for file in source["files"]] == list(files)
    for level in (source, *source["files"]):
        level |= {"mirrors": [url]} if "mirrors" in level else {}
    for file in source["files"]:
        file |= {"size": len(files[file["name"]]), "sha256": hashlib.sha256(files[file["name"]]).hexdigest()}
        file.pop("md5", None)
    return source


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def images_of(classified) -> dict[str, list[str]]:
    """The ids of the images of each split."""
    root, manifest = classified.project.root, classified.manifest
    load = functools.partial(load_all_classes, root, manifest["dataset"], manifest["resolution"])
    return {split: load(split).ids for split in ("train", "val", "test")}


def test_plantvillage_keeps_the_photographs_of_a_leaf_together(through_the_rules, served):
    files, (url, folder) = plantvillage(), served
    write(folder, files)
    built = through_the_rules("plantvillage", {"sources": [miniature_source("plantvillage", files, url)]})
    assert built.metrics["class_names"] == ["healthy", "sick"]
    leaves = {split: {name.split("___")[-1].split("-")[0] for name in ids} for split, ids in images_of(built).items()}
    assert {split: len(found) for split, found in leaves.items()} == {"train": 28, "val": 8, "test": 4}
    assert len(set.union(*leaves.values())) == 40, "no leaf is in two splits"


def test_cub_keeps_its_test_split(through_the_rules, served):
    files, (url, folder) = cub(described("cub-200-2011")["classes"]), served
    write(folder, files)
    source = miniature_source("cub-200-2011", files, url)
    built = through_the_rules("cub-200-2011", {"sources": [source]}, classes=list(BIRDS))
    assert len(built.manifest["class_names"]) == 200 and built.manifest["preparation"]["crop"] == "box of the dataset"
    assert built.metrics["class_names"] == list(BIRDS)
    images = images_of(built)
    assert {split: len(ids) for split, ids in images.items()} == {"train": 27, "val": 3, "test": 30}
    assert {int(name.removesuffix(".jpg").split("_")[-1]) // 3 % 2 for name in images["test"]} == {0}


def test_messidor2_keeps_both_eyes_together_and_is_fetched_by_hand(through_the_rules, tmp_path):
    files = messidor2()
    write(tmp_path / "project" / "data" / "raw" / "messidor-2", files)
    built = through_the_rules("messidor-2", {"sources": [miniature_source("messidor-2", files, "")]})
    assert built.metrics["class_names"] == ["non-dme", "dme"]
    patients = {split: {name[:-1] for name in ids} for split, ids in images_of(built).items()}
    assert {split: len(found) for split, found in patients.items()} == {"train": 28, "val": 6, "test": 6}
    assert len(set.union(*patients.values())) == 40, "no patient is in two splits"
    assert sum(map(len, images_of(built).values())) == 79, "the picture without a grade is left out"
