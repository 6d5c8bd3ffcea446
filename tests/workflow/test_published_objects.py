"""PlantVillage, CUB-200-2011 and Messidor-2 from miniature archives of the published layout, through a user's rules."""

import functools
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy
import pytest
import yaml
from PIL import Image

from stylex.artifacts import read_json
from stylex.config import DatasetPaths, ExperimentPaths

DATASETS = ("cub-200-2011", "messidor-2", "plantvillage")
BIRDS = ("brewer-blackbird", "mallard", "winter-wren")


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
        folder, name = folders[index % 4], f"FREC_{index % 4} {index}"
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


EXPERIMENT = {
    "extends": "cpu-32",
    "title": "A test",
    "domain": "Test",
    "classifier": {"epochs": 1, "batch_size": 8, "min_accuracy": 0.0},
}
BACKBONE = {"extends": "backbone-32", "epochs": 1}
CHOSEN = {"cub-200-2011": list(BIRDS)}  # the other 197 species have no photograph here


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("published")
    yield folder


def describe(path, files, url):
    content = yaml.safe_load(path.read_text())
    for source in content["sources"]:
        source["mirrors"] = [url] if "mirrors" in source else None


@pytest.fixture(scope="module")
def built(computing, tmp_path_factory):
    """A project that has downloaded and prepared all three and trained a classifier on each."""
    folder = tmp_path_factory.mktemp("published")
    datasets = computing.root / "config" / "datasets"
    names = yaml.safe_load((datasets / "cub-200-2011.yaml").read_text())["classes"]
    published = {"plantvillage": plantvillage(), "cub-200-2011": cub(names), "messidor-2": messidor2()}
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(SimpleHTTPRequestHandler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    for name, files in published.items():
        for file, content in files.items():
            (folder / file).write_bytes(content)
        description = yaml.safe_load((datasets / f"{name}.yaml").read_text())
        source = description["sources"][0]
        assert [file["name"] for file in source["files"]] == list(files)
        for file in source["files"]:
            file |= {"size": len(files[file["name"]]), "sha256": hashlib.sha256(files[file["name"]]).hexdigest()}
            file.pop("md5", None)
        if "mirrors" in source:
            source["mirrors"] = [f"http://127.0.0.1:{server.server_port}/"]
        (datasets / f"{name}.yaml").write_text(yaml.safe_dump(description))
        dataset = {"name": name} | ({"classes": CHOSEN[name]} if name in CHOSEN else {})
        for kind, content in {"experiments": EXPERIMENT | {"dataset": dataset}, "backbones": BACKBONE | {"dataset": name}}.items():
            if kind == "experiments":
                content = content | {"stylex": {"perceptual_backbone": name}}
            (computing.root / "config" / kind / f"{name}.yaml").write_text(yaml.safe_dump(content))
    suite = {"title": "A test", "experiments": list(published), "tables": ["classifiers"]}
    (computing.root / "config/suites/published.yaml").write_text(yaml.safe_dump(suite))
    raw = computing.root / "data" / "raw" / "messidor-2"
    raw.mkdir(parents=True)
    for file, content in published["messidor-2"].items():
        (raw / file).write_bytes(content)
    targets = [str(ExperimentPaths(computing.root, name).classifier.metrics.relative_to(computing.root)) for name in published]
    result = computing.snakemake("--config", "suite=published", "--", *targets)
    print(result.stderr[-6000:])
    assert result.returncode == 0, result.stderr
    server.shutdown()
    server.server_close()
    return computing


def test_it(built):
    for name in DATASETS:
        m = read_json(DatasetPaths(built.root, name).manifest(32))
        print({k: v for k, v in m.items() if k not in ("shards", "class_names", "provenance")})
