"""PlantVillage, CUB-200-2011 and Messidor-2: trees of exactly the published layout, and what is said of broken ones."""

import json
from pathlib import Path

import pytest
from PIL import Image

from stylex.config import load_dataset_file
from stylex.datasets.layouts import cub, messidor2, plantvillage
from stylex.errors import DatasetError

ROOT = Path(__file__).parents[2]


def picture(path: Path, size: tuple[int, int] = (16, 16)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 40)).save(path)


SCAB = "Apple___Apple_scab/00075aa8-d81a-4184-8541-b692b78d398a___FREC_Scab 3335.JPG"
SCAB_COPY = "Apple___Apple_scab/01a66316-0e98-4d3b-a56f-d78752cd043f___FREC_Scab 3335 copy 2.JPG"
RUST = "Corn_(maize)___Common_rust_/0abc___RS_Rust 1563.JPG"
EARLY_BLIGHT = "Potato___Early_blight/001187a0___RS_Early.B 7554.JPG"
EARLY_BLIGHT_SAME_LEAF = "Potato___Early_blight/002a55fb___RS_Early.B 7557.JPG"
HEALTHY = "Cherry_(including_sour)___healthy/00fb7e67___JR_HL 4071.JPG"
TOMATO = "Tomato___healthy/000146ff___JR_HL 4071.JPG"
PLANTS = (SCAB, SCAB_COPY, RUST, EARLY_BLIGHT, EARLY_BLIGHT_SAME_LEAF, HEALTHY, TOMATO)
LEAVES = {
    "rs_early.b 7554": ["Potato___Early_blight:::115.0"],
    "rs_early.b 7557": ["Potato___Early_blight:::115.0"],
    "jr_hl 4071": ["Cherry_(including_sour)___healthy:::7.0", "Tomato___healthy:::9.0"],
}


@pytest.fixture
def plants(tmp_path: Path) -> Path:
    for name in PLANTS:
        picture(tmp_path / "data" / "raw" / "color" / name)
        picture(tmp_path / "data" / "raw" / "grayscale" / name)
    (tmp_path / "leaf-map.json").write_text(json.dumps(LEAVES))
    return tmp_path


def test_plants_are_healthy_or_sick(plants):
    listing = plantvillage.list_images(plants, None, None)
    assert listing.class_names == ("healthy", "sick")
    assert {record.id: record.label for record in listing.records} == {
        name: int(name not in (HEALTHY, TOMATO)) for name in PLANTS
    }
    assert [record.id for record in listing.records] == sorted(PLANTS)
    assert all(record.source == f"data/raw/color/{record.id}" for record in listing.records)
    assert all(record.path == plants / record.source and record.path.is_file() for record in listing.records)


def test_plants_by_crop_and_disease(plants):
    listing = plantvillage.list_images(plants, "class", None)
    assert listing.class_names == (
        "apple-apple-scab", "cherry-healthy", "corn-common-rust", "potato-early-blight", "tomato-healthy"
    )  # fmt: skip
    assert {record.id: listing.class_names[record.label] for record in listing.records}[RUST] == "corn-common-rust"


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
    assert list(map(plantvillage.class_name, folders)) == load_dataset_file(ROOT, "plantvillage-38").classes
    mendeley = ("Cherry___healthy", "Corn___Common_rust", "Corn___Cercospora_leaf_spot Gray_leaf_spot")
    assert set(map(plantvillage.class_name, mendeley)) < set(map(plantvillage.class_name, folders))


def test_photographs_of_one_leaf_share_an_identity(plants):
    leaf = {record.id: record.identity for record in plantvillage.list_images(plants, None, None).records}
    assert leaf[EARLY_BLIGHT] == leaf[EARLY_BLIGHT_SAME_LEAF]
    assert leaf[SCAB] == leaf[SCAB_COPY], "a copy of a photograph is of the same leaf, even of one not in the map"
    assert len({leaf[name] for name in (EARLY_BLIGHT, SCAB, RUST, HEALTHY, TOMATO)}) == 5


def test_mendeleys_copy_has_the_same_classes_and_no_identities(tmp_path):
    archive, inside = (f"Plant_{leaf}_diseases_dataset_without_augmentation" for leaf in ("leaf", "leave"))
    folders = ("Background_without_leaves", "Cherry___healthy", "Corn___Common_rust", "Pepper,_bell___Bacterial_spot")
    for folder in folders:
        picture(tmp_path / archive / inside / folder / "image (1).JPG")
    listing = plantvillage.list_images(tmp_path, "class", None)
    assert listing.class_names == ("cherry-healthy", "corn-common-rust", "pepper-bell-bacterial-spot")
    assert [record.identity for record in listing.records] == [None, None, None]


@pytest.mark.parametrize(
    ("content", "reason"), [("{", "Invalid JSON"), ("[1]", "object"), ('{"a": 5}', "array"), ('{"a": [5]}', "string")]
)
def test_damaged_leaf_map(plants, content, reason):
    (plants / "leaf-map.json").write_text(content)
    with pytest.raises(DatasetError, match=rf"leaf-map.json cannot be read: .*{reason}.*; delete it and run") as caught:
        plantvillage.list_images(plants, None, None)
    assert "\n" not in str(caught.value)


