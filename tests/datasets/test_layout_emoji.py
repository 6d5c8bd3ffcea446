"""Emoji: which are taken and as what, all pictures of a design in one split, and damaged packages."""

import io
import json
from collections import defaultdict
from pathlib import Path

import numpy
import pytest
from PIL import Image

from stylex.config import load_dataset_file
from stylex.datasets import load_all_classes, prepare
from stylex.datasets.catalog import dataset_spec
from stylex.datasets.factors import by_halves, read_factors
from stylex.datasets.image_files import list_files
from stylex.datasets.layouts import FACTORS, load_layout
from stylex.errors import DatasetError
from tests.builders import tgz

REPOSITORY = Path(__file__).parents[2]
PEOPLE = {
    "WOMAN RUNNING": "runner-w", "WOMAN RUNNING FACING RIGHT": "runner-wr", "MAN RUNNING": "runner-m",
    "MAN RUNNING FACING RIGHT": "runner-mr", "OLDER MAN": "old-m", "OLDER WOMAN": "old-w", "MAN: BALD": "bald-m",
    "WOMAN: BALD": "bald-w", "MAN": "man", "WOMAN": "woman",
}  # fmt: skip
OTHERS = {
    "KISS: MAN, MAN": "kiss-m", "KISS: WOMAN, MAN": "kiss-wm", "FAMILY: MAN, BOY": "f-m", "FAMILY: WOMAN, BOY": "f-w",
    "MAN FEEDING BABY": "feed-m", "WOMAN FEEDING BABY": "feed-w", "MAN AND WOMAN HOLDING HANDS": "hands",
    "MAN DANCING": "dance", "PERSON RUNNING": "person", "HASH KEY": "hash",
}  # fmt: skip
MANY = {f"{kind} DESIGN{number}": f"{kind}{number}" for number in range(20) for kind in ("MAN", "WOMAN")}
VENDORS = ("google", "twitter")


def entry(name: str, image: str, short_name: str | None = None) -> dict:
    tones = {tone: {"unified": tone, "image": f"{image}-{tone}.png"} for tone in ("1F3FB", "1F3FF")}
    group = "person-activity" if "RUNNING" in name else "person-role"
    known = {"name": name, "short_name": short_name or image, "subcategory": group, "image": f"{image}.png"}
    return known | ({"skin_variations": tones} if "BALD" not in name else {})


def picture(seed: int) -> bytes:
    """A picture of its own: the left half is transparent and black below it, the right half opaque."""
    pixels = numpy.random.default_rng(seed).integers(0, 200, (64, 64, 4), numpy.uint8)
    pixels[:, :32], pixels[:, 32:, 3] = 0, 255
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def packages(entries: list[dict]) -> dict[str, dict[str, bytes]]:
    """The members of the two packages by the name of their files."""
    found = {}
    for number, vendor in enumerate(VENDORS):
        images = [each["image"] for each in entries]
        images += [tone["image"] for each in entries for tone in each.get("skin_variations", {}).values()]
        members = {f"package/img/{vendor}/64/{image}": picture(at + 1000 * number) for at, image in enumerate(images)}
        members |= {"package/emoji.json": json.dumps(entries).encode(), f"package/img/{vendor}/sheets/32.png": b"sheet"}
        found[f"emoji-datasource-{vendor}-16.0.0.tgz"] = members
    return found


@pytest.fixture
def unpacked(tmp_path):
    entries = [entry(name, image) for name, image in (PEOPLE | OTHERS).items()]
    entries.append(entry("MAN: BALD", "bald-p", "person_bald"))  # an older name of a person's emoji
    for name, members in packages(entries).items():
        for member, body in members.items():
            path = tmp_path / name.removesuffix(".tgz") / member
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
    return tmp_path


@pytest.fixture
def downloaded(root, write_raw):
    """A project with miniatures of both packages, of 20 designs, as downloaded."""
    files = packages([entry(name, image) for name, image in MANY.items()])
    write_raw(root / "data/raw/emoji", {name: tgz(members) for name, members in files.items()})
    return root


