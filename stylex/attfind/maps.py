"""attribute_maps.safetensors: where each attribute changes the images, a map an attribute, found by its move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from stylex.artifacts import load_tensors, save_tensors
from stylex.attfind.records import Attribute
from stylex.errors import ArtifactError


def map_name(attribute: Attribute) -> str:
    """Return the name of an attribute's map: its coordinate, direction and target class."""
    return f"{attribute.style_index} {attribute.direction.label} {attribute.target_class}"


def write_maps(path: Path, maps: Mapping[str, Tensor], provenance: Mapping[str, str]) -> None:
    """Write the maps [H, W] by `map_name`, in [0, 2]."""
    save_tensors(path, {name: each.float() for name, each in maps.items()}, provenance)


def read_maps(path: Path, attributes: Sequence[Attribute]) -> list[Tensor]:
    """Return the map [H, W] in [0, 2] of each attribute; NaN where there was no image to move.

    Raises `ArtifactError` when the file is missing or damaged, or has no map of one of them.
    """
    maps, _ = load_tensors(path)
    missing = [map_name(each) for each in attributes if map_name(each) not in maps]
    if missing:
        raise ArtifactError(f"{path} has no map of the move '{missing[0]}'; run its stage again")
    return [maps[map_name(each)] for each in attributes]


def mapped(found: Sequence[Attribute], count: int) -> list[Attribute]:
    """Return the first of a class's list, up to `count` different coordinates: all that a figure of so many shows.

    A list may have a coordinate twice, once in either direction.
    """
    seen: set[int] = set()
    first = []
    for attribute in found:
        seen.add(attribute.style_index)
        if len(seen) > count:
            break
        first.append(attribute)
    return first