def test_plants_that_are_not_there_or_twice(plants, tmp_path):
    with pytest.raises(DatasetError, match="no folder with folders <Crop>___<Disease>, expected one copy"):
        plantvillage.list_images(tmp_path / "data" / "nothing", None, None)
    picture(tmp_path / "other" / "color" / SCAB)
    with pytest.raises(DatasetError, match="data/raw/color and .*/other/color with folders"):
        plantvillage.list_images(plants, None, None)


BIRDS = {
    "classes.txt": ["1 001.Black_footed_Albatross", "2 009.Brewer_Blackbird"],
    "images.txt": [
        "1 001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg",
        "2 001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg",
        "3 009.Brewer_Blackbird/Brewer_Blackbird_0028_2682.jpg",
    ],
    "image_class_labels.txt": ["1 1", "2 1", "3 2"],
    "train_test_split.txt": ["1 0", "2 1", "3 1"],
    "bounding_boxes.txt": ["1 60.0 20.0 30.0 20.0", "2 0.0 5.0 20.0 40.0", "3 5.0 1.0 90.0 48.0"],
}


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    root = tmp_path / "CUB_200_2011" / "CUB_200_2011"
    for line in BIRDS["images.txt"]:
        picture(root / "images" / line.split()[1], (100, 50))
    for name, lines in BIRDS.items():
        (root / name).write_text("\n".join(lines) + "\n")
    return root


def test_birds(birds, tmp_path):
    listing = cub.list_images(tmp_path, None, None)
    assert listing.class_names == ("black-footed-albatross", "brewer-blackbird")
    found = {record.path.name: (record.label, record.part) for record in listing.records}
    assert found == {
        "Black_Footed_Albatross_0046_18.jpg": (0, "test"),
        "Black_Footed_Albatross_0009_34.jpg": (0, "train"),
        "Brewer_Blackbird_0028_2682.jpg": (1, "train"),
    }
    assert all(tmp_path / record.source == record.path for record in listing.records)


def test_the_box_of_a_bird_is_a_square_around_it_inside_the_image(birds, tmp_path):
    boxes = {record.path.name: record.box for record in cub.list_images(tmp_path, None, None).records}
    assert boxes["Black_Footed_Albatross_0046_18.jpg"] == (60, 15, 90, 45), "30x20 is centred in 30x30"
    assert boxes["Black_Footed_Albatross_0009_34.jpg"] == (0, 5, 40, 45), "20x40 at the left edge is moved inside"
    assert boxes["Brewer_Blackbird_0028_2682.jpg"] == (25, 0, 75, 50), "no square is larger than the image"


def test_a_bird_that_cannot_be_opened_is_left_to_preparation(birds, tmp_path):
    (birds / "images" / BIRDS["images.txt"][2].split()[1]).write_bytes(b"no picture")
    assert [record.box is None for record in cub.list_images(tmp_path, None, None).records] == [False, False, True]


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("classes.txt", None, "CUB_200_2011 has no classes.txt; download the dataset again"),
        ("images.txt", ["1"], "images.txt, line 1: there is no image ; download"),
        ("image_class_labels.txt", ["1 1", "2 1"], "labels.txt has no row for .*Brewer_Blackbird_0028_2682.jpg"),
        ("image_class_labels.txt", ["1 1", "2 1", "3 7"], "labels.txt, line 3: '7' is not one of 1, 2"),
        ("train_test_split.txt", ["1 0", "1 1"], "split.txt, line 2: 1 stands in line 1 already"),
        ("train_test_split.txt", ["1 0", "2 1", "3 1", "4 1"], "split.txt, line 4: there is no image 4"),
        (
            "bounding_boxes.txt",
            ["1 0 0 x 9", "2 0 0 9 9", "3 0 0 9 9"],
            "line 1: '0 0 x 9' are not four numbers",
        ),
        (
            "bounding_boxes.txt",
            ["1 0 0 9 9", "2 0 0 9", "3 0 0 9 9"],
            "line 2: '0 0 9' are not four numbers",
        ),
    ],
)
def test_broken_lists_of_birds(birds, tmp_path, name, lines, message):
    (birds / name).unlink()
    if lines is not None:
        (birds / name).write_text("\n".join(lines))
    with pytest.raises(DatasetError, match=message) as caught:
        cub.list_images(tmp_path, None, None)
    assert "\n" not in str(caught.value)


def test_birds_without_a_line_and_lines_without_a_bird(birds, tmp_path):
    extra = birds / "images" / "009.Brewer_Blackbird" / "Brewer_Blackbird_0001_1.jpg"
    picture(extra)
    with pytest.raises(DatasetError, match=r"images.txt has no row for .*/Brewer_Blackbird_0001_1.jpg"):
        cub.list_images(tmp_path, None, None)
    extra.unlink()
    (birds / "images" / BIRDS["images.txt"][1].split()[1]).unlink()
    with pytest.raises(DatasetError, match=r"images.txt, line 2: there is no image .*_0009_34.jpg"):
        cub.list_images(tmp_path, None, None)


