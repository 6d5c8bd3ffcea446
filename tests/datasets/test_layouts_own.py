"""A user's own images: folders and tables as people have them. Nothing is lost without a word, nothing guessed."""

import csv
import io
import random

import pytest

from stylex.datasets.layouts import load_layout
from stylex.datasets.layouts.own import folders, table
from stylex.errors import DatasetError
from stylex.user_csv import read_user_csv


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


def rows_of(listing):
    return [(each.id, listing.class_names[each.label], each.part) for each in listing.records]


def readings(listing):
    return {(name, part) for _, name, part in rows_of(listing)}


def test_a_folder_is_a_class(tmp_path):
    make(tmp_path, "dog/b.JPG", "cat/a.png", "dog/deep/a.jpeg", "cat/notes.txt", "cat/.hidden.png", "readme.txt")
    listing = load_layout("folders")(tmp_path, None, None)
    assert listing.class_names == ("cat", "dog")
    assert rows_of(listing) == [
        ("cat/a.png", "cat", None), ("dog/b.JPG", "dog", None), ("dog/deep/a.jpeg", "dog", None),
    ]  # fmt: skip
    assert [each.path for each in listing.records] == [tmp_path / each.source for each in listing.records]
    assert all(each.identity is None and each.box is None for each in listing.records)
    assert [each.label for each in folders(tmp_path, None, ("dog", "cat")).records] == [1, 0, 0]


def test_folders_of_splits_inside_an_unpacked_archive(tmp_path):
    make(tmp_path, "pets/pets/Train/cat/1.jpg", "pets/pets/Train/dog/1.jpg", "pets/pets/test/dog/2.jpg", "pets.zip")
    assert rows_of(folders(tmp_path, None, None)) == [
        ("pets/pets/Train/cat/1.jpg", "cat", "train"),
        ("pets/pets/Train/dog/1.jpg", "dog", "train"),
        ("pets/pets/test/dog/2.jpg", "dog", "test"),
    ]


def both(*tops, of=("cat", "dog")):
    return [f"{top}/{name}/1.png" for top in tops for name in of]


SPLITS = both("train", "test")
TWO_READINGS = {
    "splits and one more folder": (
        [*SPLITS, "extra/2.png"],
        "photos can be read in two ways: as the splits test, train, with extra that belongs to none, or as the classes"
        " extra, test, train; take away",
    ),
    "splits and a folder without an image": ([*SPLITS, "notes/read.me"], "with notes that belongs to none"),
    "splits and a folder of folders": ([*SPLITS, *both("unsorted")], "with unsorted that belongs to none"),
    "splits and one with a name of its own": ([*SPLITS, *both("dev")], "the splits test, train, with dev that"),
    "one split and another folder": (both("train", "holdout"), "as the splits train, with holdout that"),
    "images of splits without classes": (["train/1.png", "test/2.png"], "the splits test, train, or as the classes"),
    "classes test and train beside a third": (["train/1.png", "test/2.png", "bus/3.png"], "classes bus, test, train"),
    "a split of images without classes": ([*SPLITS, "val/1.png"], "as the splits test, train, val, or as the classes"),
    "images beside the classes of a split": ([*SPLITS, "test/1.png"], "as the splits test, train, or as the classes"),
    "splits in splits": (both("train", "test", of=("train", "test")), "as the splits test, train, or as the classes"),
    "images beside class folders": (
        ["cat/1.png", "dog/1.png", "stray.jpg"],
        r"as folders \(cat, dog\) beside which 1 images of no class lie, as stray\.jpg, or as one class photos with",
    ),
    "images beside splits": ([*SPLITS, "stray.jpg"], r"as folders \(test, train\) beside which 1 images of no class"),
    "images beside class folders in a folder": (["in/cat/1.png", "in/dog/1.png", "in/a.png"], "photos/in can be read"),
    "splits in each class": (
        ["cat/train/1.png", "cat/test/2.png", "dog/train/1.png", "dog/test/2.png"],
        "photos/cat can be read in two ways: as a class with the splits test, train, or as one whose images are to be",
    ),
    "splits in one class": (["cat/train/1.png", "cat/val/2.png", "dog/1.png"], "as a class with the splits train, val"),
    "the same folders in all": (
        both("2019", "2020"),
        "as the classes 2019, 2020, or as the classes cat, dog, in each of these folders",
    ),
    "the same folders and more in all": ([*both("fold1", "fold2"), "fold2/owl/1.png"], "as the classes fold1, fold2"),
}


