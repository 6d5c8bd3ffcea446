"""Read the downloaded files: gzipped IDX (the format of MNIST) and gzipped CSV (785 columns: 784 pixels, the label)."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy
import numpy.typing

from stylex.datasets.catalog import DatasetSpec
from stylex.errors import DatasetError, ImageError

Bytes = numpy.typing.NDArray[numpy.uint8]
SIDE = 28  # pixels, of all datasets of the catalog


@dataclass(frozen=True)
class RawImages:
    """The images of one downloaded file, in its order."""

    part: Literal["train", "test", "all"]
    file: str  # where the images come from
    images: Bytes  # [N, 28, 28]
    labels: Bytes  # [N]


def decode(spec: DatasetSpec, folder: Path) -> Iterator[RawImages]:
    """Yield the raw images of `spec` found in `folder`; raise `ImageError` or `DatasetError` naming a damaged file."""
    assert spec.class_names, "stated of every built-in dataset"
    parts: tuple[tuple[Literal["train", "test"], str], ...] = (("train", "train"), ("test", "t10k"))
    if spec.format == "csv":
        path = folder / spec.sources[0].files[0].name
        read = [RawImages("all", path.name, *read_csv(path))]
        label_paths = [path]
    else:
        label_paths = [folder / f"{prefix}-labels-idx1-ubyte.gz" for _, prefix in parts]
        read = []
        for (part, prefix), label_path in zip(parts, label_paths, strict=True):
            path = folder / f"{prefix}-images-idx3-ubyte.gz"
            read.append(RawImages(part, path.name, read_idx(path, 3, ImageError), read_idx(label_path, 1)))
    for raw, path in zip(read, label_paths, strict=True):
        count, classes = len(raw.labels), len(spec.class_names)
        if count != len(raw.images):
            raise _damaged(path, f"has {count} labels for {len(raw.images)} images")
        if count == 0 or raw.labels.max() >= classes:
            raise _damaged(path, f"has a label that is not one of the {classes} classes, or none")
        yield raw


def read_idx(path: Path, dimensions: int, error: type[DatasetError] = DatasetError) -> Bytes:
    """Read a gzipped IDX file of unsigned bytes with `dimensions` axes; raise `error` naming a malformed file.

    The layout: two zero bytes, the type (8 = unsigned byte), the number of axes, each length as a big-endian 32-bit
    integer, then the values in C order.
    """
    content, header = _gunzip(path, error), 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes((0, 0, 8, dimensions)):
        what = f"cannot be read: it is not an IDX file of unsigned bytes with {dimensions} axes"
        raise _damaged(path, what, error)
    shape = tuple(int(size) for size in numpy.frombuffer(content[4:header], ">u4"))
    if (found := len(content) - header) != math.prod(shape):
        what = f"cannot be read: its header says {math.prod(shape)} bytes, it has {found}"
        raise _damaged(path, what, error)
    return numpy.frombuffer(content, numpy.uint8, offset=header).reshape(shape)


def read_csv(path: Path) -> tuple[Bytes, Bytes]:
    """Read a gzipped CSV of one image a row and return images [N, 28, 28] and labels [N]; raise `ImageError`."""
    lines = _gunzip(path, ImageError).decode("ascii", "replace").splitlines()
    try:
        table = numpy.loadtxt(lines, numpy.uint8, delimiter=",", ndmin=2)
    except ValueError as error:
        raise _damaged(path, f"cannot be read: {' '.join(str(error).split())}", ImageError) from None
    if table.shape[1] != SIDE * SIDE + 1:
        what = f"cannot be read: a row has {table.shape[1]} columns, expected {SIDE * SIDE + 1}"
        raise _damaged(path, what, ImageError)
    return table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1].copy()


def _gunzip(path: Path, error: type[DatasetError]) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise _damaged(path, "does not exist") from None
    except (EOFError, zlib.error, OSError) as reason:
        raise _damaged(path, f"cannot be read: {reason}", error) from None


def _damaged(path: Path, what: str, error: type[DatasetError] = DatasetError) -> DatasetError:
    return error(f"{path} {what}; delete it and run `stylex download {path.parent.name}` again")
