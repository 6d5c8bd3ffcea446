"""CelebA, FFHQ and AFHQ as published, in miniature: which image, which label, which part; and what each fault says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stylex.datasets.layouts import afhq, celeba, ffhq
from stylex.datasets.layouts.records import Listing
from stylex.errors import DatasetError


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def labelled(listing: Listing) -> dict[str, str]:
    return {record.id: listing.class_names[record.label] for record in listing.records}


@pytest.fixture
def faces(tmp_path) -> Path:
    """CelebA: as in its archive, rows padded with spaces; the tables are not in the order of the images."""
    images = {f"img_align_celeba/img_align_celeba/{name}.jpg": "" for name in ("000001", "000002", "000003")}
    attributes = (
        "3\n5_o_Clock_Shadow Male Young \n"
        "000002.jpg  1  1  1\n"
        "000001.jpg -1 -1  1\n"
        "000003.jpg -1 -1 -1\n"
    )  # fmt: skip
    tables = {
        "list_attr_celeba.txt": attributes,
        "list_eval_partition.txt": "000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n",
        "identity_CelebA.txt": "000003.jpg 8692\n000001.jpg 2880\n000002.jpg 2880\n",
    }
    return write(tmp_path / "celeba", images | tables)


@pytest.fixture
def portraits(tmp_path) -> Path:
    """FFHQ: the resized copy, and the labels of FFHQ-Aging with all their columns."""
    header = (
        "image_number,age_group,age_group_confidence,gender,gender_confidence,head_pitch,head_roll,head_yaw,"
        "left_eye_occluded,right_eye_occluded,glasses\n"
    )
    ages = ("0-2", "30-39", "40-49", "70-120")
    rows = "".join(
        f"{number},{age},0.8,{('male', 'female')[number % 2]},1,-7.2,4.4,-21.6,0.0,1.3,None\n"
        for number, age in reversed(list(enumerate(ages)))
    )
    images = {f"resized/resized/0000{number}.jpg": "" for number in range(4)}
    return write(tmp_path / "ffhq", images | {"ffhq_aging_labels.csv": header + rows})


ANIMALS = {
    f"afhq/afhq/{part}/{domain}/flickr_{domain}_00000{number}.jpg": ""
    for number, part in enumerate(("train", "train", "val"), 2)
    for domain in ("cat", "dog", "wild")
}


@pytest.fixture
def animals(tmp_path) -> Path:
    return write(tmp_path / "afhq", ANIMALS | {"afhq/__MACOSX/afhq/train/cat/._flickr_cat_000002.jpg": ""})


def test_celeba(faces):
    listing = celeba.list_images(faces, None, None)
    assert labelled(listing) == {"000001": "female", "000002": "male", "000003": "female"}
    assert [record.part for record in listing.records] == ["train", "val", "test"]
    assert [record.identity for record in listing.records] == ["2880", "2880", "8692"]  # one person in two parts
    first = listing.records[0]
    assert first.path.is_file() and first.source == "img_align_celeba/img_align_celeba/000001.jpg"


def test_celeba_by_any_attribute(faces):
    assert labelled(celeba.list_images(faces, "Young", None)) == {"000001": "young", "000002": "young", "000003": "old"}
    stubble = celeba.list_images(faces, "5_o_Clock_Shadow", ("smooth", "stubble"))
    assert labelled(stubble) == {"000001": "smooth", "000002": "stubble", "000003": "smooth"}
    assert celeba.list_images(faces, "5_o_Clock_Shadow", None).class_names == (
        "not 5_o_Clock_Shadow",
        "5_o_Clock_Shadow",
    )


def test_celeba_of_kaggle_says_the_same_but_knows_no_person(faces, tmp_path):
    tables = {
        "list_attr_celeba.csv": "image_id,Male,Young\n000001.jpg,-1,1\n000003.jpg,-1,-1\n000002.jpg,1,1\n",
        "list_eval_partition.csv": "image_id,partition\n000001.jpg,0\n000002.jpg,1\n000003.jpg,2\n",
    }
    images = {f"img_align_celeba/img_align_celeba/00000{number}.jpg": "" for number in (1, 2, 3)}
    copy = celeba.list_images(write(tmp_path / "kaggle" / "archive", tables | images).parent, "Male", None)
    ours = celeba.list_images(faces, "Male", None)
    assert [(r.id, r.label, r.part) for r in copy.records] == [(r.id, r.label, r.part) for r in ours.records]
    assert {record.identity for record in copy.records} == {None}


@pytest.mark.parametrize("folder", ["resized", "thumbnails128x128/00000"])
def test_ffhq(portraits, folder):
    (portraits / "resized" / folder).parent.mkdir(exist_ok=True)
    (portraits / "resized" / "resized").rename(portraits / "resized" / folder)
    gender = ffhq.list_images(portraits, "gender", None)
    assert gender.class_names == ("female", "male")
    assert labelled(gender) == {"00000": "male", "00001": "female", "00002": "male", "00003": "female"}
    age = ffhq.list_images(portraits, "age", ("young", "old"))
    assert age.class_names == ("young", "old")
    assert labelled(age) == {"00000": "young", "00001": "young", "00002": "old", "00003": "old"}
    assert {record.part for record in age.records} == {None}


def test_every_age_group_of_ffhq_is_young_or_old():
    assert len(ffhq.MEANINGS["age"]) == 10
    assert {name for group, name in ffhq.MEANINGS["age"].items() if int(group.split("-")[0]) < 40} == {"young"}


def test_afhq_1_takes_val_as_test(animals):
    listing = afhq.list_images(animals, None, None)
    assert listing.class_names == ("cat", "dog", "wild") and len(listing.records) == 9
    assert {record.id: record.part for record in listing.records if record.label == 0} == {
        "flickr_cat_000002": "train",
        "flickr_cat_000003": "train",
        "flickr_cat_000004": "test",
    }


def test_afhq_2_of_two_classes(tmp_path):
    names = ("train/cat/pixabay_cat_000002", "train/wild/flickr_wild_000002", "test/dog/flickr_dog_000043")
    folder = write(tmp_path, {f"afhq_v2/{name}.png": "" for name in names})
    listing = afhq.list_images(folder, "domain", ("dog", "cat"))
    assert labelled(listing) == {"flickr_dog_000043": "dog", "pixabay_cat_000002": "cat"}
    assert [record.part for record in listing.records] == ["test", "train"]


def test_species_are_brought_by_the_user(animals):
    with pytest.raises(DatasetError, match=r"species.csv does not exist: .* such as flickr_wild_000002,lion"):
        afhq.list_images(animals, "species", None)
    rows = "file,species\nflickr_wild_000004.jpg,lion\nflickr_wild_000002,cheetah\nflickr_wild_000003.png,wolf\n"
    write(animals, {"species.csv": rows})
    assert afhq.list_images(animals, "species", None).class_names == ("cheetah", "lion", "wolf")
    cats = afhq.list_images(animals, "species", ("lion", "cheetah"))
    assert labelled(cats) == {"flickr_wild_000002": "cheetah", "flickr_wild_000004": "lion"}
    assert [record.part for record in cats.records] == ["train", "test"]


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new, 1))

    return change


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


ATTRIBUTES, PARTITION, LABELS = "list_attr_celeba.txt", "list_eval_partition.txt", "ffhq_aging_labels.csv"
JPG = "img_align_celeba/img_align_celeba/000002.jpg"
FAULTS = [
    (removed(PARTITION), "celeba has no list_eval_partition.txt or list_eval_partition.csv"),
    (removed(JPG), f"{ATTRIBUTES}, line 3: there is no image 000002"),
    (replaced(ATTRIBUTES, "000002.jpg  1  1  1\n", ""), f"{ATTRIBUTES} has no row for .*000002.jpg"),
    (replaced(ATTRIBUTES, "1  1  1", "1  1"), f"{ATTRIBUTES}, line 3: 2 values, expected 3"),
    (replaced(ATTRIBUTES, "1  1  1", "1  0  1"), f"{ATTRIBUTES}, line 3: '0' is not one of -1, 1"),
    (replaced(ATTRIBUTES, "Male", "Mail"), f"{ATTRIBUTES}, line 2: unknown attribute 'Male'; did you mean 'Mail'"),
    (replaced(PARTITION, "000002.jpg 1", "000001.jpg 1"), f"{PARTITION}, line 2: 000001.jpg stands in line 1 already"),
    (replaced(PARTITION, "000003.jpg 2", "000003.jpg 3"), f"{PARTITION}, line 3: '3' is not one of 0, 1, 2"),
    (replaced("identity_CelebA.txt", "000003.jpg 8692\n", ""), "identity_CelebA.txt has no row for .*000003.jpg"),
]


@pytest.mark.parametrize(("damage", "message"), FAULTS)
def test_faults_of_celeba(faces, damage, message):
    damage(faces)
    with pytest.raises(DatasetError, match=message) as caught:
        celeba.list_images(faces, "Male", None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (removed(LABELS), f"ffhq has no {LABELS}; download the dataset again"),
        (replaced(LABELS, "age_group,", "age,"), f"{LABELS}, line 1: there is no column 'age_group'"),
        (replaced(LABELS, "70-120", "70-99"), f"{LABELS}, line 2: '70-99' is not one of 40-49, 50-69"),
        (replaced(LABELS, "\n2,", "\n4,"), f"{LABELS}, line 3: there is no image 00004"),
        (removed("resized/resized/00001.jpg"), f"{LABELS}, line 4: there is no image 00001"),
        (replaced(LABELS, "70-120", "7" * 200_000), f"{LABELS}, line [12]: field larger than field limit"),
        (lambda folder: write(folder, {"resized/00001.png": ""}), "00001.png and .*00001.jpg have the same name"),
        (lambda folder: write(folder, {"00004.png": ""}), f"{LABELS} has no row for .*00004.png"),
    ],
)
def test_faults_of_ffhq(portraits, damage, message):
    damage(portraits)
    with pytest.raises(DatasetError, match=message):
        ffhq.list_images(portraits, "age", None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("name,species\n", "species.csv, line 1: there is no column 'file'"),
        ("file,species\nflickr_wild_000002,lion\nflickr_wild_9,lion\n", "line 3: there is no image flickr_wild_9"),
        ("file,species\nflickr_wild_000002,lion\nflickr_wild_000002.jpg,tiger\n", "line 3: .* stands in line 2"),
        ("file,species\nflickr_wild_000002,lion\n", "species.csv has no row for .*flickr_wild_000003.jpg"),
    ],
)
def test_faults_of_species(animals, rows, message):
    write(animals, {"species.csv": rows})
    with pytest.raises(DatasetError, match=message):
        afhq.list_images(animals, "species", None)


def test_mistakes_of_a_description(faces, portraits, animals):
    for list_images, folder, label, classes, message in (
        (celeba.list_images, faces, "Male", ("a", "b", "c"), "classes = a, b, c: name two"),
        (ffhq.list_images, portraits, "sex", None, "unknown label of FFHQ 'sex'; choose one of age, gender"),
        (
            ffhq.list_images,
            portraits,
            "age",
            ("young", "aged"),
            "classes = young, aged: the classes of age are old and",
        ),
        (afhq.list_images, animals, "specie", None, "unknown label of AFHQ 'specie'; did you mean 'species'"),
        (afhq.list_images, animals, "domain", ("cat", "dogs"), "no image of the unknown class 'dogs'; did you mean"),
        (afhq.list_images, faces, None, None, "has no images"),
    ):
        with pytest.raises(DatasetError, match=message):
            list_images(folder, label, classes)
