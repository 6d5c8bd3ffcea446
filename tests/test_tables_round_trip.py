"""Tables are read as they were written, whatever their words look like."""

import pandas
import pytest

from stylex.artifacts import TEXT, read_json, read_table, write_table
from stylex.attfind.records import Attribute, Direction, read_attributes, write_attributes
from stylex.errors import ArtifactError

# What pandas takes for a missing value, a number or a truth value, and what CSV has to quote.
NAMES = [
    "NA", "N/A", "n/a", "None", "null", "NULL", "nan", "NaN", "-nan", "<NA>", "#N/A", "", "3", "03", "0x3", "1e5",
    "1.0", "inf", "True", "false", "both", "all", "*", "-", " ", " dog ", "a,b", 'a"b', "'a'", "two\nlines", "a\rb",
    "a\r\nb", "#a", "é",
]  # fmt: skip


def table_of(names):
    count = len(names)
    return pandas.DataFrame({
        "target_class": names,
        "id": names[::-1],
        "n": range(count),
        "fraction": [None, *(0.5 * n for n in range(1, count))],
        "first_k": pandas.array([*range(1, count), None], "Int64"),
        "flipped": [n % 2 == 0 for n in range(count)],
    })  # fmt: skip


@pytest.mark.parametrize("names", [NAMES, *([name, name] for name in NAMES)], ids=repr)
def test_words_come_back_as_they_were_written_and_numbers_as_numbers(tmp_path, names):
    written = table_of(names)
    write_table(tmp_path / "a.csv", written, {"seed": "0"})
    read = read_table(tmp_path / "a.csv")
    assert list(read.columns) == list(written.columns) and len(read) == len(written)
    assert read["target_class"].tolist() == names and read["id"].tolist() == names[::-1]
    assert read["n"].tolist() == written["n"].tolist() and read["flipped"].tolist() == written["flipped"].tolist()
    for column in ("fraction", "first_k"):
        assert read[column].dtype == "float64"
        assert read[column].isna().tolist() == written[column].isna().tolist()
        assert read[column].dropna().tolist() == written[column].dropna().tolist()
    assert read_json(tmp_path / "a.provenance.json") == {"seed": "0"}


def test_further_columns_of_words_are_named_by_who_reads_them(tmp_path):
    write_table(tmp_path / "a.csv", pandas.DataFrame({"value": ["0.10", "NA", ""], "k": [1, 2, 3]}), {})
    assert read_table(tmp_path / "a.csv", text=("value", "spread"))["value"].tolist() == ["0.10", "NA", ""]
    assert "value" not in TEXT


def test_a_table_without_rows_keeps_its_columns(tmp_path):
    write_table(tmp_path / "a.csv", table_of(NAMES).head(0), {})
    assert list(read_table(tmp_path / "a.csv").columns) == list(table_of(NAMES).columns)


@pytest.mark.parametrize("content", [b"", b"id,n\n1,2\n3,4,5\n", b"id\n\xff\n"])
def test_a_damaged_table_is_one_line(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"a\.csv is damaged .*; delete it and run its stage again"):
        read_table(tmp_path / "a.csv")
    with pytest.raises(ArtifactError, match=r"b\.csv does not exist"):
        read_table(tmp_path / "b.csv")


def test_attributes_of_classes_with_such_names(tmp_path):
    names = [name for name in NAMES if name]
    attributes = [Attribute(name, 1, 7, 0, 7, Direction.TO_MAX, 1.5, 3) for name in names]
    write_attributes(tmp_path / "attributes.csv", attributes, {})
    assert read_attributes(tmp_path / "attributes.csv") == {one.target_class: [one] for one in attributes}
