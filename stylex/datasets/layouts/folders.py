"""A folder a class, as torchvision's ImageFolder reads it: <class>/**/*.jpg, or train/<class>/… with a split.

As long as a folder holds no image and one folder that has folders itself, as an unpacked archive often does, the search
goes on inside it. Folders that could be two things, as splits with a stray folder beside them that could be classes,
are refused with both readings: where the dataset's file names the classes, that decides.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

from stylex.config.loading import unknown_name
from stylex.datasets.layouts.records import ImageRecord, Listing, Part, listed
from stylex.datasets.layouts.selection import check_alike
from stylex.datasets.layouts.tree import SUFFIXES, Tree
from stylex.errors import DatasetError

PARTS: dict[str, Part] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip
Tops: TypeAlias = dict[Path, Part | None]  # the folders that class folders lie in, and the split of each


def list_images(folder: Path, label: str | None, classes: tuple[str, ...] | None) -> Listing:
    """List the images of all class folders, or of those that `classes` names, sorted by id (the path below `folder`).

    There is one label, so `label` must be None. Raises `DatasetError` for fewer than two class folders, a class without
    an image, a class of `classes` without a folder, and folders that can be read in two ways. Links that lead to a
    folder a second time are logged.
    """
    if label is not None:
        raise DatasetError(f"label = '{label}': class folders are one label; remove it")
    tree = Tree(folder)
    tree.report()
    top = tree.inside(folder)
    tops = _tops(tree, top, classes)
    found = _found(tree, tops)
    names = classes or tuple(sorted(found))
    if len(names) < 2:
        raise DatasetError(f"{top} has {len(found)} class folders, {', '.join(found) or 'none'}; it needs two or more")
    for name in names:
        if name not in found:
            raise DatasetError(f"{top}: {unknown_name('class folder', name, sorted(found))}")
    check_alike(top, names, found)
    for upper in tops:
        for name in names:
            _check_splits_inside(tree, upper / name)
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
    return Listing(names, sorted(records, key=lambda record: record.id), _notes(tree, top, tops, names))


def _found(tree: Tree, tops: Tops) -> set[str]:
    return {each.name for path in tops for each in tree.folders[path]}


def _tops(tree: Tree, top: Path, classes: tuple[str, ...] | None) -> Tops:
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
    raise _two_readings(
        top,
        f"the splits {_names(parts)}" + (f", with {_names(others)} that belongs to none" if others else ""),
        f"the classes {_names(inner)}",
        "take away what does not belong there, put the images of splits into class folders",
    )


def _splits_named(names: set[str]) -> set[Part]:
    return {PARTS[name.lower()] for name in names if name.lower() in PARTS}


def _check_beside(tree: Tree, top: Path, tops: Tops) -> None:
    """Refuse images beside the class folders."""
    for path in {top: None, **tops}:
        if images := tree.images[path]:
            raise _two_readings(
                path,
                f"folders ({_names(tree.folders[path])}) beside which {len(images)} images of no class lie, as"
                f" {images[0].name}",
                f"one class {path.name} with folders in it",
                "put the images into a class folder, or take them away",
            )


def _check_inside_all(tree: Tree, top: Path, tops: Tops) -> None:
    """Refuse folders that hold the same folders and no images: {2019,2020}/{cat,dog}."""
    inner = tree.folders[top]
    if top not in tops or len(inner) < 2 or any(tree.images[each] for each in inner):
        return
    shared = set.intersection(*({each.name for each in tree.folders[path]} for path in inner))
    if len(shared) > 1:
        raise _two_readings(
            top,
            f"the classes {_names(inner)}",
            f"the classes {listed(sorted(shared))}, in each of these folders",
            "put the folders of a class into one",
        )


def _check_splits_inside(tree: Tree, folder: Path) -> None:
    """Refuse splits inside a class: <class>/{train,test}."""
    inner = {each.name for each in tree.folders.get(folder, ())}
    if len(_splits_named(inner)) > 1:
        raise DatasetError(
            f"{folder} can be read in two ways: as a class with the splits {listed(sorted(inner))}, or as one whose"
            f" images are to be divided anew; put the class into the folders of splits (train/{folder.name}, …), or"
            " rename these folders"
        )


def _two_readings(path: Path, one: str, other: str, remedy: str) -> DatasetError:
    return DatasetError(
        f"{path} can be read in two ways: as {one}, or as {other}; {remedy}, or name the classes under `classes` in the"
        " dataset's file"
    )


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
    ignored = tree.ignored_files()
    left += [f"files: {ignored}"] if ignored else []
    return (f"{found}: {listed(names)}", *([f"left out: {'; '.join(left)}"] if left else []))
