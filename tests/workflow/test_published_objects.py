"""PlantVillage, CUB-200-2011 and Messidor-2 from miniature archives of the published layout, through a user's rules."""

import io
import json
import tarfile
import zipfile

import numpy
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
    pairs, grades, pictures = ["left;right "], ["image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable"], {}
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
