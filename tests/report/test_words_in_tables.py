"""Whoever reads a table gets its words as they are in the file, whether or not the reader knows of the column."""

import csv
from pathlib import Path

from stylex.artifacts import TEXT, read_table

# Words in one table and numbers in another: who reads the former says so.
EITHER = {"value", "spread", "published", "published_spread", "correct", "images"}


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell in ("", "True", "False")
    return True


def test_every_column_of_words_in_a_finished_project_is_declared(finished: Path):
    paths = sorted([*(finished / "results").rglob("*.csv"), *(finished / "config/published").glob("*.csv")])
    assert len(paths) > 30
    seen = set()
    for path in paths:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
        words = {name for name, cells in columns.items() if not all(map(is_number, cells))}
        assert words <= TEXT | EITHER, path
        seen |= words
        frame = read_table(path)
        assert all(frame[name].tolist() == cells for name, cells in columns.items() if name in TEXT), path
    assert {"target_class", "method", "id", "experiment", "direction", "finding", "note"} <= seen
