"""Tables of labels as people have them: from spreadsheets, other systems and editors. No row is lost without a word."""

import csv
import io
import random

import pytest

from stylex.datasets.layouts.table import list_images
from stylex.datasets.layouts.user_csv import read_table
from stylex.errors import DatasetError

PLAIN = "path,label\na.png,cat\nb.png,dog\n"
EXPECTED = {"a.png": "cat", "b.png": "dog"}


@pytest.fixture
def listing(tmp_path):
    """Write a table and list its images."""

    def write(content, label=None, classes=None):
        path = tmp_path / "pets.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return list_images(path, label, classes)

    return write


def told(found):
    return {each.id: found.class_names[each.label] for each in found.records}


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
    assert told(listing(content)) == EXPECTED


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
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_lose_something_is_refused_with_its_line(listing, kind):
    content, message = REFUSED[kind]
    with pytest.raises(DatasetError, match=message) as raised:
        listing(content)
    assert "pets.csv" in str(raised.value) and "\n" not in str(raised.value)


def test_what_was_read_and_left_out_is_told(listing):
    content = "path;label;age;notes\na.png;cat;3;\nb.png;dog;4;old\nc.png;owl;5;\n"
    found = listing(content, classes=("dog", "cat"))
    assert found.notes[0].endswith("pets.csv, separated by semicolons: dog, cat")
    assert found.notes[1:] == ("left out: 1 rows of owl", "columns that are not read: age, notes")
    assert told(listing(content, label="age")) == {"a.png": "3", "b.png": "4", "c.png": "5"}


def test_labels_that_differ_in_capitals_are_said(listing, caplog):
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
        table = read_table(path, ("path", "label"), ("split", "identity"))
        assert [tuple(row.values()) for _, row in table.rows] == rows, number
        assert [line for line, _ in table.rows] == list(range(2, len(rows) + 2))
