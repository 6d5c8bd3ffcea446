"""Published datasets: a function for each layout. Images and label files are joined by key, never by position."""

from __future__ import annotations

import warnings
from pathlib import Path

from stylex.config.loading import unknown_name
from stylex.datasets.layouts.records import (
    AGAIN,
    Box,
    Cell,
    Classes,
    ImageRecord,
    Listing,
    Part,
    by_key,
    check_label,
    find_file,
    find_images,
    join,
    read_column,
    select_classes,
    translate,
)  # fmt: skip
from stylex.errors import DatasetError

_record = ImageRecord.below

CELEBA_CLASSES = {"Male": ("female", "male"), "Young": ("old", "young")}  # without and with the attribute
CELEBA_PARTS: dict[str, Part] = {"0": "train", "1": "val", "2": "test"}

FFHQ_CLASSES = {"gender": ("female", "male"), "age": ("old", "young")}
FFHQ_YOUNG = ("0-2", "3-6", "7-9", "10-14", "15-19", "20-29", "30-39")
FFHQ_MEANINGS = {  # the column of each label, and the class of each of its values
    "gender": ("gender", {"female": 0, "male": 1}),
    "age": ("age_group", dict.fromkeys(("40-49", "50-69", "70-120"), 0) | dict.fromkeys(FFHQ_YOUNG, 1)),
}

AFHQ_DOMAINS, AFHQ_SUFFIXES = ("cat", "dog", "wild"), (".jpg", ".png")

CUB_ROOT = Path("CUB_200_2011", "CUB_200_2011")  # the archive's folder, in the one that it is unpacked into
CUB_PARTS: dict[str, Part] = {"1": "train", "0": "test"}

MESSIDOR_CLASSES = ("non-dme", "dme")  # dme: hard exudates within one disc diameter of the centre of the macula
MESSIDOR_FLAGS = {"0": 0, "0.0": 0, "1": 1, "1.0": 1}  # a column with empty cells becomes decimal in some programs


def celeba(folder: Path, label: str | None, classes: Classes) -> Listing:
    """CelebA (Liu et al. 2015): aligned faces of 178x218 pixels, 40 attributes of -1 and 1, an official partition.

        img_align_celeba/img_align_celeba/000001.jpg
        list_attr_celeba.txt         number of images; names of the attributes; one row per image
        list_eval_partition.txt      0: train, 1: val, 2: test
        identity_CelebA.txt          number of the person

    The copy on Kaggle that [V] used has the first two tables as .csv with a header, and no identities. Neither [L] nor
    [V] says how the images were cropped, and [V]'s code does not crop. Here it is the central square (preparation): the
    aligned eyes, nose and mouth lie in it.

    label: an attribute, default Male ([V] 4.2). classes: names of the images without and with it. Raises `DatasetError`
    for an unknown attribute, and for label files that do not fit the images or each other.
    """
    attribute = label or "Male"
    names = classes or CELEBA_CLASSES.get(attribute, (f"not {attribute}", attribute))
    if len(names) != 2:
        raise DatasetError(f"classes = {', '.join(names)}: name two, of images without and with {attribute}")
    images = find_images(folder, "**/img_align_celeba/*", (".jpg",))
    attributes, partition = (
        find_file(folder, f"{name}.txt", f"{name}.csv") for name in ("list_attr_celeba", "list_eval_partition")
    )
    labels = translate(attributes, _celeba_column(attributes, attribute, images), {"-1": 0, "1": 1})
    parts = translate(partition, _celeba_column(partition, "partition", images), CELEBA_PARTS)
    people = folder / "identity_CelebA.txt"
    owners = _celeba_column(people, "identity", images) if people.is_file() else {}
    records = [
        _record(folder, path, name, labels[name], parts[name], owners[name].value if owners else None)
        for name, path in images.items()
    ]
    return Listing(names, records)


def _celeba_column(path: Path, name: str, images: dict[str, Path]) -> dict[str, Cell]:
    """Read a column of a table: of CSV and of the attributes by name, else the only one, separated by spaces."""
    if path.suffix == ".csv":
        return join(path, read_column(path, "image_id", name), images, lambda key: key.removesuffix(".jpg"))
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    first, columns = (2, lines[1].split() if len(lines) > 1 else []) if "attr" in path.name else (0, [name])
    if name not in columns:
        raise DatasetError(f"{path}, line {first}: {unknown_name('attribute', name, columns)}")
    cells: list[tuple[str, Cell]] = []
    for number, line in enumerate(lines[first:], first + 1):
        key, *values = line.split() or [""]
        if len(values) != len(columns):
            raise DatasetError(f"{path}, line {number}: {len(values)} values, expected {len(columns)}; {AGAIN}")
        cells.append((key, Cell(number, values[columns.index(name)])))
    return join(path, by_key(path, cells), images, lambda key: key.removesuffix(".jpg"))


