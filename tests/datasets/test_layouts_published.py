"""Published datasets in miniature, exactly of their layout: which image, label and part; and what each fault says."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from stylex.config import load_dataset_file
from stylex.datasets.layouts import load_layout
from stylex.datasets.layouts.plantvillage import plant_class
from stylex.datasets.layouts.published import FFHQ_MEANINGS
from stylex.datasets.layouts.records import Listing
from stylex.errors import DatasetError

REPOSITORY = Path(__file__).parents[2]
JPG = "img_align_celeba/img_align_celeba/00000{}.jpg"
CELEBA = {JPG.format(number): "" for number in (1, 2, 3)} | {
    # as in its archive, rows padded with spaces; the tables are not in the order of the images
    "list_attr_celeba.txt": "3\n5_o_Clock_Shadow Male Young \n000002.jpg  1  1  1\n000001.jpg -1 -1  1\n"
    "000003.jpg -1 -1 -1\n",
    "list_eval_partition.txt": "000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n",
    "identity_CelebA.txt": "000003.jpg 8692\n000001.jpg 2880\n000002.jpg 2880\n",
}
CELEBA_OF_KAGGLE = {f"archive/{JPG.format(number)}": "" for number in (1, 2, 3)} | {
    "archive/list_attr_celeba.csv": "image_id,Male,Young\n000001.jpg,-1,1\n000003.jpg,-1,-1\n000002.jpg,1,1\n",
    "archive/list_eval_partition.csv": "image_id,partition\n000001.jpg,0\n000002.jpg,1\n000003.jpg,2\n",
}
FFHQ = {f"resized/resized/0000{number}.jpg": "" for number in range(4)} | {
    "ffhq_aging_labels.csv": "image_number,age_group,age_group_confidence,gender,gender_confidence,head_pitch\n"
    "3,70-120,0.8,female,1,-7.2\n2,40-49,0.8,male,1,-7.2\n1,30-39,0.8,female,1,-7.2\n0,0-2,0.8,male,1,-7.2\n"
}
AFHQ = {
    f"afhq/afhq/{part}/{domain}/flickr_{domain}_00000{number}.jpg": ""
    for number, part in enumerate(("train", "train", "val"), 2)
    for domain in ("cat", "dog", "wild")
} | {"afhq/__MACOSX/afhq/train/cat/._flickr_cat_000002.jpg": ""}

SCAB = "Apple___Apple_scab/00075aa8-d81a-4184-8541-b692b78d398a___FREC_Scab 3335.JPG"
SCAB_COPY = "Apple___Apple_scab/01a66316-0e98-4d3b-a56f-d78752cd043f___FREC_Scab 3335 copy 2.JPG"
RUST = "Corn_(maize)___Common_rust_/0abc___RS_Rust 1563.JPG"
BLIGHT = "Potato___Early_blight/001187a0___RS_Early.B 7554.JPG"
BLIGHT_SAME_LEAF = "Potato___Early_blight/002a55fb___RS_Early.B 7557.JPG"
HEALTHY = "Cherry_(including_sour)___healthy/00fb7e67___JR_HL 4071.JPG"
TOMATO = "Tomato___healthy/000146ff___JR_HL 4071.JPG"
PLANTS = (SCAB, SCAB_COPY, RUST, BLIGHT, BLIGHT_SAME_LEAF, HEALTHY, TOMATO)
LEAVES = {
    "rs_early.b 7554": ["Potato___Early_blight:::115.0"],
    "rs_early.b 7557": ["Potato___Early_blight:::115.0"],
    "jr_hl 4071": ["Cherry_(including_sour)___healthy:::7.0", "Tomato___healthy:::9.0"],
}
PLANTVILLAGE = {f"data/raw/{kind}/{name}": "" for kind in ("color", "grayscale") for name in PLANTS} | {
    "leaf-map.json": json.dumps(LEAVES)
}

ALBATROSS, ALBATROSS_LEFT, BLACKBIRD = BIRDS = (
    "001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg",
    "001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg",
    "009.Brewer_Blackbird/Brewer_Blackbird_0028_2682.jpg",
)
CUB_ROOT = "CUB_200_2011/CUB_200_2011/"
CUB = {
    f"{CUB_ROOT}classes.txt": "1 001.Black_footed_Albatross\n2 009.Brewer_Blackbird\n",
    f"{CUB_ROOT}images.txt": "".join(f"{number} {name}\n" for number, name in enumerate(BIRDS, 1)),
    f"{CUB_ROOT}image_class_labels.txt": "1 1\n2 1\n3 2\n",
    f"{CUB_ROOT}train_test_split.txt": "1 0\n2 1\n3 1\n",
    f"{CUB_ROOT}bounding_boxes.txt": "1 60.0 20.0 30.0 20.0\n2 0.0 5.0 20.0 40.0\n3 5.0 1.0 90.0 48.0\n",
}
EYES = ("20051020_43808_0100_PP.png", "20051020_43832_0100_PP.png", "IM000595.JPG", "IM000596.JPG")
GRADES_FILE = "messidor2-dr-grades/messidor_data.csv"
MESSIDOR2 = {f"IMAGES/IMAGES/{name}": "" for name in EYES} | {
    "messidor-2.csv": f"left;right \r\n{EYES[0]};{EYES[1]}\r\n{EYES[3]};{EYES[2]}\r\n;\r\n",
    GRADES_FILE: "image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable\n"
    f"{EYES[0]},0,0,1\n{EYES[1]},2,1,1\nIM000595.jpg,,,0\nIM000596.jpg,1.0,0.0,1\n",
}
FILES = {
    "celeba": CELEBA, "ffhq": FFHQ, "afhq": AFHQ, "plantvillage": PLANTVILLAGE, "cub": CUB, "messidor2": MESSIDOR2,
}  # fmt: skip


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder


@pytest.fixture
def data(tmp_path) -> Callable[..., tuple[Path, Callable[..., Listing]]]:
    """Write a dataset; return its folder and what lists it."""

    def publish(layout: str, files: dict[str, str] | None = None) -> tuple[Path, Callable[..., Listing]]:
        folder = write(tmp_path / layout, FILES[layout] if files is None else files)
        if layout == "cub":
            for name in BIRDS:
                path = folder / CUB_ROOT / "images" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (100, 50)).save(path)
        return folder, lambda label=None, classes=None: load_layout(layout)(folder, label, classes)

    return publish


def labelled(listing: Listing) -> dict[str, str]:
    return {record.id: listing.class_names[record.label] for record in listing.records}


@pytest.mark.parametrize("layout", FILES)
def test_records_are_sorted_files_below_the_raw_folder(data, layout):
    folder, listed = data(layout)
    records = listed().records
    assert [record.id for record in records] == sorted({record.id for record in records})
    assert all(record.path == folder / record.source and record.path.is_file() for record in records)


def test_celeba(data, tmp_path):
    _, listed = data("celeba")
    listing = listed()
    assert labelled(listing) == {"000001": "female", "000002": "male", "000003": "female"}
    assert [record.part for record in listing.records] == ["train", "val", "test"]
    assert [record.identity for record in listing.records] == ["2880", "2880", "8692"]  # one person in two parts
    assert labelled(listed("Young")) == {"000001": "young", "000002": "young", "000003": "old"}
    stubble = listed("5_o_Clock_Shadow", ("smooth", "stubble"))
    assert labelled(stubble) == {"000001": "smooth", "000002": "stubble", "000003": "smooth"}
    assert listed("5_o_Clock_Shadow").class_names == ("not 5_o_Clock_Shadow", "5_o_Clock_Shadow")
    copy = load_layout("celeba")(write(tmp_path / "kaggle", CELEBA_OF_KAGGLE), "Male", None)
    assert [(r.id, r.label, r.part) for r in copy.records] == [(r.id, r.label, r.part) for r in listing.records]
    assert {record.identity for record in copy.records} == {None}


@pytest.mark.parametrize("moved", ["resized/resized", "thumbnails128x128/00000"])
def test_ffhq(data, moved):
    _, listed = data("ffhq", {name.replace("resized/resized", moved): text for name, text in FFHQ.items()})
    gender, age = listed("gender"), listed("age", ("young", "old"))
    assert gender.class_names == ("female", "male") and age.class_names == ("young", "old")
    assert labelled(gender) == {"00000": "male", "00001": "female", "00002": "male", "00003": "female"}
    assert labelled(age) == {"00000": "young", "00001": "young", "00002": "old", "00003": "old"}
    assert {record.part for record in age.records} == {None}
    groups = FFHQ_MEANINGS["age"][1]
    assert len(groups) == 10 and all(young == (int(group.split("-")[0]) < 40) for group, young in groups.items())


def test_afhq_1_takes_val_as_test_and_afhq_2_has_one(data):
    _, listed = data("afhq")
    listing = listed()
    assert listing.class_names == ("cat", "dog", "wild") and len(listing.records) == 9
    parts = {record.id[-1]: record.part for record in listing.records if record.label == 0}
    assert parts == {"2": "train", "3": "train", "4": "test"}


def test_afhq_2_of_two_classes(data):
    names = ("train/cat/pixabay_cat_000002", "train/wild/flickr_wild_000002", "test/dog/flickr_dog_000043")
    _, listed = data("afhq", {f"afhq_v2/{name}.png": "" for name in names})
    listing = listed("domain", ("dog", "cat"))
    assert labelled(listing) == {"flickr_dog_000043": "dog", "pixabay_cat_000002": "cat"}
    assert [record.part for record in listing.records] == ["test", "train"]


SPECIES = "file,species\nflickr_wild_000004.jpg,lion\nflickr_wild_000002,cheetah\nflickr_wild_000003.png,wolf\n"


def test_species_are_brought_by_the_user(data):
    folder, listed = data("afhq")
    with pytest.raises(DatasetError, match=r"species.csv does not exist: .* such as flickr_wild_000002,lion"):
        listed("species")
    write(folder, {"species.csv": SPECIES})
    assert listed("species").class_names == ("cheetah", "lion", "wolf")
    cats = listed("species", ("lion", "cheetah"))
    assert labelled(cats) == {"flickr_wild_000002": "cheetah", "flickr_wild_000004": "lion"}
    assert [record.part for record in cats.records] == ["train", "test"]


def test_plants(data):
    _, listed = data("plantvillage")
    assert labelled(listed()) == {name: "healthy" if name in (HEALTHY, TOMATO) else "sick" for name in PLANTS}
    classes = listed("class")
    assert classes.class_names == (
        "apple-apple-scab", "cherry-healthy", "corn-common-rust", "potato-early-blight", "tomato-healthy"
    )  # fmt: skip
    assert labelled(classes)[RUST] == "corn-common-rust"
    assert all(record.source.startswith("data/raw/color/") for record in classes.records)
    leaf = {record.id: record.identity for record in classes.records}
    assert leaf[BLIGHT] == leaf[BLIGHT_SAME_LEAF]
    assert leaf[SCAB] == leaf[SCAB_COPY], "a copy of a photograph is of the same leaf, even of one not in the map"
    assert len({leaf[name] for name in (BLIGHT, SCAB, RUST, HEALTHY, TOMATO)}) == 5


def test_the_published_folders_are_the_classes_of_the_shipped_file():
    published = {
        "Apple": "Apple_scab, Black_rot, Cedar_apple_rust, healthy",
        "Blueberry": "healthy",
        "Cherry_(including_sour)": "Powdery_mildew, healthy",
        "Corn_(maize)": "Cercospora_leaf_spot Gray_leaf_spot, Common_rust_, Northern_Leaf_Blight, healthy",
        "Grape": "Black_rot, Esca_(Black_Measles), Leaf_blight_(Isariopsis_Leaf_Spot), healthy",
        "Orange": "Haunglongbing_(Citrus_greening)",
        "Peach": "Bacterial_spot, healthy",
        "Pepper,_bell": "Bacterial_spot, healthy",
        "Potato": "Early_blight, Late_blight, healthy",
        "Raspberry": "healthy",
        "Soybean": "healthy",
        "Squash": "Powdery_mildew",
        "Strawberry": "Leaf_scorch, healthy",
        "Tomato": "Bacterial_spot, Early_blight, Late_blight, Leaf_Mold, Septoria_leaf_spot, Spider_mites Two-spotted_"
        "spider_mite, Target_Spot, Tomato_Yellow_Leaf_Curl_Virus, Tomato_mosaic_virus, healthy",
    }
    folders = [f"{crop}___{disease}" for crop, diseases in published.items() for disease in diseases.split(", ")]
    assert list(map(plant_class, folders)) == load_dataset_file(REPOSITORY, "plantvillage-38").classes
    mendeley = ("Cherry___healthy", "Corn___Common_rust", "Corn___Cercospora_leaf_spot Gray_leaf_spot")
    assert set(map(plant_class, mendeley)) < set(map(plant_class, folders))


def test_mendeleys_copy_has_the_same_classes_and_no_identities(data):
    archive = "Plant_leaf_diseases_dataset_without_augmentation/Plant_leave_diseases_dataset_without_augmentation"
    folders = ("Background_without_leaves", "Cherry___healthy", "Corn___Common_rust", "Pepper,_bell___Bacterial_spot")
    _, listed = data("plantvillage", {f"{archive}/{folder}/image (1).JPG": "" for folder in folders})
    listing = listed("class")
    assert listing.class_names == ("cherry-healthy", "corn-common-rust", "pepper-bell-bacterial-spot")
    assert [record.identity for record in listing.records] == [None, None, None]


def test_birds_and_the_squares_around_them(data):
    folder, listed = data("cub")
    listing = listed()
    assert listing.class_names == ("black-footed-albatross", "brewer-blackbird")
    assert {record.id: (record.label, record.part, record.box) for record in listing.records} == {
        ALBATROSS: (0, "test", (60, 15, 90, 45)),  # 30x20 is centred in 30x30
        ALBATROSS_LEFT: (0, "train", (0, 5, 40, 45)),  # 20x40 at the left edge is moved inside
        BLACKBIRD: (1, "train", (25, 0, 75, 50)),  # no square is larger than the image
    }
    (folder / CUB_ROOT / "images" / BLACKBIRD).write_bytes(b"no picture")  # which preparation will say
    assert [record.id for record in listed().records if record.box is None] == [BLACKBIRD]


def test_eyes_of_an_examination_share_an_identity(data):
    listing = data("messidor2")[1]()
    assert listing.class_names == ("non-dme", "dme")
    assert [(record.path.name, record.label) for record in listing.records] == [
        (EYES[0], 0), (EYES[1], 1), (EYES[3], 0),
    ]  # fmt: skip
    owners = [record.identity for record in listing.records]
    assert owners[0] == owners[1] != owners[2]


@pytest.mark.parametrize(
    ("layout", "label", "classes", "expected"),
    [
        ("plantvillage", "class", ("potato-early-blight", "apple-apple-scab"), [1, 1, 0, 0]),
        ("cub", None, ("brewer-blackbird",), [0]),
        ("messidor2", None, ("dme", "non-dme"), [1, 0, 1]),
    ],
)
def test_chosen_classes_are_labelled_in_their_order(data, layout, label, classes, expected):
    listing = data(layout)[1](label, classes)
    assert listing.class_names == classes and [record.label for record in listing.records] == expected


@pytest.mark.parametrize(
    ("layout", "label", "classes", "message"),
    [
        ("celeba", "Male", ("a", "b", "c"), "classes = a, b, c: name two"),
        ("ffhq", "sex", None, "label: unknown label of ffhq 'sex'; choose one of gender, age"),
        ("ffhq", "age", ("young", "aged"), "classes: unknown class 'aged'; choose one of old, young"),
        ("afhq", "specie", None, "label: unknown label of afhq 'specie'; did you mean 'species'"),
        ("afhq", "domain", ("cat", "dogs"), "classes: unknown class 'dogs'; did you mean"),
        ("plantvillage", "heath", None, "label: unknown label of plantvillage 'heath'.*health"),
        ("plantvillage", None, ("healthy", "ill"), "classes: unknown class 'ill'"),
        ("cub", "species", None, "label = 'species': the layout cub has one label; remove the key"),
        ("cub", None, ("009.Brewer_Blackbird",), "classes: unknown class '009.Brewer_Blackbird'"),
        ("messidor2", "dme", None, "label = 'dme': the layout messidor2 has one label; remove the key"),
        ("messidor2", None, ("dme", "healthy"), "classes: unknown class 'healthy'"),
    ],
)
def test_labels_and_classes_that_do_not_exist(data, layout, label, classes, message):
    with pytest.raises(DatasetError, match=message):
        data(layout)[1](label, classes)


ATTRIBUTES, PARTITION, LABELS = "list_attr_celeba.txt", "list_eval_partition.txt", "ffhq_aging_labels.csv"
PAIRS, GRADES = "messidor-2.csv", "messidor_data.csv"
NONE = None  # the file is missing
FAULTS = [  # layout, label; file, what stands there, what stands there instead; message
    ("celeba", "Male", PARTITION, None, NONE, "celeba has no list_eval_partition.txt or list_eval_partition.csv"),
    ("celeba", "Male", ATTRIBUTES, "000002.jpg  1  1  1\n", "", f"{ATTRIBUTES} has no row for .*000002.jpg"),
    ("celeba", "Male", ATTRIBUTES, "1  1  1", "1  1", f"{ATTRIBUTES}, line 3: 2 values, expected 3"),
    ("celeba", "Male", ATTRIBUTES, "1  1  1", "1  0  1", f"{ATTRIBUTES}, line 3: '0' is not one of -1, 1"),
    ("celeba", "Male", ATTRIBUTES, "Male", "Mail", "line 2: unknown attribute 'Male'; did you mean 'Mail'"),
    ("celeba", "Male", PARTITION, "2.jpg 1", "1.jpg 1", f"{PARTITION}, line 2: 000001.* stands in line 1 already"),
    ("celeba", "Male", PARTITION, "3.jpg 2", "3.jpg 3", f"{PARTITION}, line 3: '3' is not one of 0, 1, 2"),
    ("celeba", "Male", "identity_CelebA.txt", "000003.jpg 8692\n", "", "identity_CelebA.txt has no row for .*3.jpg"),
    ("ffhq", "age", LABELS, None, NONE, f"ffhq has no {LABELS}; download the dataset again"),
    ("ffhq", "age", LABELS, "age_group,", "age,", f"{LABELS}, line 1: there is no column 'age_group'"),
    ("ffhq", "age", LABELS, "70-120", "70-99", f"{LABELS}, line 2: '70-99' is not one of 40-49, 50-69"),
    ("ffhq", "age", LABELS, "70-120", "7" * 200_000, f"{LABELS}, line [12]: field larger than field limit"),
    ("ffhq", "age", "resized/resized/00001.jpg", None, NONE, f"{LABELS}, line 4: there is no image 00001"),
    ("ffhq", "age", "resized/00001.png", None, "", "00001.png and .*00001.jpg have the same name"),
    ("ffhq", "age", "00004.png", None, "", f"{LABELS} has no row for .*00004.png"),
    ("afhq", None, "afhq", None, NONE, "has no images"),
    ("afhq", "species", "species.csv", None, SPECIES + "flickr_wild_9,lion\n", "line 5: there is no image flickr_wild"),
    ("afhq", "species", "species.csv", None, SPECIES + "flickr_wild_000002.png,a\n", "line 5: .* stands in line 3"),
    ("plantvillage", None, "leaf-map.json", None, "{", "cannot be read: .*Invalid JSON.*; delete it and run"),
    ("plantvillage", None, "leaf-map.json", None, '{"a": 5}', "cannot be read: .*array.*; delete it and run"),
    ("plantvillage", None, "data", None, NONE, "no folder with folders <Crop>___<Disease>, expected one copy"),
    ("plantvillage", None, f"other/color/{SCAB}", None, "", "data/raw/color and .*/other/color with folders"),
    ("cub", None, "classes.txt", None, NONE, "CUB_200_2011 has no classes.txt; download the dataset again"),
    ("cub", None, "images.txt", None, "1", "images.txt, line 1: there is no image ; download"),
    ("cub", None, f"images/{ALBATROSS_LEFT}", None, NONE, "images.txt, line 2: there is no image .*_0009_34.jpg"),
    ("cub", None, "images/009.Brewer_Blackbird/B_1.jpg", None, "", "images.txt has no row for .*/B_1.jpg"),
    ("cub", None, "images.txt", BLACKBIRD, ALBATROSS, "images.txt, line 3: .* stands in line 1 already"),
    ("cub", None, "image_class_labels.txt", "3 2\n", "", "labels.txt has no row for .*Brewer_Blackbird_0028_2682.jpg"),
    ("cub", None, "image_class_labels.txt", "3 2", "3 7", "labels.txt, line 3: '7' is not one of 1, 2"),
    ("cub", None, "train_test_split.txt", "3 1", "3 1\n4 1", "split.txt, line 4: there is no image 4"),
    ("cub", None, "bounding_boxes.txt", "60.0", "x", "line 1: 'x 20.0 30.0 20.0' are not four numbers"),
    ("messidor2", None, PAIRS, None, NONE, "has no messidor-2.csv; download the dataset again"),
    ("messidor2", None, PAIRS, "left;right ", "left,right", f"{PAIRS}, line 1: there is no column 'left'"),
    ("messidor2", None, PAIRS, f"{EYES[3]};{EYES[2]}", ";", f"{PAIRS} has no row for .*IM000595.JPG"),
    ("messidor2", None, PAIRS, "\r\n;", f"\r\n{EYES[0]};{EYES[2]}", f"line 4: {EYES[0]} stands in line 2 already"),
    ("messidor2", None, GRADES_FILE, "IM000596.jpg,1.0,0.0,1\n", "", f"{GRADES} has no row for .*IM000596.JPG"),
    ("messidor2", None, GRADES_FILE, "6.jpg,1.0,0.0,1", "6.jpg,0", f"{GRADES}, line 5: '' is not one of 0"),
    ("messidor2", None, GRADES_FILE, "6.jpg,1.0,0.0,1", "6.jpg,1,,1", f"{GRADES}, line 5: '' is not one of 0"),
]


@pytest.mark.parametrize(("layout", "label", "name", "old", "new", "message"), FAULTS)
def test_a_fault_is_one_line_that_names_file_line_and_value(data, layout, label, name, old, new, message):
    folder, listed = data(layout)
    path = folder / (CUB_ROOT if layout == "cub" else "") / name
    if new is NONE:
        path.rename(folder.parent / "elsewhere")
    elif old is None:
        write(path.parent, {path.name: new})
    else:
        text = path.read_bytes().decode()
        assert old in text
        path.write_bytes(text.replace(old, new, 1).encode())
    with pytest.raises(DatasetError, match=message) as raised:
        listed(label)
    assert "\n" not in str(raised.value)
