"""The images of the built-in datasets, row by row: read from IDX or CSV files and padded, or drawn."""

from __future__ import annotations

import gzip
import math
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy

from stylex.datasets import leaves
from stylex.datasets.catalog import DatasetSpec
from stylex.datasets.factors import Factors
from stylex.datasets.images import Bytes
from stylex.datasets.partition import OFFICIAL_SHARES, OWN_SHARES, assign_splits
from stylex.datasets.shards import Content, Row
from stylex.errors import ImageError

SIDE, PADDED_SIDE = 28, 32  # pixels: digits and garments get a margin of two zeros
CHUNK = 1024  # images that are padded, resized or drawn at a time
PARTS = {"train": "train", "test": "t10k"}  # of MNIST and those like it, and how the names of its files begin


class RawImages(NamedTuple):
    """The images of one downloaded file, in its order; of a drawn dataset, their factors."""

    part: str  # train, test or all
    file: str  # where the images come from
    images: Any  # uint8 [N, 28, 28]; float [N, factors]
    labels: Bytes  # [N]


def description(spec: DatasetSpec, resolution: int) -> dict[str, Any]:
    """Return what the manifest says of the preparation."""
    splits = {
        "splits": "official test split" if spec.format == "idx" else "no official split",
        "shares": OFFICIAL_SHARES if spec.format == "idx" else OWN_SHARES,
    }
    if spec.format == "drawn":
        return {"factors": list(spec.factors), "causes": list(spec.causes), **splits}
    resized = "none" if resolution == PADDED_SIDE else "lanczos, antialiased, of the padded image"
    return {"padded_side": PADDED_SIDE, "resize": resized, **splits}


def content(spec: DatasetSpec, folder: Path, resolution: int) -> Content:
    """Return the images of a built-in dataset whose files are in `folder`; raise `ImageError` for a damaged file."""
    if spec.format == "drawn":
        values = leaves.sample_factors(leaves.COUNT, leaves.SEEDS[spec.name], leaves.AGREEMENT[spec.name])
        parts, make = [RawImages("all", "drawn", values, leaves.labels_of(values))], leaves.draw_leaves
    else:
        parts, make = list(decode(spec, folder)), prepared
    names = [[f"{spec.name}-{raw.part}-{index:05d}" for index in range(len(raw.labels))] for raw in parts]
    shares = {"train": OFFICIAL_SHARES, "test": {"test": 1.0}, "all": OWN_SHARES}
    splits = [assign_splits(ids, raw.labels, shares[raw.part]) for ids, raw in zip(names, parts, strict=True)]

    def rows() -> Iterator[Row]:
        for raw, ids, homes in zip(parts, names, splits, strict=True):
            for start in range(0, len(ids), CHUNK):
                for row, pixels in enumerate(make(raw.images[start : start + CHUNK], resolution), start):
                    yield Row(homes[row], pixels, int(raw.labels[row]), ids[row], raw.file)

    factors = Factors(names[0], spec.factors, parts[0].images) if spec.format == "drawn" else None
    return Content(Counter(numpy.concatenate(splits).tolist()), rows(), factors=factors)


def prepared(images: Bytes, resolution: int) -> Bytes:
    """Return downloaded images [N, 28, 28] as they are stored: with their margin, [N, 1, resolution, resolution]."""
    margin = (PADDED_SIDE - SIDE) // 2
    images = numpy.pad(images, ((0, 0), (margin, margin), (margin, margin)))
    if resolution != PADDED_SIDE:
        from PIL import Image

        side, filter = (resolution, resolution), Image.Resampling.LANCZOS
        images = numpy.stack([numpy.asarray(Image.fromarray(image).resize(side, filter)) for image in images])
    return images[:, None]


def decode(spec: DatasetSpec, folder: Path) -> Iterator[RawImages]:
    """Yield the raw images of `spec` found in `folder`; raise `ImageError` naming a damaged or missing file."""
    assert spec.class_names, "stated of every built-in dataset"
    for part, prefix in PARTS.items() if spec.format == "idx" else [("all", "")]:
        if spec.format == "csv":
            path = label_path = folder / spec.sources[0].files[0].name
            images, labels = read_csv(path)
        else:
            path, label_path = (folder / f"{prefix}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
            images, labels = read_idx(path, 3), read_idx(label_path, 1)
        count, classes = len(labels), len(spec.class_names)
        if count != len(images):
            raise _damaged(label_path, f"has {count} labels for {len(images)} images")
        if count == 0 or labels.max() >= classes:
            raise _damaged(label_path, f"has a label that is not one of the {classes} classes, or none")
        yield RawImages(part, path.name, images, labels)


def read_idx(path: Path, dimensions: int) -> Bytes:
    """Read a gzipped IDX file, MNIST's format, of `dimensions` axes; raise `ImageError` naming a malformed file.

    The layout: two zero bytes, the type (8 = unsigned byte), the number of axes, each length as a big-endian 32-bit
    integer, then the values in C order.
    """
    content, header = _gunzip(path), 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes((0, 0, 8, dimensions)):
        raise _damaged(path, f"cannot be read: it is not an IDX file of unsigned bytes with {dimensions} axes")
    shape = tuple(int(size) for size in numpy.frombuffer(content[4:header], ">u4"))
    if (found := len(content) - header) != math.prod(shape):
        raise _damaged(path, f"cannot be read: its header says {math.prod(shape)} bytes, it has {found}")
    return numpy.frombuffer(content, numpy.uint8, offset=header).reshape(shape)


def read_csv(path: Path) -> tuple[Bytes, Bytes]:
    """Read a gzipped CSV of one image a row, 784 pixels and the label: images [N, 28, 28] and labels [N]."""
    lines = _gunzip(path).decode("ascii", "replace").splitlines()
    try:
        table = numpy.loadtxt(lines, numpy.uint8, delimiter=",", ndmin=2)
    except ValueError as error:
        raise _damaged(path, f"cannot be read: {' '.join(str(error).split())}") from None
    if table.shape[1] != (columns := SIDE * SIDE + 1):
        raise _damaged(path, f"cannot be read: a row has {table.shape[1]} columns, expected {columns}")
    return table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1].copy()


def _gunzip(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise _damaged(path, "does not exist") from None
    except (EOFError, zlib.error, OSError) as reason:
        raise _damaged(path, f"cannot be read: {reason}") from None


def _damaged(path: Path, what: str) -> ImageError:
    return ImageError(f"{path} {what}; delete it and run `stylex download {path.parent.name}` again")