def ffhq(folder: Path, label: str | None, classes: Classes) -> Listing:
    """FFHQ (Karras et al. 2019) with the age and gender of FFHQ-Aging (Or-El et al. 2020); no official split.

        resized/00000.jpg                              256 pixels, the copy on Kaggle that [V] used
        thumbnails128x128/00000/00000.png              as NVIDIA publishes them; images1024x1024 alike
        ffhq_aging_labels.csv                          image_number,age_group,age_group_confidence,gender,...

    Wherever the images lie in the raw folder, their names are five digits: the image_number. [L] 4 and [V] 4.2 do not
    say which ages are young: here those below 40, the border between two age groups.

    label: gender (female, male; the default) or age (old, young). Raises `DatasetError` for another label or class, and
    for a label file that does not fit the images.
    """
    check_label(label, tuple(FFHQ_CLASSES), "ffhq")
    column, meanings = FFHQ_MEANINGS[label or "gender"]
    images = find_images(folder, f"**/{'[0-9]' * 5}.*", (".jpg", ".png"))
    path = find_file(folder, "ffhq_aging_labels.csv")
    cells = join(path, read_column(path, "image_number", column), images, lambda number: number.zfill(5))
    labels = translate(path, cells, meanings)
    records = [_record(folder, image, number, labels[number]) for number, image in images.items()]
    return select_classes(Listing(FFHQ_CLASSES[label or "gender"], records), classes)


def afhq(folder: Path, label: str | None, classes: Classes) -> Listing:
    """AFHQ (Choi et al. 2020): animal faces of 512 pixels in class folders, with an official test set.

        afhq/train/cat/flickr_cat_000002.jpg      version 1: train, and val, which the authors call the test set
        test/wild/flickr_wild_000004.png          version 2 (2021): train and test

    Nothing in AFHQ tells the species of a wild animal, and [L] does not say where the labels of its 'wild cats species'
    come from. Whoever has some puts them into species.csv of the raw folder: columns file and species, one row per
    image.

    label: domain (cat, dog, wild; the default) or species (of the wild). Raises `DatasetError` for another label, a
    class without images, and a species.csv that is missing or does not fit.
    """
    check_label(label, ("domain", "species"), "afhq")
    if label == "species":
        labels = _afhq_species(folder)
    else:
        found = [find_images(folder, f"**/{domain}/*", AFHQ_SUFFIXES) for domain in AFHQ_DOMAINS]
        labels = {path: path.parent.name for images in found for path in images.values()}
    known = tuple(sorted(set(labels.values())))
    records = [
        _record(folder, path, path.stem, known.index(name), "train" if path.parent.parent.name == "train" else "test")
        for path, name in labels.items()
    ]
    return select_classes(Listing(known, sorted(records)), classes)


def _afhq_species(folder: Path) -> dict[Path, str]:
    table, images = folder / "species.csv", find_images(folder, "**/wild/*", AFHQ_SUFFIXES)
    if not table.is_file():
        raise DatasetError(
            f"{table} does not exist: AFHQ does not tell species; write one, columns file and species, with a row for"
            f" each of the {len(images)} images in wild, such as {next(iter(images))},lion"
        )
    cells = join(table, read_column(table, "file", "species"), images, lambda file: Path(file).stem)
    return {path: cells[name].value for name, path in images.items()}


def cub(folder: Path, label: str | None, classes: Classes) -> Listing:
    """Caltech-UCSD Birds-200-2011 (Wah et al. 2011): 200 species with an official split and bounding boxes.

    CUB_200_2011.tgz, as the README inside it describes it. A line begins with the number of its image (in classes.txt
    of its class), and the files are joined by these numbers:

        CUB_200_2011/classes.txt             1 001.Black_footed_Albatross
        CUB_200_2011/images.txt              1 001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg
        CUB_200_2011/image_class_labels.txt  1 1
        CUB_200_2011/train_test_split.txt    1 0                          1: training, 0: test
        CUB_200_2011/bounding_boxes.txt      1 60.0 27.0 325.0 304.0      x, y, width, height in pixels
        CUB_200_2011/images/001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg

    Each image has the smallest square around its bounding box. There is one label: the species, named so that it can be
    typed: brewer-blackbird for 009.Brewer_Blackbird. Raises `DatasetError` for another label, an unknown class, a file
    that is missing or malformed, an image without a line, or a line without an image.
    """
    check_label(label, (), "cub")
    root = folder / CUB_ROOT
    published = {number: cell.value for number, cell in _cub_lines(root / "classes.txt").items()}
    species = {number: name.split(".", 1)[-1].replace("_", "-").lower() for number, name in published.items()}
    lines = _cub_lines(root / "images.txt")
    there = {path.relative_to(root / "images").as_posix(): path for path in (root / "images").glob("*/*.jpg")}
    join(root / "images.txt", by_key(root / "images.txt", ((cell.value, cell) for cell in lines.values())), there)
    images = {number: there[cell.value] for number, cell in lines.items()}
    labels_file, labels = _cub_column(root / "image_class_labels.txt", images)
    split_file, split = _cub_column(root / "train_test_split.txt", images)
    boxes_file, boxes = _cub_column(root / "bounding_boxes.txt", images)
    classes_of, parts = translate(labels_file, labels, species), translate(split_file, split, CUB_PARTS)
    class_names = tuple(species.values())
    records: list[ImageRecord] = []
    for number, path in images.items():
        box = _square(path, _cub_box(boxes_file, boxes[number]))
        position = class_names.index(classes_of[number])
        records.append(_record(folder, path, lines[number].value, position, parts[number], box=box))
    return select_classes(Listing(class_names, sorted(records)), classes)