def test_who_is_taken_and_as_what(unpacked):
    listing = load_layout("emoji")(unpacked, None, None)
    assert listing.class_names == ("man", "woman")
    ids = [record.id for record in listing.records]
    assert ids == sorted(set(ids)) and len(ids) == 2 * (8 * 3 + 2)
    records = {record.id: record for record in listing.records}
    runner = records["running-facing-right-woman-twitter-dark"]
    assert runner.source == "emoji-datasource-twitter-16.0.0/package/img/twitter/64/runner-wr-1F3FF.png"
    assert (runner.label, runner.identity) == (1, "running")
    assert dict(zip(FACTORS["emoji"], runner.factors, strict=True)) == {"woman": 1, "google": 0, "dark": 1, "active": 1}
    assert records["bald-man-google-default"].path.name == "bald-m.png"
    assert records["adult-man-google-light"].factors == (0, 1, 0.2, 0)
    assert {record.identity for record in listing.records} == {"running", "older", "bald", "adult"}
    assert {record.label for record in load_layout("emoji")(unpacked, None, ("woman", "man")).records[:1]} == {1}


def test_a_picture_that_a_vendor_does_not_have_takes_its_counterpart_along(unpacked):
    (unpacked / "emoji-datasource-google-16.0.0/package/img/google/64/old-w.png").unlink()
    older = [each.id for each in load_layout("emoji")(unpacked, None, None).records if each.identity == "older"]
    assert len(older) == 6 and all("-twitter-" in each for each in older)


def test_transparent_pixels_are_white_and_a_design_is_in_one_split(downloaded):
    prepare(downloaded, "emoji", 64)
    folder = downloaded / "data/raw/emoji/emoji-datasource-google-16.0.0/package/img/google"
    assert [path.name for path in folder.iterdir()] == ["64"], "only what is needed is unpacked"
    homes = defaultdict(set)
    for part in ("train", "val", "test"):
        split = load_all_classes(downloaded, "emoji", 64, part)
        pixels = split.raw()
        assert (pixels[..., :32] == 255).all() and (pixels[..., 32:] < 200).all()
        for id, label in zip(split.ids, split.labels.tolist(), strict=True):
            design, kind, *_ = id.split("-")
            assert split.class_names[label] == kind
            homes[design].add(part)
        halves = by_halves(split, read_factors(downloaded, "emoji", 64))
        expected = [
            "".join(str(int(each)) for each in ("-woman-" in id, "-google-" in id, id.endswith("-dark"), False))
            for id in split.ids
        ]
        assert [halves.class_names[label] for label in halves.labels.tolist()] == expected
    assert len(homes) == 20 and {len(parts) for parts in homes.values()} == {1}
    assert {part for parts in homes.values() for part in parts} == {"train", "val", "test"}


def test_other_members_are_not_taken_for_those_that_were_unpacked(downloaded):
    prepare(downloaded, "emoji", 64)
    path = downloaded / "config/datasets/emoji.yaml"
    path.write_text(path.read_text().replace("img/twitter/64/*.png", "img/twitter/*/*.png"))
    with pytest.raises(DatasetError, match=r"twitter-16.0.0 was made from another .*, or of other members; delete it"):
        prepare(downloaded, "emoji", 64)


def test_the_listing_of_other_datasets_has_no_factors(downloaded):
    path = downloaded / "config/datasets/emoji.yaml"
    folder, checksums = downloaded / "data/raw/emoji", {}
    path.write_text("title: Pets\nlayout: folders\nlicence: mine\nfolder: pets\n")
    for number in range(24):
        pet = downloaded / "pets" / ("cat" if number % 2 else "dog") / f"{number}.png"
        pet.parent.mkdir(parents=True, exist_ok=True)
        pet.write_bytes(picture(number))
    files = list_files(downloaded, dataset_spec(downloaded, "emoji"), folder, checksums)
    assert files.factors == () and "factors" not in files.description()


def test_packages_that_are_missing_or_damaged(unpacked, tmp_path):
    described = unpacked / "emoji-datasource-google-16.0.0/package/emoji.json"
    described.write_text('[{"name": "MAN"}]')
    with pytest.raises(
        DatasetError, match=r"google-16.0.0/package/emoji.json cannot be read: .*; download the dataset"
    ):
        load_layout("emoji")(unpacked, None, None)
    with pytest.raises(DatasetError, match=r"empty has no \*/package/emoji.json with pictures beside it; download"):
        load_layout("emoji")(tmp_path / "empty", None, None)
    with pytest.raises(DatasetError, match="the layout emoji has one label; remove the key"):
        load_layout("emoji")(unpacked, "age", None)


def test_the_shipped_file_names_both_packages():
    (source,) = load_dataset_file(REPOSITORY, "emoji").sources
    assert [f"{each.rpartition('@')[0]}-16.0.0.tgz" for each in source.npm] == [file.name for file in source.files]
    assert all(file.size and file.sha256 and file.members for file in source.files)
