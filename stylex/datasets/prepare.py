"""`stylex prepare`: decode or draw a dataset into memory-mappable Arrow shards and a manifest.

data/processed/<dataset>/<resolution>/<split>-00000.arrow, columns image (fixed_shape_tensor uint8 [C, H, W]), label
(position in class_names), id (stable), source (the file it comes from). The bytes depend only on the downloaded files,
the resolution and the versions in the manifest, which is written last. A drawn dataset has factors.parquet, too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import numpy.typing

from stylex.artifacts import atomic_path, read_json, sha256, storage_errors, write_json
from stylex.config import DatasetPaths
from stylex.config.models import power_of_two
from stylex.datasets import leaves
from stylex.datasets.catalog import DatasetSpec, dataset_spec
from stylex.datasets.decoding import RawImages, decode
from stylex.datasets.download import download_record
from stylex.datasets.factors import Factors, write_factors
from stylex.datasets.images import pad, resize
from stylex.datasets.splits import OFFICIAL_SHARES, OWN_SHARES, assign_splits
from stylex.errors import ArtifactError, ConfigError, DatasetError

SPLITS = ("train", "val", "test")
PADDED_SIDE = 32  # pixels: 28x28 digits and garments get a margin of two zeros
logger = logging.getLogger("stylex")


class Table(NamedTuple):
    """Images of a dataset before they are written."""

    images: numpy.typing.NDArray[numpy.uint8]  # [N, C, H, W]
    labels: numpy.typing.NDArray[numpy.uint8]  # [N]
    ids: list[str]
    sources: list[str]
    splits: numpy.typing.NDArray[numpy.str_]  # [N]
    factors: Factors | None = None  # of the same images, where they are known


def prepare(root: Path, name: str, resolution: int) -> Path:
    """Prepare dataset `name` at `resolution` and return the manifest; do nothing when a valid one is there.

    Raises `ConfigError` (unknown name, impossible resolution), `DatasetError` (not downloaded), `ImageError` (a
    downloaded file cannot be decoded) or `StorageError`.
    """
    spec = dataset_spec(root, name)
    try:
        power_of_two(resolution)
    except ValueError as error:
        raise ConfigError(f"resolution = {resolution}: {error}") from None
    paths = DatasetPaths(root, name)
    manifest = paths.manifest(resolution)
    header = _header(spec, resolution, download_record(root, name))
    if _is_valid(manifest, header):
        logger.info("%s at %d is already prepared in %s, nothing to do", name, resolution, manifest.parent)
        return manifest
    table = _draw(spec, resolution) if spec.format == "drawn" else _assemble(spec, decode(spec, paths.raw), resolution)
    _check_files(header["source"]["files"], paths.raw)
    with storage_errors(manifest):
        manifest.unlink(missing_ok=True)  # from here on its shards are being replaced
    shards = {split: _write_split(table, split, spec, manifest.parent) for split in SPLITS}
    if table.factors is not None:
        shards["factors"] = write_factors(paths.factors(resolution), table.factors)
    counts = {split: _counts(table, split, spec.class_names or ()) for split in SPLITS}
    write_json(manifest, header | {"counts": counts, "shards": shards})
    logger.info("%s at %d: prepared %d images in %s", name, resolution, len(table.ids), manifest.parent)
    return manifest


def _header(spec: DatasetSpec, resolution: int, record: dict[str, Any]) -> dict[str, Any]:
    """Return the part of the manifest that is known before any image is decoded: a change of it prepares anew."""
    checksums = {file: pin["sha256"] for file, pin in record["files"].items()}
    return {
        "dataset": spec.name,
        "title": spec.title,
        "licence": spec.licence,
        "class_names": list(spec.class_names or ()),
        "channels": spec.channels,
        "resolution": resolution,
        "source": {"name": record["source"], "files": checksums},
        "preparation": _preparation(spec, resolution),
        "provenance": {f"version_{package}": metadata.version(package) for package in ("numpy", "pillow", "pyarrow")},
    }


def _preparation(spec: DatasetSpec, resolution: int) -> dict[str, Any]:
    splits = {
        "splits": "official test split" if spec.format == "idx" else "no official split",
        "shares": OFFICIAL_SHARES if spec.format == "idx" else OWN_SHARES,
    }
    if spec.format == "drawn":
        return {"factors": list(spec.factors), "causes": list(spec.causes), **splits}
    resized = "none" if resolution == PADDED_SIDE else "lanczos, antialiased, of the padded image"
    return {"padded_side": PADDED_SIDE, "resize": resized, **splits}


def _is_valid(manifest: Path, header: dict[str, Any]) -> bool:
    if not manifest.is_file():
        return False
    try:
        content = read_json(manifest)
        shards = content["shards"].values()
    except (ArtifactError, KeyError, AttributeError, TypeError):
        return False
    return {key: content.get(key) for key in header} == header and all(
        (manifest.parent / shard["file"]).is_file() and sha256(manifest.parent / shard["file"]) == shard["sha256"]
        for shard in shards
    )


def _check_files(checksums: dict[str, str], folder: Path) -> None:
    for name, expected in checksums.items():
        if sha256(folder / name) != expected:
            raise DatasetError(
                f"{folder / name} is not the file that was downloaded; run `stylex download {folder.name}` again"
            )


def _assemble(spec: DatasetSpec, parts: Iterable[RawImages], resolution: int) -> Table:
    images, labels, ids, sources, splits = [], [], [], [], []
    for raw in parts:
        names = [f"{spec.name}-{raw.part}-{index:05d}" for index in range(len(raw.labels))]
        images.append(resize(pad(raw.images, PADDED_SIDE), resolution)[:, None])
        labels.append(raw.labels)
        ids += names
        sources += [raw.file] * len(names)
        shares = {"train": OFFICIAL_SHARES, "test": {"test": 1.0}, "all": OWN_SHARES}[raw.part]
        splits.append(assign_splits(names, raw.labels, shares))
    return Table(numpy.concatenate(images), numpy.concatenate(labels), ids, sources, numpy.concatenate(splits))


def _draw(spec: DatasetSpec, resolution: int) -> Table:
    values = leaves.sample_factors(leaves.COUNT, leaves.SEEDS[spec.name], leaves.AGREEMENT[spec.name])
    labels, names = leaves.labels_of(values), [f"{spec.name}-all-{index:05d}" for index in range(len(values))]
    splits, factors = assign_splits(names, labels, OWN_SHARES), Factors(names, spec.factors, values)
    return Table(leaves.draw_leaves(values, resolution), labels, names, ["drawn"] * len(names), splits, factors)


def _write_split(table: Table, split: str, spec: DatasetSpec, folder: Path) -> dict[str, Any]:
    """Write one shard as a single record batch, so that a reader sees one contiguous array; return its entry."""
    import pyarrow

    rows = numpy.flatnonzero(table.splits == split)
    assert len(rows), f"no image in {split}"
    columns = {
        "image": pyarrow.FixedShapeTensorArray.from_numpy_ndarray(table.images[rows]),
        "label": pyarrow.array(table.labels[rows], pyarrow.int64()),
        "id": pyarrow.array([table.ids[row] for row in rows], pyarrow.string()),
        "source": pyarrow.array([table.sources[row] for row in rows], pyarrow.string()),
    }
    batch = pyarrow.record_batch(columns, metadata={"dataset": spec.name, "split": split})
    path = folder / f"{split}-00000.arrow"
    with atomic_path(path) as temporary, pyarrow.ipc.new_file(str(temporary), batch.schema) as writer:
        writer.write_batch(batch)
    return {"file": path.name, "rows": len(rows), "bytes": path.stat().st_size, "sha256": sha256(path)}


def _counts(table: Table, split: str, class_names: tuple[str, ...]) -> dict[str, int]:
    counts = numpy.bincount(table.labels[table.splits == split], minlength=len(class_names))
    return dict(zip(class_names, counts.tolist(), strict=True))
