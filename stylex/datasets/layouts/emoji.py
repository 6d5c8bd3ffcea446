"""Emoji of women and men, as the npm packages emoji-datasource-<vendor> have them, of one vendor or several.

    emoji-datasource-google-16.0.0/package/emoji.json              names, files, variations by skin tone
    emoji-datasource-google-16.0.0/package/img/google/64/1f468.png

An emoji is taken when its name has exactly one word of `PEOPLE`, and this word is MAN or WOMAN: this leaves out
families, couples, kisses, people holding hands, and who is feeding a baby. What remains of the name is its design, and
a design is taken when there is a man and a woman of it. Entries whose short name begins with person_ are of neither.

All images of one design are one identity: both classes, all skin tones, all vendors, and the versions facing right.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, TypeAdapter, ValidationError

from stylex.datasets.layouts.records import AGAIN, Classes, ImageRecord, Listing, check_label, select_classes
from stylex.errors import DatasetError

CLASSES = ("man", "woman")
PEOPLE = {"MAN", "WOMAN", "BOY", "GIRL", "BABY"}
FACING = "FACING RIGHT"
PLAIN = "adult"  # the design of MAN and WOMAN themselves
TONES = {
    "": "default", "1F3FB": "light", "1F3FC": "medium-light", "1F3FD": "medium", "1F3FE": "medium-dark", "1F3FF": "dark"
}  # fmt: skip
ACTIVE = ("person-activity", "person-sport")  # most show the whole figure, the others head and shoulders


class Variation(BaseModel):
    """One picture."""

    image: str  # its file name


class Entry(BaseModel):
    """An emoji of emoji.json, with its versions of other skin tones."""

    name: str
    short_name: str
    subcategory: str
    image: str
    skin_variations: dict[str, Variation] = {}  # by the code of the skin tone


class Person(NamedTuple):
    """What the name of an emoji says of the person that it shows."""

    kind: str  # of CLASSES
    design: str
    right: bool  # the version of the design that faces right


def emoji(folder: Path, label: str | None, classes: Classes) -> Listing:
    """List the pictures of all packages in `folder`.

    Their factors (FACTORS): woman; google, and no other vendor; dark, from 0 (the default) by fifths to the darkest
    skin tone; active, of Unicode's groups of activities and sports. Raises `DatasetError` for a label, a class that is
    not there, and a package that is missing or damaged.
    """
    check_label(label, (), "emoji")
    records: list[ImageRecord] = []
    for path in sorted(folder.glob("*/package/emoji.json")):
        for images in sorted(path.parent.glob("img/*/64")):
            records += _records(folder, path, images)
    if not records:
        raise DatasetError(f"{folder} has no */package/emoji.json with pictures beside it; {AGAIN}")
    return select_classes(Listing(CLASSES, sorted(records)), classes)


def person(entry: Entry) -> Person | None:
    """Return the person that an emoji shows; None: it shows several, or neither a man nor a woman by name."""
    words = entry.name.replace(":", " ").replace(",", " ").split()
    people = [word for word in words if word in PEOPLE]
    if len(people) != 1 or people[0].lower() not in CLASSES or entry.short_name.startswith("person_"):
        return None
    design = " ".join(word for word in words if word not in PEOPLE)
    name = design.removesuffix(FACING).strip().lower().replace(" ", "-") or PLAIN
    return Person(people[0].lower(), name, design.endswith(FACING))


def _records(folder: Path, path: Path, images: Path) -> list[ImageRecord]:
    """List the pictures in `images`, those of one vendor, that the package's emoji.json, `path`, describes."""
    try:
        entries = TypeAdapter(list[Entry]).validate_json(path.read_bytes())
    except ValidationError as error:
        raise DatasetError(f"{path} cannot be read: {error.errors()[0]['msg']}; {AGAIN}") from None
    there, vendor = {each.name for each in images.iterdir()}, images.parent.name
    people = {shown: entry for entry in entries if (shown := person(entry)) and entry.image in there}
    records: list[ImageRecord] = []
    for shown, entry in people.items():
        kind, design, right = shown
        if any(shown._replace(kind=each) not in people for each in CLASSES):
            continue
        pictures = {"": entry.image} | {code: each.image for code, each in entry.skin_variations.items()}
        for position, (code, tone) in enumerate(TONES.items()):
            if pictures.get(code) not in there:
                continue
            id = "-".join([design, *(["facing-right"] if right else []), kind, vendor, tone])
            active = entry.subcategory in ACTIVE
            factors = float(kind == "woman"), float(vendor == "google"), position / 5, float(active)
            records.append(
                ImageRecord.below(folder, images / pictures[code], id, CLASSES.index(kind), identity=design)
                ._replace(factors=factors)
            )  # fmt: skip
    return records
