"""`stylex prepare`: decode or draw a dataset into memory-mappable Arrow shards and a manifest.

The bytes in data/processed/<dataset>/<resolution> depend only on the raw files, the dataset's file, the resolution and
the versions in the manifest, not on the number of processes. Everything is written beside that folder and moved into it
at the end, the manifest last.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from stylex.artifacts import read_json, sha256, storage_errors, write_json
from stylex.config import DatasetPaths
from stylex.config.base import power_of_two
from stylex.datasets import built_in, image_files
from stylex.datasets.catalog import DatasetSpec, dataset_spec
from stylex.datasets.download import download_record
from stylex.datasets.extraction import check_file
from stylex.datasets.factors import write_factors
from stylex.datasets.image_files import ImageFiles, available_processes, list_files
from stylex.datasets.partition import SPLITS, check_splits
from stylex.datasets.shards import Content, Entry, ShardWriter
from stylex.errors import ArtifactError, ConfigError
from stylex.locks import locked
from stylex.progress import progress

NAMED = 10  # classes whose images a line counts
logger = logging.getLogger("stylex")


def prepare(root: Path, name: str, resolution: int, processes: int | None = None) -> Path:
    """Prepare dataset `name` at `resolution` and return the manifest; do nothing when a valid one is there.

    processes: that decode image files; default: one per core. Raises `ConfigError` (unknown name, impossible
    resolution), `DatasetError` (not downloaded, or not as its layout expects), `ImageError` (a file cannot be decoded)
    or `StorageError`; earlier artifacts are intact then.
    """
    spec = dataset_spec(root, name)
    try:
        power_of_two(resolution)
    except ValueError as error:
        raise ConfigError(f"resolution = {resolution}: {error}") from None
    record = download_record(root, spec.raw)
    raw, manifest = DatasetPaths(root, spec.raw).raw, DatasetPaths(root, name).manifest(resolution)
    with _workspace(manifest.parent) as workspace:
        checksums = {file: pin["sha256"] for file, pin in record["files"].items()}
        files = list_files(root, spec, raw, checksums) if spec.file else None
        header = _header(spec, files, resolution, record["source"], checksums)
        if _is_valid(manifest, header, files):
            logger.info("%s at %d is already prepared in %s, nothing to do", name, resolution, manifest.parent)
            return manifest
        if files is None:
            content = built_in.content(spec, raw, resolution)
            for file, expected in checksums.items():
                check_file(raw / file, expected)
        else:
            content = image_files.content(files, spec.channels, resolution, processes or available_processes())
        shape, class_names = (spec.channels, resolution, resolution), header["class_names"]
        shards, found = _write(content, name, class_names, shape, workspace)
        check_splits(name, files.present() if files else class_names, found)
        counts = {split: {each: found[split, each] for each in class_names} for split in SPLITS}
        findings = content.findings.record() if content.findings else {}
        _replace(workspace, manifest, header | findings | {"counts": counts, "shards": shards})
    divided = ", ".join(f"{split} {_images_by_class(by_class)}" for split, by_class in counts.items())
    logger.info("%s, split %s: %s", name, header["preparation"]["splits"], divided)
    logger.info("%s at %d: prepared %d images in %s", name, resolution, found.total(), manifest.parent)
    return manifest


@contextmanager
def _workspace(folder: Path) -> Iterator[Path]:
    """Hold the lock of a folder of prepared images; yield an empty one beside it, which is removed at the end."""
    workspace = folder.with_name(f".{folder.name}.preparing")
    with ExitStack() as stack:
        with storage_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder.with_name(f".{folder.name}.lock")))
            shutil.rmtree(workspace, ignore_errors=True)  # of a process that was killed
            workspace.mkdir()
        stack.callback(shutil.rmtree, workspace, ignore_errors=True)
        yield workspace


def _header(
    spec: DatasetSpec, files: ImageFiles | None, resolution: int, source: str, checksums: dict[str, str]
) -> dict[str, Any]:
    """Return the part of the manifest that is known before any image is decoded: a change of it prepares anew."""
    known = {"dataset": spec.name, "title": spec.title, "licence": spec.licence, "access": spec.access}
    return known | {
        "class_names": list((files.class_names if files else spec.class_names) or ()),
        "channels": spec.channels,
        "resolution": resolution,
        "source": {"name": source, "files": checksums} | ({"listing": files.digest()} if files else {}),
        "preparation": files.description() if files else built_in.description(spec, resolution),
        "provenance": {f"version_{package}": metadata.version(package) for package in ("numpy", "pillow", "pyarrow")},
    }


def _is_valid(manifest: Path, header: dict[str, Any], files: ImageFiles | None) -> bool:
    if not manifest.is_file():
        return False
    try:
        content = read_json(manifest)
        if files is not None and len(content["unreadable"]) > files.file.max_unreadable:
            return False
        shards = [(manifest.parent / each["file"], each["sha256"]) for of in content["shards"].values() for each in of]
        same_header = {key: content.get(key) for key in header} == header
        return same_header and all(path.is_file() and sha256(path) == checksum for path, checksum in shards)
    except (ArtifactError, KeyError, AttributeError, TypeError):
        return False


def _write(
    content: Content, name: str, class_names: list[str], shape: tuple[int, int, int], workspace: Path
) -> tuple[dict[str, list[Entry]], Counter[tuple[str, str]]]:
    """Write the images [C, H, W] of `shape`; return the manifest's entries and the images by split and class."""
    counts, total = Counter(), sum(content.planned.values())
    with ShardWriter(workspace, name, shape, content.planned) as writer, progress(f"prepare {name}", total) as counter:
        for row in content.rows:
            writer.add(row)
            counts[row.split, class_names[row.label]] += 1
            counter.advance(1)
        shards = writer.finish()
    if content.factors is not None:
        shards["factors"] = [write_factors(workspace / "factors.parquet", content.factors)]
    return shards, counts


def _images_by_class(counts: dict[str, int]) -> str:
    if len(counts) > NAMED:
        return f"{sum(counts.values())} ({len(counts)} classes of {min(counts.values())} to {max(counts.values())})"
    return f"{sum(counts.values())} ({', '.join(f'{name} {count}' for name, count in counts.items())})"


def _replace(workspace: Path, manifest: Path, content: dict[str, Any]) -> None:
    """Move what was written to the folder of the manifest, in place of what was there, and write the manifest."""
    folder = manifest.parent
    with storage_errors(manifest):
        folder.mkdir(exist_ok=True)
        manifest.unlink(missing_ok=True)  # from here on its shards are being replaced
        for path in [*folder.glob("*.arrow"), *folder.glob("*.parquet")]:
            path.unlink()
        for path in sorted(workspace.iterdir()):
            os.replace(path, folder / path.name)
    write_json(manifest, content)
