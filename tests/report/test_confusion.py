"""Classes and mistakes on the page, for two classes and for 200."""

from pathlib import Path

from stylex.artifacts import read_json, read_table, write_json
from stylex.config import SuitePaths, experiment_paths
from stylex.report import render, tables
from stylex.report.confusion import Confusion, class_list


def test_the_most_frequent_mistakes_come_first_and_right_answers_never():
    confusion = Confusion(["a", "b", "c"], [[5, 1, 0], [4, 2, 2], [0, 0, 9]])
    assert confusion.shown
    assert confusion.mistakes() == [("b", "a", 4, 0.5), ("b", "c", 2, 0.25), ("a", "b", 1, 1 / 6)]


def test_ten_classes_are_named_and_more_are_counted():
    names = [str(number) for number in range(11)]
    assert class_list(names[:10]) == "0 / 1 / 2 / 3 / 4 / 5 / 6 / 7 / 8 / 9"
    assert class_list(names) == "0 / … / 10 (11 classes)"


def test_a_classifier_of_200_classes_has_a_row_and_its_worst_mistakes(measured: Path):
    path = experiment_paths(measured, "mnist").classifier.metrics
    names = [f"bird {number:03d}" for number in range(200)]
    counts = [[30 if row == column else 0 for column in range(200)] for row in range(200)]
    counts[17][42] = 12
    del (metrics := read_json(path))["calibration"]
    write_json(path, metrics | {"class_names": names, "confusion_matrix": counts})
    tables(measured, "demo")
    render(measured, "demo")
    suite = SuitePaths(measured, "demo")
    row = read_table(suite.table("classifiers", "csv")).set_index("experiment").loc["mnist"]
    assert row["classes"] == "bird 000 / … / bird 199 (200 classes)" and row[["ece", "temperature"]].isna().all()
    page = suite.report.read_text(encoding="utf-8")
    assert '<tr><th scope="row">bird 017</th><td>bird 042</td><td class="number">12</td>' in page
    assert "bird 018" not in page
