import pytest

from stylex.datasets.layouts.table import list_images
from stylex.errors import DatasetError

TABLE = "path,label,split,identity\nb.png,sick,train,ann\nsub/a.png,healthy,Test,\nc.png,unsure,validation,ann\n"


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "images.csv"
    path.write_text(TABLE)
    return path


def test_rows_are_records(table):
    listing = list_images(table, None, None)
    assert listing.class_names == ("healthy", "sick", "unsure")
    assert [(each.id, each.label, each.part, each.identity) for each in listing.records] == [
        ("b.png", 1, "train", "ann"),
        ("c.png", 2, "val", "ann"),
        ("sub/a.png", 0, "test", None),
    ]
    assert listing.records[2].path == table.parent / "sub" / "a.png"
    assert list_images(table.parent, None, None) == listing, "the only table of a folder"


def test_classes_choose_and_order(table):
    listing = list_images(table, None, ("sick", "healthy"))
    assert [(each.id, each.label) for each in listing.records] == [("b.png", 0), ("sub/a.png", 1)]


def test_another_column_is_the_label(table):
    table.write_text("path,label,age\n1.png,a,young\n2.png,a,old\n")
    assert list_images(table, "age", None).class_names == ("old", "young")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\na.png,x\n", "images.csv has no column 'path': line 1 has 'file', 'label', separated by commas"),
        ("path,label\na.png,x\n,y\n", "line 3: no path; fill it in"),
        ("path,label\na.png,x\na.png,y\n", r"line 3: a\.png is in the table already"),
        ("path,label,split\na.png,x,tset\n", "line 2: unknown split 'tset'; did you mean 'test'"),
        ("path,label\na.png,x\n", "the column label has the labels x; two are needed"),
        ("", "has no column 'path'"),
    ],
)
def test_mistakes(table, text, message):
    if text.endswith("tset\n"):
        text += "b.png,y,\n"
    table.write_text(text)
    with pytest.raises(DatasetError, match=message):
        list_images(table, None, None)


def test_damage_and_unknown_class(table):
    with pytest.raises(DatasetError, match="unknown value of label 'sikc'; did you mean 'sick'"):
        list_images(table, None, ("sikc", "healthy"))
    (table.parent / "other.csv").write_text("")
    with pytest.raises(DatasetError, match=r"must have one CSV table of images, it has images\.csv, other\.csv"):
        list_images(table.parent, None, None)
    table.write_bytes(b"path,label\n\xff\xfe,x\n")
    with pytest.raises(DatasetError, match="save it as CSV in UTF-8"):
        list_images(table, None, None)
