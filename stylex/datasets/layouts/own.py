"""Layouts of a user's own images: a folder per class, as torchvision's ImageFolder reads it, and a CSV table."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from stylex.config.loading import unknown_name
from stylex.datasets.catalog import DatasetSpec, own_images
from stylex.datasets.layouts.records import Classes, ImageRecord, Listing, Part, check_alike, check_names, listed, shown
from stylex.errors import DatasetError
from stylex.user_csv import read_user_csv

SUFFIXES = frozenset((".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
PARTS: dict[str, Part] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip
Tops: TypeAlias = dict[Path, Part | None]  # the folders that class folders lie in, and the split of each
NAMED = 3  # paths that a message names
NAME_THEM = "or name the classes under `classes` in the dataset's file"
logger = logging.getLogger("stylex")


class Tree:
    """The folders below one and the images in them, by their endings; hidden files and folders are left out.

    Links are followed, but a real folder is in the tree once, else a cycle of links would never end and a link to a
    neighbour would show its images twice. It is there under its own path, if that is below the top, and not a link's.
    Raises `DatasetError` for a folder that cannot be read.
    """

    def __init__(self, top: Path) -> None:
        self.images: dict[Path, list[Path]] = {top: []}  # of each folder, without those of the folders in it
        self.folders: dict[Path, list[Path]] = {top: []}  # in each folder, sorted
        self.left_out: list[Path] = []  # other paths, through links, to folders that the tree has
        self.ignored: Counter[str] = Counter()  # files that are no images, by ending, and what is hidden
        seen: set[tuple[int, int]] = set()
        starts = deque([top])
        while starts:  # links wait until all real folders are known
            for upper, folders, files in os.walk(starts.popleft(), onerror=_refuse):
                path, status = Path(upper), os.stat(upper)
                if (real := (status.st_dev, status.st_ino)) in seen:
                    self.left_out.append(path)
                    folders.clear()
                    continue
                seen.add(real)
                self.ignored["hidden"] += sum(map(_hidden, folders))
                folders[:] = sorted(name for name in folders if not _hidden(name))
                starts.extend(path / name for name in folders if (path / name).is_symlink())
                self.images[path] = [path / name for name in sorted(files) if _is_image(name)]
                self.ignored.update(_kind(name) for name in files if not _is_image(name))
                self.folders[path] = []
                if path != top:
                    self.folders[path.parent].append(path)
        for inner in self.folders.values():
            inner.sort()

    def inside(self, folder: Path) -> Path:
        """Return the first folder, from this one downwards, in which the class folders or those of splits can be."""
        while len(inner := self.folders[folder]) == 1 and self.folders[inner[0]] and not self.images[folder]:
            folder = inner[0]
        return folder

    def images_below(self, folder: Path) -> Iterator[Path]:
        """Yield the images of this folder, if it is there, and of those in it."""
        yield from self.images.get(folder, ())
        for inner in self.folders.get(folder, ()):
            yield from self.images_below(inner)


def _refuse(error: OSError) -> None:
    raise DatasetError(f"{shown(error.filename)} cannot be read: {error.strerror}; fix its permissions or remove it")


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES and not _hidden(name)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _kind(name: str) -> str:
    return "hidden" if _hidden(name) else shown(Path(name).suffix.lower()) or "without ending"


def folders(folder: Path, label: str | None, classes: Classes) -> Listing:
    """List the images of all class folders, or of those that `classes` names: <class>/**/*.jpg or train/<class>/….

    As long as a folder holds no image and one folder that has folders itself, as an unpacked archive often does, the
    search goes on inside it. Folders that could be two things, as splits with a stray folder beside them that could be
    classes, are refused with both readings: where the dataset's file names the classes, that decides. Raises
    `DatasetError` for fewer than two class folders and a class without an image or a folder, too.
    """
    if label is not None:
        raise DatasetError(f"label = '{label}': class folders are one label; remove it")
    tree = Tree(folder)
    if tree.left_out:
        named = listed(map(str, tree.left_out), NAMED)
        logger.warning("%s: left out, as a link leads there to a folder that is read under another path", named)
    top = tree.inside(folder)
    tops = _tops(tree, top, classes)
    found = _found(tree, tops)
    few = f"{top} has {len(found)} class folders, {', '.join(found) or 'none'}; it needs two or more"
    names = _used(top, classes, found, "class folder", few)
    for path in (upper / name for upper in tops for name in names):
        _check_splits_inside(path, {each.name for each in tree.folders.get(path, ())})
    if classes is None:
        _check_beside(tree, top, tops)
        _check_inside_all(tree, top, tops)
    records = [
        ImageRecord(source, path, source, position, part)
        for upper, part in tops.items()
        for position, name in enumerate(names)
        for path in tree.images_below(upper / name)
        for source in [path.relative_to(folder).as_posix()]
    ]
    for position in set(range(len(names))) - {record.label for record in records}:
        raise DatasetError(f"{top}: class folder '{names[position]}' has no image ({' '.join(sorted(SUFFIXES))})")
    return Listing(names, sorted(records), _notes(tree, top, tops, names))


def _used(where: Path, classes: Classes, found: set[str], kind: str, few: str) -> tuple[str, ...]:
    """Return the classes that are used of those that were found; raise `DatasetError`, saying `few`, for less than two.

    kind: what a class is. Raises `DatasetError`, too, for one that is not there, and for two that look the same.
    """
    names = classes or tuple(sorted(found))
    if len(names) < 2:
        raise DatasetError(few)
    for name in names:
        if name not in found:
            raise DatasetError(f"{where}: {unknown_name(kind, name, sorted(found))}")
    check_alike(where, names, found)
    return names


def _found(tree: Tree, tops: Tops) -> set[str]:
    return {each.name for path in tops for each in tree.folders[path]}


def _tops(tree: Tree, top: Path, classes: Classes) -> Tops:
    """Say whether the folders in `top` are those of classes or of splits; `classes` decides, if it can."""
    inner = tree.folders[top]
    parts: dict[Path, Part] = {each: PARTS[each.name.lower()] for each in inner if each.name.lower() in PARTS}
    plain: Tops = {top: None}
    if not parts or len(inner) < 2:
        return plain
    divided: Tops = {tree.inside(each): part for each, part in parts.items()}
    others = [each for each in inner if each not in parts]
    if classes is not None:
        fitting = [tops for tops in (plain, divided) if set(classes) <= _found(tree, tops)]
        if len(fitting) < 2:
            return fitting[0] if fitting else plain if others else divided
    else:
        # A split may be empty; one with images in no class folder could be a class.
        bare = [each for each in parts if tree.images[each]]
        held = [each for each in parts if tree.folders[each]]
        if held and not others and not bare and len(_splits_named(_found(tree, divided))) < 2:
            return divided
        if others and not held and len(set(parts.values())) == 1:
            return plain
    one = f"the splits {_names(parts)}" + (f", with {_names(others)} that belongs to none" if others else "")
    remedy = "take away what does not belong there, put the images of splits into class folders"
    raise _two_readings(top, one, f"the classes {_names(inner)}", f"{remedy}, {NAME_THEM}")


def _splits_named(names: set[str]) -> set[Part]:
    return {PARTS[name.lower()] for name in names if name.lower() in PARTS}


def _check_beside(tree: Tree, top: Path, tops: Tops) -> None:
    """Refuse images beside the class folders."""
    for path in {top: None, **tops}:
        if images := tree.images[path]:
            beside = f"{len(images)} images of no class lie, as {images[0].name}"
            one, other = f"folders ({_names(tree.folders[path])}) beside which {beside}", f"one class {path.name}"
            remedy = f"put the images into a class folder, or take them away, {NAME_THEM}"
            raise _two_readings(path, one, f"{other} with folders in it", remedy)


def _check_inside_all(tree: Tree, top: Path, tops: Tops) -> None:
    """Refuse folders that hold the same folders and no images: {2019,2020}/{cat,dog}."""
    inner = tree.folders[top]
    if top not in tops or len(inner) < 2 or any(tree.images[each] for each in inner):
        return
    shared = set.intersection(*({each.name for each in tree.folders[path]} for path in inner))
    if len(shared) > 1:
        other = f"the classes {listed(sorted(shared))}, in each of these folders"
        remedy = f"put the folders of a class into one, {NAME_THEM}"
        raise _two_readings(top, f"the classes {_names(inner)}", other, remedy)


def _check_splits_inside(folder: Path, inner: set[str]) -> None:
    """Refuse splits inside a class: <class>/{train,test}."""
    if len(_splits_named(inner)) > 1:
        one, other = f"a class with the splits {listed(sorted(inner))}", "one whose images are to be divided anew"
        remedy = f"put the class into the folders of splits (train/{folder.name}, …), or rename these folders"
        raise _two_readings(folder, one, other, remedy)


def _two_readings(path: Path, one: str, other: str, remedy: str) -> DatasetError:
    return DatasetError(f"{path} can be read in two ways: as {one}, or as {other}; {remedy}")


def _names(folders: Iterable[Path]) -> str:
    return listed(each.name for each in folders)


def _notes(tree: Tree, top: Path, tops: Tops, names: tuple[str, ...]) -> tuple[str, ...]:
    splits = ", ".join(path.relative_to(top).as_posix() for path in tops if path != top)
    found = f"{len(names)} class folders in {top}" + (f", official split in {splits}" if splits else "")
    unused = {each.name for path in {top: None, **tops} for each in tree.folders[path]} - set(names)
    unused -= {path.relative_to(top).parts[0] for path in tops if path != top}
    beside = sum(len(tree.images[path]) for path in {top: None, **tops})
    left = [f"the folders {listed(sorted(unused))}"] if unused else []
    left += [f"{beside} images beside"] if beside else []
    counts = sorted((-count, kind) for kind, count in tree.ignored.items() if count)
    left += [f"files: {listed(f'{-count} {kind}' for count, kind in counts)}"] if counts else []
    return (f"{found}: {listed(names)}", *([f"left out: {'; '.join(left)}"] if left else []))


def table(folder: Path, label: str | None, classes: Classes) -> Listing:
    """List the rows of a table with the columns path, label, and if wanted split (train, val or test) and identity.

    folder: the table itself, or a folder that has one; paths are relative to that folder. label: another column than
    "label". The records are sorted by id (the path as the table has it). Classes are the sorted labels; with `classes`,
    in that order, and rows of other labels are left out. Raises `DatasetError` naming the table and the wrong line.
    """
    path, column = _table_of(folder), label or "label"
    content = read_user_csv(path, ("path", column), ("split", "identity"), DatasetError)
    for line, row in content.rows:
        for name in ("path", column):
            if not row[name]:
                raise DatasetError(f"{path}, line {line}: no {name}; fill it in or remove the line")
    found = sorted({row[column] for _, row in content.rows})
    few = f"{path}: the column {column} has the labels {', '.join(found) or 'none'}; two are needed"
    names = _used(path, classes, set(found), f"value of {column}", few)
    records: list[ImageRecord] = []
    lines: dict[str, int] = {}  # by file
    for line, row in content.rows:
        name, part = row["path"], row.get("split", "").lower()
        if part and part not in PARTS:
            raise DatasetError(f"{path}, line {line}: {unknown_name('split', row['split'], ['train', 'val', 'test'])}")
        if (earlier := lines.setdefault(os.path.normpath(name), line)) != line:
            raise DatasetError(f"{path}, line {line}: {name} is in the table already, in line {earlier}; remove one")
        if row[column] in names:
            position, identity = names.index(row[column]), row.get("identity") or None
            records.append(ImageRecord(name, path.parent / name, name, position, PARTS.get(part), identity))
    what = f"{len(records)} rows of {len(names)} classes in {path}, separated by {content.separator}"
    notes = [f"{what}: {listed(names)}"]
    if others := len(content.rows) - len(records):
        notes.append(f"left out: {others} rows of {listed(name for name in found if name not in names)}")
    if content.unread:
        notes.append(f"columns that are not read: {listed(content.unread)}")
    return Listing(names, sorted(records), tuple(notes))


def _table_of(folder: Path) -> Path:
    if folder.is_file():
        return folder
    tables = sorted(path for path in folder.rglob("*.csv") if not path.name.startswith(".") and path.is_file())
    if len(tables) != 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in tables[:3]) or "none"
        raise DatasetError(f"{folder} must have one CSV table of images, it has {names}")
    return tables[0]


def stamp(root: Path, spec: DatasetSpec) -> str:
    """Return a digest of the names, sizes and times of a user's own images; empty for other datasets.

    It tells Snakemake, without reading the images, whether they may have changed since they were prepared. Raises what
    `own_images`, `table`, `Tree` and `check_names` raise.
    """
    place, file = own_images(root, spec), spec.file
    if place is None or file is None:
        return ""
    if file.csv:
        paths = [record.path for record in table(place, file.label, spec.class_names).records]
    else:
        paths = sorted(Tree(place).images_below(place))
    check_names(paths)
    digest = hashlib.sha256()
    for path in paths:
        try:
            status = os.stat(path)
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:  # preparation will say so
            state = "not there"
        digest.update(f"{path}\t{state}\n".encode())
    return digest.hexdigest()[:16]