@pytest.mark.parametrize("kind", TWO_READINGS)
def test_what_can_be_two_things_is_refused_with_both(tmp_path, kind):
    names, message = TWO_READINGS[kind]
    with pytest.raises(DatasetError, match=message) as raised:
        folders(make(tmp_path / "photos", *names), None, None)
    assert "\n" not in str(raised.value) and " or as " in str(raised.value)


OFFICIAL = {("cat", "train"), ("dog", "train"), ("cat", "test"), ("dog", "test")}
ONE_READING = {
    "splits": (SPLITS, OFFICIAL),
    "splits, one of them empty": ([*SPLITS, "val/read.me"], OFFICIAL),
    "splits in a folder": ([f"pets/{name}" for name in SPLITS], OFFICIAL),
    "splits by other names": (both("Training", "testing"), OFFICIAL),
    "one split alone is a folder like others": (both("train"), {("cat", None), ("dog", None)}),
    "a class train": (["train/1.png", "bus/1.png"], {("train", None), ("bus", None)}),
    "a class test in splits": (
        both("train", "test", of=("test", "control")),
        {(name, part) for name in ("test", "control") for part in ("train", "test")},
    ),
    "animals in each class": (["cat/tom/1.png", "dog/rex/1.png", "dog/bo/1.png"], {("cat", None), ("dog", None)}),
    "a folder train in a class": (["vehicle/train/1.png", "animal/1.png"], {("vehicle", None), ("animal", None)}),
}


@pytest.mark.parametrize("kind", ONE_READING)
def test_what_can_be_one_thing_is_that(tmp_path, kind):
    names, expected = ONE_READING[kind]
    assert readings(folders(make(tmp_path / "photos", *names), None, None)) == expected


@pytest.mark.parametrize(
    ("names", "classes", "expected"),
    [
        ([*SPLITS, "extra/2.png"], ("cat", "dog"), OFFICIAL),
        ([*SPLITS, "extra/2.png"], ("extra", "train"), {("extra", None), ("train", None)}),
        (["train/1.png", "test/2.png"], ("train", "test"), {("train", None), ("test", None)}),
        (both("2019", "2020"), ("2019", "2020"), {("2019", None), ("2020", None)}),
        (["cat/1.png", "dog/1.png", "stray.jpg"], ("cat", "dog"), {("cat", None), ("dog", None)}),
    ],
)
def test_classes_decide_between_two_readings(tmp_path, names, classes, expected):
    assert readings(folders(make(tmp_path / "photos", *names), None, classes)) == expected


def test_classes_that_decide_nothing(tmp_path):
    with pytest.raises(DatasetError, match="can be read in two ways: as the splits test, train, or as the classes"):
        folders(make(tmp_path / "a", *both("train", "test", of=("train", "test"))), None, ("train", "test"))
    with pytest.raises(DatasetError, match="unknown class folder 'owl'"):
        folders(make(tmp_path / "b", *SPLITS, "extra/2.png"), None, ("owl", "cat"))


@pytest.mark.parametrize(
    ("one", "other"),
    [("cat", "cat "), ("caf\u00e9", "cafe\u0301"), ("big cat", "big  cat"), ("cat", "c\u200bat"), ("a b", "a\u00a0b")],
)
def test_classes_that_look_the_same_are_refused(tmp_path, one, other):
    folder = make(tmp_path, f"{one}/1.png", f"{other}/1.png", "dog/1.png")
    with pytest.raises(DatasetError, match="are different classes, and look the same; make one of them") as raised:
        folders(folder, None, None)
    assert ascii(one) in str(raised.value) and ascii(other) in str(raised.value)
    with pytest.raises(DatasetError, match="look the same"):
        folders(folder, None, (one, "dog"))


def test_classes_that_differ_in_capitals_are_said_once(tmp_path, caplog):
    folder = make(tmp_path, "Cat/1.png", "cat/1.png", "dog/1.png", "STRASSE/1.png", "stra\u00dfe/1.png")
    assert len(folders(folder, None, None).class_names) == 5
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: 'Cat' and 'cat' are different classes; if they mean the same, make one of them",
        f"{tmp_path}: 'STRASSE' and 'stra\u00dfe' are different classes; if they mean the same, make one of them",
    ]
    caplog.clear()
    folders(folder, None, ("cat", "dog"))
    (line,) = [record.getMessage() for record in caplog.records]
    assert "'Cat' and 'cat' are different, and only what `classes` names is used" in line


def test_what_is_left_out_of_classes_and_splits_is_printed(tmp_path):
    folder = make(tmp_path, *SPLITS, "train/owl/1.png", "extra/1.png", "stray.png")
    assert folders(folder, None, ("cat", "dog")).notes == (
        f"2 class folders in {tmp_path}, official split in test, train: cat, dog",
        "left out: the folders extra, owl; 1 images beside",
    )