def _cub_lines(path: Path) -> dict[str, Cell]:
    """Return what follows the number of each line, by that number."""
    lines = find_file(path.parent, path.name).read_text(encoding="utf-8", errors="replace").splitlines()
    numbered = (line.strip().partition(" ") for line in lines)
    return by_key(path, ((number, Cell(line, value)) for line, (number, _, value) in enumerate(numbered, 1)))


def _cub_column(path: Path, images: dict[str, Path]) -> tuple[Path, dict[str, Cell]]:
    """Read a file that has one line per image."""
    return path, join(path, _cub_lines(path), images)


def _cub_box(path: Path, cell: Cell) -> list[float]:
    try:
        numbers = list(map(float, cell.value.split()))
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise DatasetError(f"{path}, line {cell.line}: '{cell.value}' are not four numbers; download the dataset again")
    return numbers


def _square(path: Path, box: list[float]) -> Box | None:
    """Return a square inside the image: as long as the longer side of the box, around its centre if it fits there.

    None (the central square) for an image that cannot be opened: preparation says so.
    """
    from PIL import Image

    if not path.is_file():  # to open a named pipe would be to wait for ever
        return None
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            across, down = image.size
    except Exception:  # of a damaged file, Pillow raises almost anything
        return None
    x, y, width, height = box
    side = min(max(width, height), across, down)
    left = min(max(x + (width - side) / 2, 0), across - side)
    upper = min(max(y + (height - side) / 2, 0), down - side)
    return left, upper, left + side, upper + side


def messidor2(folder: Path, label: str | None, classes: Classes) -> Listing:
    """Messidor-2 (Abràmoff et al. 2013): both eyes of 874 examinations, with the adjudicated grades of Krause 2018.

    ADCIS gives the pictures and the list of their pairs, Kaggle (google-brain/messidor2-dr-grades) the grades:

        IMAGES/**/20051020_43808_0100_PP.png, IM000595.JPG    1,748 pictures
        messidor-2.csv                                        left;right
        messidor2-dr-grades/messidor_data.csv                 image_id,adjudicated_dr_grade,adjudicated_dme,
                                                              adjudicated_gradable (0: no grade, picture left out)

    The grades say IM000595.jpg where the file is IM000595.JPG: all are joined by their names without ending. Both eyes
    of an examination share an identity. No box: the round field of view lies in the middle, and the central square cuts
    the black borders at its sides.

    There is one label. Raises `DatasetError` for another label, an unknown class, a table that is missing or malformed,
    a picture without a row, or a row without a picture.
    """
    check_label(label, (), "messidor2")
    images = find_images(folder, "IMAGES/**/*", (".png", ".jpg", ".JPG"))
    pairs = find_file(folder, "messidor-2.csv")
    eyes = (
        (Path(eye).stem, Cell(cell.line, Path(left).stem))
        for left, cell in read_column(pairs, "left", "right", ";").items()
        for eye in (left, cell.value)
    )
    examinations = join(pairs, by_key(pairs, eyes), images)  # named as its left eye
    table = find_file(folder, "messidor_data.csv")
    gradable, dme = (
        join(table, read_column(table, "image_id", f"adjudicated_{name}"), images, lambda file: Path(file).stem)
        for name in ("gradable", "dme")
    )
    graded = translate(table, gradable, MESSIDOR_FLAGS)
    labels = translate(table, {name: cell for name, cell in dme.items() if graded[name]}, MESSIDOR_FLAGS)
    records = [
        _record(folder, images[name], name, flag, identity=examinations[name].value)
        for name, flag in sorted(labels.items())
    ]
    return select_classes(Listing(MESSIDOR_CLASSES, records), classes)
