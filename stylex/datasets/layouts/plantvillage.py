"""PlantVillage (Hughes and Salathé 2015, arXiv:1511.08060): photographs of leaves in folders <Crop>___<Disease>.

The authors' copy (huggingface.co/datasets/mohanty/PlantVillage, github.com/spMohanty/PlantVillage-Dataset) and that
of Kaggle hold color/Apple___Apple_scab/<UUID>___FREC_Scab 3335.JPG, and beside color a grey and a segmented
version, which are not read. The copy of Mendeley (doi:10.17632/tywbtsjrjv.1) has lost the original file names,
shortens the names of two crops, and adds a folder of backgrounds without leaves, which is not read.

The authors' leaf-map.json says which photographs show the same leaf: these share an identity. Its keys are original
file names in lower case, without their endings; its values are lists of "<Crop>___<Disease>:::<leaf>", with several
entries where two folders use the same name.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from stylex.datasets.layouts.records import Classes, ImageRecord, Listing, check_label, select_classes
from stylex.errors import DatasetError

HEALTH = ("healthy", "sick")
SUFFIXES = {".jpg", ".jpeg", ".png"}
LEAF_MAP = "leaf-map.json"


def plantvillage(folder: Path, label: str | None, classes: Classes) -> Listing:
    """List the photographs; those of one leaf share an identity where leaf-map.json is there.

    label: health (the default: healthy, sick) or class: crop and disease as `plant_class` spells them. Raises
    `DatasetError` for an unknown label or class, a missing folder, or a damaged leaf-map.json.
    """
    check_label(label, ("health", "class"), "plantvillage")
    colour, class_folders, leaf_map = _plant_folders(folder)
    try:
        leaves = TypeAdapter(dict[str, list[str]]).validate_json(leaf_map.read_bytes()) if leaf_map else None
    except ValidationError as error:
        what = f"{leaf_map} cannot be read: {error.errors()[0]['msg']}"
        raise DatasetError(f"{what}; delete it and run `stylex download` again") from None
    if label == "class":
        names = tuple(sorted(map(plant_class, class_folders)))
        labels = {each: names.index(plant_class(each)) for each in class_folders}
    else:
        names, labels = HEALTH, {each: int(not each.endswith("___healthy")) for each in class_folders}
    records: list[ImageRecord] = []
    for class_folder in class_folders:
        for path in (colour / class_folder).iterdir():
            if path.suffix.lower() in SUFFIXES:
                leaf = None if leaves is None else f"{class_folder}/{_leaf(path, leaves)}"
                id, position = f"{class_folder}/{path.name}", labels[class_folder]
                records.append(ImageRecord.below(folder, path, id, position, identity=leaf))
    return select_classes(Listing(names, sorted(records)), classes)


def plant_class(class_folder: str) -> str:
    """Return a name that can be typed, the same in every copy: corn-common-rust for Corn_(maize)___Common_rust_."""
    crop, _, disease = class_folder.partition("___")
    plain_crop = re.sub(r"\(.*\)", "", crop)  # Mendeley leaves (maize) and (including_sour) away
    return re.sub("[^a-z0-9]+", "-", f"{plain_crop} {disease}".lower()).strip("-")


def _plant_folders(folder: Path) -> tuple[Path, list[str], Path | None]:
    """Return the folder of the colour photographs, its folders of classes, and leaf-map.json if it is there."""
    found: dict[Path, list[str]] = {}
    leaf_map = None
    for parent, folders, files in os.walk(folder):
        class_folders = sorted(name for name in folders if "___" in name)
        if class_folders:
            found[Path(parent)] = class_folders
            folders.clear()  # no need to look through 54,000 photographs
        if LEAF_MAP in files:
            leaf_map = Path(parent) / LEAF_MAP
    chosen = [parent for parent in found if parent.name == "color"] or list(found)
    if len(chosen) != 1:
        what = " and ".join(sorted(map(str, chosen))) or "no folder"
        raise DatasetError(
            f"{folder}: {what} with folders <Crop>___<Disease>, expected one copy of PlantVillage; remove the others or"
            " run `stylex download` again"
        )
    return chosen[0], found[chosen[0]], leaf_map


def _leaf(path: Path, leaves: dict[str, list[str]]) -> str:
    """Return the leaf of a photograph; one that is not in the map is its own leaf, together with its copies.

    The key as in create_data_distribution.py of the authors: what follows ___, up to the word copy.
    """
    key = path.stem.split("___")[-1].split("copy")[0].lower().strip()
    entries = leaves.get(key, [])
    own = [leaf for leaf in entries if leaf.startswith(f"{path.parent.name}:::")]
    return entries[0] if len(entries) == 1 else own[0] if own else key
