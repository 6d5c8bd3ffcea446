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


def ffhq() -> dict[str, bytes]:
    """Forty faces of the resized copy; those of even numbers are men, and of every four two are young."""
    numbers = range(4 * COUNT)
    ages = ("3-6", "30-39", "40-49", "70-120")
    rows = [f"{number},{ages[number // 2 % 4]},0.9,{('male', 'female')[number % 2]},1,0,0,0,0,0,None" for number in numbers]
    header = (
        "image_number,age_group,age_group_confidence,gender,gender_confidence,head_pitch,head_roll,head_yaw,"
        "left_eye_occluded,right_eye_occluded,glasses"
    )
    images = {f"resized/{number:05d}.jpg": picture(100 + number, (256, 256)) for number in numbers}
    return {
        "flickrfaceshq-dataset-nvidia-resized-256px.zip": archive(images),
        "ffhq_aging_labels.csv": "\n".join([header, *rows, ""]).encode(),
    }


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
