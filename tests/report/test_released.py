"""Suites of trained experiments and a released model, and of a released model alone: what it has not is left out."""

from pathlib import Path

import pytest
import yaml

from stylex.artifacts import read_json, read_table
from stylex.attfind.selection import select
from stylex.config import SuitePaths
from stylex.evaluation.maps import maps
from stylex.evaluation.sufficiency import sufficiency
from stylex.figures.make import experiment_figures
from stylex.figures.names import ANIMATION_NAMES, RELEASED
from stylex.released.convert import convert_released
from stylex.report import render, tables

TABLES = ["classifiers", "samples", "sufficiency", "seeds", "paired", "subset", "frechet", "user_study"]


def write_suite(root: Path, name: str, experiments: list[str], asked: list[str]) -> SuitePaths:
    """Make tables and report of a suite; figures of the trained experiments are those of the suite demo."""
    content = {"title": "A mixture", "experiments": experiments, "tables": asked}
    (root / f"config/suites/{name}.yaml").write_text(yaml.safe_dump(content))
    paths = SuitePaths(root, name)
    (paths.folder / "figures").mkdir(parents=True)
    for figure in (SuitePaths(root, "demo").folder / "figures").iterdir():
        (paths.folder / "figures" / figure.name).hardlink_to(figure)
    experiment_figures(root, name, "tiny", "cpu")
    tables(root, name)
    render(root, name)
    return paths


@pytest.fixture
def with_released(measured: Path, add_released) -> Path:
    """The project of the complete demo suite, in which the reduced released model `tiny` is analysed, too."""
    add_released(measured, attfind={"threshold": 0.001})
    convert_released(measured, "tiny", "cpu")
    select(measured, "tiny")
    sufficiency(measured, "tiny", "cpu")
    maps(measured, "tiny", "cpu")
    return measured


def test_tables_of_a_mixed_suite_have_the_released_model_where_it_has_numbers(with_released: Path):
    paths = write_suite(with_released, "mixed", ["mnist", "tiny", "mnist-without-cst"], TABLES)
    found = {name: read_table(paths.table(name, "csv"), ("experiment",)) for name in TABLES if name != "seeds"}
    rows = {name: set(frame["experiment"]) - {""} for name, frame in found.items() if "experiment" in frame}
    trained = {"mnist", "mnist-without-cst"}
    assert rows.pop("sufficiency") == trained | {"tiny"}
    assert rows == dict.fromkeys(("classifiers", "samples", "subset", "frechet", "user_study"), trained)
    assert set(read_json(paths.metrics("tiny"))) == {"sufficiency"}
    assert {"accuracy", "frechet_distance"} < set(read_json(paths.metrics("mnist")))


def test_page_of_a_mixed_suite_shows_what_each_has(with_released: Path):
    page = write_suite(with_released, "mixed", ["mnist", "tiny"], TABLES).report.read_text(encoding="utf-8")
    pictures = {
        name: {
            figure
            for figure in ("teaser", "comparison", "reconstructions", "history", "samples", *RELEASED, *ANIMATION_NAMES)
            if f'id="figure-{name}-{figure}"' in page
        }
        for name in ("mnist", "tiny")
    }
    assert pictures["tiny"] == {*RELEASED, *ANIMATION_NAMES} < pictures["mnist"]
    assert 'aria-label="Confusion matrix of mnist"' in page and "Confusion matrix of tiny" not in page
    assert "released, of which no accuracy is published" in page and "converted, not trained here" in page
    for artifact in ("classifier", "stylex", "latents", "effects", "attributes", "sufficiency"):
        assert f'id="provenance-tiny-{artifact}"' in page
    assert 'id="provenance-tiny-subset"' not in page and 'id="provenance-tiny-diagnosis"' not in page
    assert "Diagnosis of mnist" in page and "Diagnosis of tiny" not in page
    assert "as figure 2 of van de Geijn et al. 2022 shows them" in page
    assert "first among the images whose reconstruction is decided as the image itself" in page


def test_a_released_model_alone_has_a_report(with_released: Path):
    page = write_suite(with_released, "alone", ["tiny"], ["sufficiency"]).report.read_text(encoding="utf-8")
    assert 'id="figure-tiny-attributes"' in page and 'id="confusion"' not in page and "#confusion" not in page
    assert "The lists of both classes are merged, and the mean effect is over all images." in page
    assert "on the effects that its authors measured and released." in page
