"""The image files of a dataset of config/datasets: listed by its layout, divided, decoded, each picture once."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stylex.config import DatasetPaths
from stylex.config.datasets import DatasetFile, Shares
from stylex.datasets.catalog import DatasetSpec, check_classes
from stylex.datasets.content import Content, Findings, Row
from stylex.datasets.images import Box
from stylex.datasets.layouts import ImageRecord, load_layout
from stylex.datasets.pixels import prepared_pixels
from stylex.datasets.splits import default_shares, split_records
from stylex.datasets.unpacking import unpack
from stylex.errors import ConfigError, DatasetError, ImageError

NAMED = 3  # unreadable files that a message names
logger = logging.getLogger("stylex")


class ImageFiles(NamedTuple):
    """The images of a dataset as its layout lists them, and the split of each."""

    name: str
    file: DatasetFile
    class_names: tuple[str, ...]
    records: list[ImageRecord]  # sorted by id
    shares: Shares
    splits: list[str]

    def digest(self) -> str:
        """Return the sha256 of all that is known of the images; of a user's own also the sizes of the files."""
        digest = hashlib.sha256()
        for each, split in zip(self.records, self.splits, strict=True):
            size = each.path.stat().st_size if self.file.own and each.path.is_file() else None
            told = [each.id, each.source, each.label, split, each.identity, each.box, size]
            digest.update(json.dumps(told).encode() + b"\n")
        return digest.hexdigest()

    def description(self) -> dict[str, Any]:
        """Return what the manifest says of the preparation."""
        identities = any(each.identity is not None for each in self.records)
        return {
            "layout": self.file.layout,
            "label": self.file.label,
            "crop": "box of the dataset" if any(each.box for each in self.records) else "central square",
            "resize": "lanczos, antialiased",
            "splits": "official" if self.shares.official else "by identity" if identities else "stratified by class",
            "shares": self.shares.model_dump(mode="json", exclude_none=True),
        }


def list_files(root: Path, spec: DatasetSpec, folder: Path, checksums: Mapping[str, str]) -> ImageFiles:
    """Unpack the raw files in `folder` and list the images.

    checksums: sha256 of the raw files by name. Raises `ConfigError` when a user's own images are not where the
    dataset's file says, or a class has a name that none can have, `DatasetError` when the images are not as the layout
    expects.
    """
    file = spec.file
    assert file is not None
    if file.own is not None:
        folder = root / file.own
        if not (folder.is_dir() if file.folder else folder.is_file()):
            key = "folder" if file.folder else "csv"
            raise ConfigError(f"config/datasets/{spec.name}.yaml: {key} = '{file.own}': there is no such {key}")
    unpack(folder, checksums)
    class_names, records = load_layout(file.layout)(folder, file.label, spec.class_names)
    check_classes(spec.name, class_names)
    assert all(one.id < other.id for one, other in zip(records, records[1:], strict=False)), "sorted by id, each once"
    if not records:
        raise DatasetError(f"dataset '{spec.name}' has no image in {folder}; look at its layout and its classes")
    shares = file.shares or default_shares(records)
    return ImageFiles(spec.name, file, class_names, records, shares, split_records(records, shares))


def boxes_of(root: Path, spec: DatasetSpec, paths: Sequence[Path]) -> list[Box | None]:
    """Return the box that the dataset has for each file, if it is one of the dataset's own; None: the central square.

    The images are listed only when some file lies in their folder. Raises `DatasetError` as the layout does.
    """
    assert spec.file is not None
    folder = DatasetPaths(root, spec.raw).raw if spec.file.own is None else root / spec.file.own
    inside = [path.is_file() and _is_inside(path, folder) for path in paths]
    if not any(inside):
        return [None] * len(paths)
    _, records = load_layout(spec.file.layout)(folder, spec.file.label, spec.class_names)
    boxed = [record for record in records if record.box is not None]
    return [
        next((record.box for record in boxed if record.path.samefile(path)), None) if its_own else None
        for path, its_own in zip(paths, inside, strict=True)
    ]


def _is_inside(path: Path, folder: Path) -> bool:
    """Say whether `path` lies in `folder`, by its name or by where links lead."""
    named = Path(os.path.abspath(path)).is_relative_to(os.path.abspath(folder))
    return named or path.resolve().is_relative_to(folder.resolve())


def content(files: ImageFiles, channels: int, resolution: int, processes: int) -> Content:
    """Return the images; asking for the last row raises `ImageError` when more are unreadable than may be."""
    findings = Findings()
    return Content(Counter(files.splits), _rows(files, channels, resolution, processes, findings), findings)


def _rows(files: ImageFiles, channels: int, resolution: int, processes: int, findings: Findings) -> Iterator[Row]:
    """Yield the first of all images with the same pixels: neither its label nor its split has a say."""
    first: dict[bytes, tuple[int, str]] = {}
    prepared = prepared_pixels(files.records, channels, resolution, processes)
    for (record, pixels, digest, reason), split in zip(prepared, files.splits, strict=True):
        if reason:
            findings.unreadable.append({"file": record.source, "reason": reason})
        elif digest in first:
            label, home = first[digest]
            findings.duplicate(other_label=label != record.label, other_split=home != split)
        else:
            first[digest] = record.label, split
            yield Row(split, pixels, record.label, record.id, record.source)
    _report(files, findings)


def _report(files: ImageFiles, findings: Findings) -> None:
    if unreadable := findings.unreadable:
        named = ", ".join(f"{each['file']} ({each['reason']})" for each in unreadable[:NAMED])
        more = " and others" if len(unreadable) > NAMED else ""
        what = f"{len(unreadable)} of {len(files.records)} images of '{files.name}' cannot be read: {named}{more}"
        if len(unreadable) > files.file.max_unreadable:
            raise ImageError(
                f"{what}; mend or remove them, or raise max_unreadable, which is {files.file.max_unreadable}, in"
                f" config/datasets/{files.name}.yaml"
            )
        logger.warning("%s; they are left out and listed in the manifest", what)
    if dropped := findings.duplicates["dropped"]:
        logger.info("%s: dropped %d images whose pixels are those of an earlier one", files.name, dropped)