LINKS = {
    "to the parent": {"cat/up": ".."},
    "to itself": {"cat/here": "."},
    "to the top, beside the class folders": {"all": "."},
    "to a neighbour": {"cat/more": "../dog", "dog/more": "../cat"},
    "to a folder beside it, which comes later": {"cat/a": "old"},
    "twice to the same": {"cat/a": "old", "cat/b": "old"},
    "in a circle outside": {
        "../elsewhere/on": "../farther",
        "../farther/back": "../elsewhere",
        "cat/on": "../../farther",
    },
}


@pytest.mark.parametrize("links", LINKS)
def test_a_real_folder_is_read_once_whatever_links_lead_to_it(tmp_path, caplog, links):
    folder = make(tmp_path / "photos", "cat/1.jpg", "cat/old/2.jpg", "dog/1.jpg", "dog/old/2.jpg")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "farther").mkdir()
    expected = rows_of(folders(folder, None, None))
    assert not caplog.records
    for name, target in LINKS[links].items():
        (folder / name).symlink_to(target)
    assert rows_of(folders(folder, None, None)) == expected
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith("left out, as a link leads there to a folder that is read under another path")
    assert all(str(folder / name) in line for name in LINKS[links] if not name.startswith(".."))  # there: on its way
    assert "\n" not in line


def test_links_to_folders_elsewhere_are_followed_each_folder_once(tmp_path, caplog):
    make(tmp_path / "elsewhere", "cats/1.jpg", "cats/old/2.jpg", "dogs/3.jpg")
    folder = make(tmp_path / "photos", "dog/4.jpg")
    (folder / "cat").symlink_to("../elsewhere/cats")
    (folder / "dog/more").symlink_to("../../elsewhere/dogs")
    assert rows_of(folders(folder, None, None)) == [
        ("cat/1.jpg", "cat", None), ("cat/old/2.jpg", "cat", None), ("dog/4.jpg", "dog", None),
        ("dog/more/3.jpg", "dog", None),
    ]  # fmt: skip
    assert not caplog.records
    (folder / "dog/cats").symlink_to("../../elsewhere/cats/old")
    assert [each.id for each in folders(folder, None, None).records].count("dog/cats/2.jpg") == 0
    assert "photos/dog/cats: left out" in caplog.text