EYES = ("20051020_43808_0100_PP.png", "20051020_43832_0100_PP.png", "IM000595.JPG", "IM000596.JPG")
PAIRS = ["left;right ", f"{EYES[0]};{EYES[1]}", f"{EYES[3]};{EYES[2]}"]
GRADES = [
    "image_id,adjudicated_dr_grade,adjudicated_dme,adjudicated_gradable",
    f"{EYES[0]},0,0,1",
    f"{EYES[1]},2,1,1",
    "IM000595.jpg,,,0",
    "IM000596.jpg,1.0,0.0,1",
]


@pytest.fixture
def eyes(tmp_path: Path) -> Path:
    for name in EYES:
        picture(tmp_path / "IMAGES" / "IMAGES" / name)
    (tmp_path / "messidor2-dr-grades").mkdir()
    (tmp_path / "messidor-2.csv").write_text("\r\n".join([*PAIRS, ";", ""]))
    (tmp_path / "messidor2-dr-grades" / "messidor_data.csv").write_text("\n".join(GRADES) + "\n")
    return tmp_path


def test_eyes(eyes):
    listing = messidor2.list_images(eyes, None, None)
    assert listing.class_names == ("non-dme", "dme")
    assert [(record.path.name, record.label) for record in listing.records] == [
        (EYES[0], 0),
        (EYES[1], 1),
        (EYES[3], 0),
    ]
    both = [record.identity for record in listing.records]
    assert both[0] == both[1] != both[2], "the two eyes of an examination share an identity"
    assert all(eyes / record.source == record.path for record in listing.records)


@pytest.mark.parametrize(
    ("table", "lines", "message"),
    [
        ("messidor-2.csv", None, "has no messidor-2.csv; download the dataset again"),
        ("messidor-2.csv", ["left,right"], "messidor-2.csv, line 1: there is no column 'left'"),
        ("messidor-2.csv", PAIRS[:2], "messidor-2.csv has no row for .*IM000595.JPG"),
        ("messidor-2.csv", [*PAIRS, f"{EYES[0]};{EYES[2]}"], f"line 4: {EYES[0]} stands in line 2 already"),
        ("messidor-2.csv", [*PAIRS, f"IM9.JPG;{EYES[2]}"], "line 4: IM000595 stands in line 3 already"),
        ("messidor_data.csv", None, "has no messidor_data.csv; download the dataset again"),
        ("messidor_data.csv", GRADES[:4], "messidor_data.csv has no row for .*IM000596.JPG"),
        ("messidor_data.csv", [*GRADES, "IM9.jpg,0,0,1"], "messidor_data.csv, line 6: there is no image IM9"),
        ("messidor_data.csv", [*GRADES[:4], "IM000596.jpg,0"], "messidor_data.csv, line 5: '' is not one of 0"),
        ("messidor_data.csv", [*GRADES[:4], "IM000596.jpg,1,,1"], "messidor_data.csv, line 5: '' is not one of 0"),
        ("messidor_data.csv", ["id_code,diagnosis"], "messidor_data.csv, line 1: there is no column 'image_id'"),
    ],
)
def test_broken_tables_of_eyes(eyes, table, lines, message):
    path = next(eyes.rglob(table))
    path.unlink()
    if lines is not None:
        path.write_text("\n".join(lines))
    with pytest.raises(DatasetError, match=message) as caught:
        messidor2.list_images(eyes, None, None)
    assert "\n" not in str(caught.value)


def test_chosen_classes_are_labelled_in_their_order(birds, plants, eyes, tmp_path):
    chosen = ("potato-early-blight", "apple-apple-scab")
    listing = plantvillage.list_images(plants, "class", chosen)
    assert listing.class_names == chosen
    labels = {SCAB: 1, SCAB_COPY: 1, EARLY_BLIGHT: 0, EARLY_BLIGHT_SAME_LEAF: 0}
    assert {record.id: record.label for record in listing.records} == labels
    assert [record.label for record in cub.list_images(tmp_path, None, ("brewer-blackbird",)).records] == [0]
    assert [record.label for record in messidor2.list_images(eyes, None, ("dme", "non-dme")).records] == [1, 0, 1]


@pytest.mark.parametrize(
    ("layout", "label", "classes", "message"),
    [
        (plantvillage, "heath", None, "label: unknown label of plantvillage 'heath'.*health"),
        (plantvillage, None, ("healthy", "ill"), "classes: unknown class 'ill'"),
        (cub, "species", None, "label = 'species': the layout cub has one label; remove the key"),
        (cub, None, ("009.Brewer_Blackbird",), "classes: unknown class '009.Brewer_Blackbird'"),
        (messidor2, "dme", None, "label = 'dme': the layout messidor2 has one label; remove the key"),
        (messidor2, None, ("dme", "healthy"), "classes: unknown class 'healthy'"),
    ],
)
def test_labels_and_classes_that_do_not_exist(birds, plants, eyes, layout, label, classes, message):
    with pytest.raises(DatasetError, match=message):
        layout.list_images(eyes, label, classes)
