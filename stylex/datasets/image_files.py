"""The image files of a dataset of config/datasets: listed by its layout, divided, decoded, each picture once."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from stylex.artifacts import sha256
from stylex.config import DatasetPaths
from stylex.config.datasets import DatasetFile, Shares
from stylex.datasets.catalog import DatasetSpec, check_classes, own_images
from stylex.datasets.content import Content, Findings, Row
from stylex.datasets.extraction import unpack
from stylex.datasets.images import Box
from stylex.datasets.layouts import ImageRecord, load_layout
from stylex.datasets.layouts.records import check_names, listed
from stylex.datasets.pixels import available_processes, prepared_pixels
from stylex.datasets.rendering import NAMED, Sightings, rendering_of
from stylex.datasets.splits import check_splits, default_shares, split_records
from stylex.errors import DatasetError, ImageError

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
        """Return the sha256 of all that is known of the images, of a user's own also of what the files hold."""
        digest = hashlib.sha256()
        contents = self._contents() if self.file.own else [None] * len(self.records)
        for each, split, content in zip(self.records, self.splits, contents, strict=True):
            told = [each.id, each.source, each.label, split, each.identity, each.box, content]
            digest.update(json.dumps(told).encode() + b"\n")
        return digest.hexdigest()

    def _contents(self) -> list[str | None]:
        """Return the sha256 of each file; None: it cannot be read, as preparation will say."""
        with ThreadPoolExecutor(available_processes()) as threads:
            return list(threads.map(_content, (record.path for record in self.records)))

    def present(self) -> list[str]:
        """Return the classes that have images; a copy of a published dataset may lack some that are stated."""
        labels = {each.label for each in self.records}
        return [name for label, name in enumerate(self.class_names) if label in labels]

    def description(self) -> dict[str, Any]:
        """Return what the manifest says of the preparation."""
        identities = any(each.identity is not None for each in self.records)
        return {
            "layout": self.file.layout,
            "label": self.file.label,
            "crop": "box of the dataset" if any(each.box for each in self.records) else "central square",
            "background": self.file.background,
            "white_level": self.file.white_level,
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
    folder = own_images(root, spec) or folder
    unpack(folder, checksums)
    class_names, records, notes = load_layout(file.layout)(folder, file.label, spec.class_names)
    check_classes(spec.name, class_names)
    check_names(record.path for record in records)
    assert all(one.id < other.id for one, other in zip(records, records[1:], strict=False)), "sorted by id, each once"
    if not records:
        raise DatasetError(f"dataset '{spec.name}' has no image in {folder}; look at its layout and its classes")
    for note in notes:
        logger.info("%s: %s", spec.name, note)
    shares = file.shares or default_shares(records)
    splits = split_records(records, shares)
    counts = Counter((split, class_names[record.label]) for record, split in zip(records, splits, strict=True))
    files = ImageFiles(spec.name, file, class_names, records, shares, splits)
    check_splits(spec.name, files.present(), counts)
    return files


def _content(path: Path) -> str | None:
    try:
        return sha256(path) if path.is_file() else None
    except OSError:
        return None


def boxes_of(root: Path, spec: DatasetSpec, paths: Sequence[Path]) -> list[Box | None]:
    """Return the box that the dataset has for each file, if it is one of the dataset's own; None: the central square.

    The images are listed only when some file lies in their folder. Raises `DatasetError` as the layout does.
    """
    assert spec.file is not None
    folder = DatasetPaths(root, spec.raw).raw if spec.file.own is None else root / spec.file.own
    inside = [os.path.isfile(path) and _is_inside(path, folder) for path in paths]
    if not any(inside):
        return [None] * len(paths)
    records = load_layout(spec.file.layout)(folder, spec.file.label, spec.class_names).records
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
    findings = Findings(Sightings(rendering_of(files.file)))
    return Content(Counter(files.splits), _rows(files, channels, resolution, processes, findings), findings)


def _rows(files: ImageFiles, channels: int, resolution: int, processes: int, findings: Findings) -> Iterator[Row]:
    """Yield the first of all images with the same pixels: neither its label nor its split has a say."""
    first: dict[bytes, tuple[ImageRecord, str]] = {}
    prepared = prepared_pixels(files.records, channels, resolution, rendering_of(files.file), processes)
    for (record, pixels, digest, reason, seen), split in zip(prepared, files.splits, strict=True):
        if reason:
            findings.unreadable.append({"file": record.source, "reason": reason})
            continue
        findings.sightings.add(record.source, seen)
        if digest in first:
            earlier, home = first[digest]
            findings.duplicate(other_label=earlier.label != record.label, other_split=home != split)
            if earlier.label != record.label:
                pair = [f"{each.source} ({files.class_names[each.label]})" for each in (earlier, record)]
                findings.conflicts.append(" and ".join(pair))
        else:
            first[digest] = record, split
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
    if conflicts := findings.conflicts:
        what = f"{len(conflicts)} of these have another class than the one that is kept; mend the labels"
        logger.warning("%s: %s: %s", files.name, what, listed(conflicts, NAMED))
    findings.sightings.report(files.name, f"config/datasets/{files.name}.yaml")