def test_links_that_lead_nowhere_or_only_in_a_circle(tmp_path, caplog):
    folder = make(tmp_path / "photos", "cat/1.jpg", "dog/1.jpg")
    (folder / "cat/self").symlink_to("self")
    (folder / "dog/gone").symlink_to("nothing")
    assert [each.id for each in folders(folder, None, None).records] == ["cat/1.jpg", "dog/1.jpg"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other/loop").symlink_to(".")
    with pytest.raises(DatasetError, match="other has 0 class folders, none; it needs two or more"):
        folders(tmp_path / "other", None, None)
    assert "other/loop: left out" in caplog.text


def test_a_class_folder_that_links_to_another_is_no_class(tmp_path, caplog):
    folder = make(tmp_path / "photos", "cat/1.jpg", "dog/1.jpg")
    (folder / "kitten").symlink_to("cat")
    assert folders(folder, None, None).class_names == ("cat", "dog")
    with pytest.raises(DatasetError, match="unknown class folder 'kitten'"):
        folders(folder, None, ("kitten", "dog"))
    assert "photos/kitten: left out" in caplog.text


@pytest.mark.parametrize(
    ("names", "label", "classes", "message"),
    [
        (["cat/1.jpg"], None, None, "has 1 class folders, cat; it needs two or more"),
        (["cat/1.jpg", "dog/note.txt"], None, None, "class folder 'dog' has no image"),
        (["cat/1.jpg", "dog/1.jpg"], None, ("cat", "dogs"), "unknown class folder 'dogs'; did you mean 'dog'"),
        (["cat/1.jpg", "dog/1.jpg"], "age", None, "label = 'age': class folders are one label; remove it"),
    ],
)
def test_mistakes_of_folders(tmp_path, names, label, classes, message):
    with pytest.raises(DatasetError, match=message):
        folders(make(tmp_path, *names), label, classes)


PLAIN = "path,label\na.png,cat\nb.png,dog\n"
EXPECTED = {"a.png": "cat", "b.png": "dog"}


@pytest.fixture
def listing(tmp_path):
    """Write a table and list its images."""

    def write(content, label=None, classes=None):
        path = tmp_path / "pets.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return table(path, label, classes)

    return write


def labels_of(found):
    return {each.id: found.class_names[each.label] for each in found.records}


def test_rows_are_records(listing, tmp_path):
    text = "path,label,split,identity\nb.png,sick,train,ann\nsub/a.png,healthy,Test,\nc.png,unsure,validation,ann\n"
    found = listing(text)
    assert found.class_names == ("healthy", "sick", "unsure")
    assert [(each.id, each.label, each.part, each.identity) for each in found.records] == [
        ("b.png", 1, "train", "ann"), ("c.png", 2, "val", "ann"), ("sub/a.png", 0, "test", None),
    ]  # fmt: skip
    assert found.records[2].path == tmp_path / "sub" / "a.png"
    assert table(tmp_path, None, None) == found, "the only table of a folder"
    chosen = listing(text, classes=("sick", "healthy"))
    assert [(each.id, each.label) for each in chosen.records] == [("b.png", 0), ("sub/a.png", 1)]
    with pytest.raises(DatasetError, match="unknown value of label 'sikc'; did you mean 'sick'"):
        listing(text, classes=("sikc", "healthy"))
    (tmp_path / "other.csv").write_text("")
    with pytest.raises(DatasetError, match=r"must have one CSV table of images, it has other\.csv, pets\.csv"):
        table(tmp_path, None, None)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace("path,label", " path , label "),
        PLAIN.replace(",", " ,\t"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.rstrip("\n"),
        "\ufeff" + PLAIN,
        "\ufeff" + PLAIN.replace(",", ";").replace("path", '"path"'),
        '"path";"label"\n"a.png";"cat"\n"b.png";"dog"\n',
        '"path", "label"\n"a.png", "cat"\n"b.png", "dog"\n',
        "\n\n" + PLAIN.replace("\n", "\n\n"),
        PLAIN.replace("\n", ",,\n"),
        PLAIN + ",\n ,  \n",
        "path,label,,\na.png,cat,,\nb.png,dog\t,,x\n",
        "notes;label;path\n1,5;cat;a.png\n2,5;dog;b.png\n",
    ],
)
def test_what_is_clear_is_read(listing, content):
    assert labels_of(listing(content)) == EXPECTED


