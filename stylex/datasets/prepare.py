"""`stylex prepare`: decode or draw a dataset into memory-mappable Arrow shards and a manifest.

data/processed/<dataset>/<resolution>/<split>-NNNNN.arrow (see stylex.datasets.shards) and manifest.json. The bytes
depend only on the raw files, the dataset's file, the resolution and the versions in the manifest, not on the number of
processes. Everything is written beside that folder and moved into it at the end, the manifest last. A drawn dataset has
factors.parquet, too.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from stylex.artifacts import read_json, sha256, storage_errors, write_json
from stylex.config import DatasetPaths
from stylex.config.base import power_of_two
from stylex.datasets import built_in, image_files
from stylex.datasets.catalog import DatasetSpec, dataset_spec
from stylex.datasets.content import SPLITS, Content
from stylex.datasets.download import download_record
from stylex.datasets.extraction import check_file
from stylex.datasets.factors import write_factors
from stylex.datasets.image_files import ImageFiles, list_files
from stylex.datasets.pixels import available_processes
from stylex.datasets.shards import Entry, ShardWriter
from stylex.datasets.splits import check_splits
from stylex.errors import ArtifactError, ConfigError
from stylex.locks import locked
from stylex.progress import progress

NAMED = 10  # classes whose images a line counts
logger = logging.getLogger("stylex")


class Written(NamedTuple):
    """What was written, in the form of the manifest."""

    shards: dict[str, list[Entry]]
    counts: dict[str, dict[str, int]]  # images by split and class


def prepare(root: Path, name: str, resolution: int, processes: int | None = None) -> Path:
    """Prepare dataset `name` at `resolution` and return the manifest; do nothing when a valid one is there.

    processes: that decode image files; default: a core each. Of two processes that prepare the same, the second waits
    for the first. Raises `ConfigError` (unknown name, impossible resolution), `DatasetError` (not downloaded, or not as
    its layout expects), `ImageError` (a file cannot be decoded) or `StorageError`; earlier artifacts are intact then.
    """
    spec = dataset_spec(root, name)
    try:
        power_of_two(resolution)
    except ValueError as error:
        raise ConfigError(f"resolution = {resolution}: {error}") from None
    record = download_record(root, spec.raw)
    folder = DatasetPaths(root, name).processed(resolution)
    with _alone(folder) as workspace:
        return _prepare(root, spec, resolution, record, processes or available_processes(), workspace)


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
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


def _prepare(
    root: Path, spec: DatasetSpec, resolution: int, record: dict[str, Any], processes: int, workspace: Path
) -> Path:
    raw, manifest = DatasetPaths(root, spec.raw).raw, DatasetPaths(root, spec.name).manifest(resolution)
    checksums = {file: pin["sha256"] for file, pin in record["files"].items()}
    files = list_files(root, spec, raw, checksums) if spec.file else None
    header = _header(spec, files, resolution, record["source"], checksums)
    if _is_valid(manifest, header, files):
        logger.info("%s at %d is already prepared in %s, nothing to do", spec.name, resolution, manifest.parent)
        return manifest
    if files is None:
        content = built_in.content(spec, raw, resolution)
        for name, expected in checksums.items():
            check_file(raw / name, expected)
    else:
        content = image_files.content(files, spec.channels, resolution, processes)
    written = _write(content, spec.name, header["class_names"], (spec.channels, resolution, resolution), workspace)
    counts = {(split, each): count for split, all_of_it in written.counts.items() for each, count in all_of_it.items()}
    check_splits(spec.name, files.present() if files else header["class_names"], counts)
    findings = content.findings.record() if content.findings else {}
    _land(workspace, manifest, header | findings | {"counts": written.counts, "shards": written.shards})
    images = sum(sum(counts.values()) for counts in written.counts.values())
    divided = ", ".join(f"{split} {_said(counts)}" for split, counts in written.counts.items())
    logger.info("%s, split %s: %s", spec.name, header["preparation"]["splits"], divided)
    logger.info("%s at %d: prepared %d images in %s", spec.name, resolution, images, manifest.parent)
    return manifest


def _header(
    spec: DatasetSpec, files: ImageFiles | None, resolution: int, source: str, checksums: dict[str, str]
) -> dict[str, Any]:
    """Return the part of the manifest that is known before any image is decoded: a change of it prepares anew."""
    return {
        "dataset": spec.name,
        "title": spec.title,
        "licence": spec.licence,
        "access": spec.access,
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
        shards = [shard for shards in content["shards"].values() for shard in shards]
        if files is not None and len(content["unreadable"]) > files.file.max_unreadable:
            return False
        return {key: content.get(key) for key in header} == header and all(
            (manifest.parent / shard["file"]).is_file() and sha256(manifest.parent / shard["file"]) == shard["sha256"]
            for shard in shards
        )
    except (ArtifactError, KeyError, AttributeError, TypeError):
        return False


def _write(
    content: Content, name: str, class_names: list[str], shape: tuple[int, int, int], workspace: Path
) -> Written:
    counts = {split: dict.fromkeys(class_names, 0) for split in SPLITS}
    total = sum(content.planned.values())
    with ShardWriter(workspace, name, shape, content.planned) as writer, progress(f"prepare {name}", total) as counter:
        for row in content.rows:
            writer.add(row)
            counts[row.split][class_names[row.label]] += 1
            counter.advance(1)
        shards = writer.finish()
    if content.factors is not None:
        shards["factors"] = [write_factors(workspace / "factors.parquet", content.factors)]
    return Written(shards, counts)


def _said(counts: dict[str, int]) -> str:
    """Return how many images of each class a split has, for a line."""
    if len(counts) > NAMED:
        return f"{sum(counts.values())} ({len(counts)} classes of {min(counts.values())} to {max(counts.values())})"
    return f"{sum(counts.values())} ({', '.join(f'{name} {count}' for name, count in counts.items())})"


def _land(workspace: Path, manifest: Path, content: dict[str, Any]) -> None:
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
