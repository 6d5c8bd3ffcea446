"""Read the downloaded files: gzipped IDX (the format of MNIST) and gzipped CSV (785 columns: 784 pixels, the label)."""

from __future__ import annotations

import gzip
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy
import numpy.typing

from stylex.datasets.catalog import DatasetSpec
from stylex.errors import DatasetError, ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    if spec.format == "csv":
        name = spec.sources[0].files[0].name
        images, labels = read_csv(folder / name)
        yield RawImages("all", name, images, _checked(labels, len(spec.class_names), len(images), folder / name))
        return
    for part, prefix in (("train", "train"), ("test", "t10k")):
        name = f"{prefix}-images-idx3-ubyte.gz"
        images = read_idx(folder / name, 3, ImageError)
        label_path = folder / f"{prefix}-labels-idx1-ubyte.gz"
        labels = _checked(read_idx(label_path, 1, DatasetError), len(spec.class_names), len(images), label_path)
        yield RawImages("train" if part == "train" else "test", name, images, labels)


def read_idx(path: Path, dimensions: int, error: type[DatasetError] = DatasetError) -> Bytes:
    """Read a gzipped IDX file of unsigned bytes with `dimensions` axes; raise `error` naming a malformed file.

    The layout: two zero bytes, the type (8 = unsigned byte), the number of axes, each length as a big-endian 32-bit
    integer, then the values in C order.
    """
    content = _gunzip(path, error)
    header = 4 + 4 * dimensions
    if len(content) < header or content[:4] != bytes((0, 0, 8, dimensions)):
        raise error(
            f"{path} cannot be read: it is not an IDX file of unsigned bytes with {dimensions} axes; {_remedy(path)}"
        )
    shape = tuple(int(size) for size in numpy.frombuffer(content[4:header], ">u4"))
    if len(content) - header != math.prod(shape):
        found = len(content) - header
        raise error(f"{path} cannot be read: its header says {math.prod(shape)} bytes, it has {found}; {_remedy(path)}")
    return numpy.frombuffer(content, numpy.uint8, offset=header).reshape(shape)


def read_csv(path: Path) -> tuple[Bytes, Bytes]:
    """Read a gzipped CSV of one image a row and return images [N, 28, 28] and labels [N]; raise `ImageError`."""
    lines = _gunzip(path, ImageError).decode("ascii", "replace").splitlines()
    try:
        table = numpy.loadtxt(lines, numpy.uint8, delimiter=",", ndmin=2)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise ImageError(f"{path} cannot be read: {reason}; {_remedy(path)}") from None
    if table.shape[1] != SIDE * SIDE + 1:
        raise ImageError(
            f"{path} cannot be read: a row has {table.shape[1]} columns, expected {SIDE * SIDE + 1}; {_remedy(path)}"
        )
    return table[:, :-1].reshape(-1, SIDE, SIDE), table[:, -1].copy()


def _gunzip(path: Path, error: type[DatasetError]) -> bytes:
    try:
        return gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist; {_remedy(path)}") from None
    except (EOFError, zlib.error, OSError) as reason:
        raise error(f"{path} cannot be read: {reason}; {_remedy(path)}") from None


def _checked(labels: Bytes, classes: int, images: int, path: Path) -> Bytes:
    if len(labels) != images:
        raise DatasetError(f"{path} has {len(labels)} labels for {images} images; {_remedy(path)}")
    if len(labels) == 0 or labels.max() >= classes:
        raise DatasetError(f"{path} has a label that is not one of the {classes} classes, or none; {_remedy(path)}")
    return labels


def _remedy(path: Path) -> str:
    return f"delete it and run `stylex download {path.parent.name}` again"