SWALLOWED = 'path,label\na.png,"cat\nb.png,dog\nc.png,dog\n'
REFUSED = {
    "a quote that is not closed": (SWALLOWED, r'line 2: a quote \("\) is not closed, or stands where none belongs'),
    "one that the next quote closes": (
        'path,label\na.png,cat\nb.png,"dog\nc.png,dog\nd.png,dog"\ne.png,cat\n',
        r'line 3: a quote \("\) that is opened here goes on to line 5; close it, or take the line break out',
    ),
    "one in a column that nobody reads": (
        'path,label,notes\na.png,cat,"nice\nb.png,dog,bad"\nc.png,dog,\n',
        r'line 2: a quote \("\) that is opened here goes on to line 3',
    ),
    "one that closes in the middle of a cell": (
        'path,label\na.png,"cat\nb.png,"dog"\n',
        r'line 2: a quote \("\) is not closed, or stands',
    ),
    "one in the header": ('path,"label\na.png,cat\nb.png,dog\n', r'line 1: a quote \("\) is not closed'),
    "no separator that is known": (PLAIN.replace(",", "|"), r"line 1 has 'path\|label', separated by commas; give"),
    "spaces for separators": (PLAIN.replace(",", " "), "no column 'path': line 1 has 'path label'"),
    "another name": (PLAIN.replace("path", "file"), "no column 'path': line 1 has 'file', 'label'"),
    "semicolons and another name": (
        PLAIN.replace(",", ";").replace("label", "class"),
        "no column 'label': line 1 has 'path', 'class', separated by semicolons; give the columns the names",
    ),
    "no header": ("a.png,cat\nb.png,dog\n", "no column 'path': line 1 has 'a.png', 'cat'"),
    "no line": ("", "no column 'path': line 1 has nothing"),
    "capitals": (PLAIN.replace("path", "Path"), "no column 'path': line 1 has 'Path', 'label'"),
    "capitals of a column that may be missing": (
        "path,label,Split\na.png,cat,train\nb.png,dog,test\n",
        "the column 'Split' is not read; call it 'split', or something else",
    ),
    "a column twice": ("path,label,label\na.png,cat,dog\nb.png,dog,cat\n", "has 2 columns 'label'; remove or"),
    "a column twice but for spaces": ("path,label,split, split\na.png,cat,,\nb.png,dog,,\n", "has 2 columns 'split'"),
    "a cell too many": (PLAIN + "c.png,cat,black\n", r"line 4: 3 cells, the header has 2 \(path, label\); a cell with"),
    "a cell too few": ("path,label,split\na.png,cat,train\nb.png,dog\n", "line 3: 2 cells, the header has 3"),
    "a lone carriage return in a cell": ("path,label\na.png,c\rat\nb.png,dog\n", "line 3: 1 cells, the header has 2"),
    "a label missing": (PLAIN + "c.png,\n", "line 4: no label; fill it in or remove the line"),
    "a label of white space": (PLAIN + "c.png, \u00a0\n", "line 4: no label; fill it in"),
    "a path missing": (PLAIN + ",cat\n", "line 4: no path; fill it in"),
    "a path twice": (PLAIN + "a.png,dog\n", r"line 4: a\.png is in the table already, in line 2; remove one"),
    "a path twice in other words": (PLAIN + "./a.png,dog\n", r"line 4: \./a\.png is in the table already, in line 2"),
    "a NUL byte": (PLAIN.replace("dog", "d\0g"), "line 3: a NUL byte, as in UTF-16; save it as CSV in UTF-8"),
    "UTF-16": (PLAIN.encode("utf-16"), r"pets\.csv is in UTF-16; save it as CSV in UTF-8"),
    "UTF-16 without a mark": (PLAIN.encode("utf-16-le"), "line 1: a NUL byte, as in UTF-16; save it as CSV in UTF-8"),
    "Latin-1": (PLAIN.replace("dog", "h\u00fcnd").encode("latin1"), "line 3: byte 0xfc is no UTF-8; save it as CSV in"),
    "Latin-1 after a mark": (
        b"\xef\xbb\xbf" + PLAIN.replace("dog", "h\u00fcnd").encode("latin1"),
        "line 3: byte 0xfc is no UTF-8",
    ),
    "a spreadsheet": (b"PK\x03\x04\x14\0\x06\0", "line 1: a NUL byte"),
    "labels that look the same": (PLAIN + "c.png,big cat\nd.png,big  cat\n", "'big  cat' and 'big cat' are different"),
    "labels composed in two ways": (PLAIN + "c.png,\u00e9\nd.png,e\u0301\n", r"'e\\u0301' and '\\xe9' are different"),
    "a split that is none": ("path,label,split\na.png,cat,train\nb.png,dog,tset\n", "line 3: unknown split 'tset'"),
    "one label": ("path,label\na.png,x\n", "the column label has the labels x; two are needed"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_lose_something_is_refused_with_its_line(listing, kind):
    content, message = REFUSED[kind]
    with pytest.raises(DatasetError, match=message) as raised:
        listing(content)
    assert "pets.csv" in str(raised.value) and "\n" not in str(raised.value)


def test_what_was_read_and_left_out_is_reported(listing, caplog):
    content = "path;label;age;notes\na.png;cat;3;\nb.png;dog;4;old\nc.png;owl;5;\n"
    found = listing(content, classes=("dog", "cat"))
    assert found.notes[0].endswith("pets.csv, separated by semicolons: dog, cat")
    assert found.notes[1:] == ("left out: 1 rows of owl", "columns that are not read: age, notes")
    assert labels_of(listing(content, label="age")) == {"a.png": "3", "b.png": "4", "c.png": "5"}
    listing(PLAIN + "c.png,Cat\n")
    assert "'Cat' and 'cat' are different classes; if they mean the same, make one of them" in caplog.text


LETTERS = "ab \t,;\"'|\u00e9\u4e2d\ufeff\u2028\x0b\x85#=\\"


def test_every_cell_comes_back(tmp_path):
    dice = random.Random(16)

    def cell(least):
        text = "".join(dice.choices(LETTERS, k=dice.randint(least, 6))).strip()
        return text if text or not least else cell(least)

    for number in range(300):
        rows = [(cell(1), cell(1), cell(0)) for _ in range(dice.randint(1, 6))]
        file = io.StringIO()
        quoting = dice.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
        writer = csv.writer(file, delimiter=dice.choice(",;\t"), quoting=quoting)
        writer.writerows([("path", "label", "identity"), *rows])
        path = tmp_path / f"{number}.csv"
        path.write_bytes(file.getvalue().encode(dice.choice(["utf-8", "utf-8-sig"])))
        content = read_user_csv(path, ("path", "label"), ("split", "identity"), DatasetError)
        assert [tuple(row.values()) for _, row in content.rows] == rows, number
        assert [line for line, _ in content.rows] == list(range(2, len(rows) + 2))
