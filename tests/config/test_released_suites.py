"""Suites with released models are planned as far as their tables can be had, and else refused in one line."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from stylex.errors import ConfigError
from stylex.project import load_checked_experiment, load_project


def write(root: Path, kind: str, name: str, **content: Any) -> None:
    (root / "config" / kind / f"{name}.yaml").write_text(yaml.safe_dump(content))


def refusal(load: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("table", ["classifiers", "samples", "subset", "frechet", "factors", "user_study"])
def test_a_table_that_no_experiment_of_the_suite_gives(root, table):
    write(root, "suites", "mixed", title="A test", experiments=["released-age"], tables=["sufficiency", table])
    line = refusal(lambda: load_project(root, "mixed"))
    assert f"suites/mixed.yaml: tables: {table} is made of experiments that are trained here" in line
    assert line.endswith("leave the table out") or table == "frechet"
    assert ("or set released_images" in line) == (table == "frechet")
    write(root, "suites", "mixed", title="A test", experiments=["released-age", "leaves"], tables=[table])
    assert list(load_project(root, "mixed").experiments) == ["released-age", "leaves"]


def test_known_factors_are_asked_of_trained_experiments_alone(root):
    names = ["released-age", "leaves", "mnist"]
    write(root, "suites", "mixed", title="A test", experiments=names, tables=["factors"])
    assert "and 'mnist' has none" in refusal(lambda: load_project(root, "mixed"))


def test_the_models_images_make_the_table_of_distances(root):
    write(root, "suites", "mixed", title="A test", experiments=["released-age-ffhq"], tables=["frechet"])
    project = load_project(root, "mixed")
    assert project.experiments["released-age-ffhq"].released_images == "ffhq-gender" and not project.backbones


@pytest.mark.parametrize(
    ("extends", "changes", "message"),
    [
        ("released-age", {"released_images": "ffhq-gendre"}, "unknown dataset 'ffhq-gendre'; did you mean"),
        ("released-age", {"released_images": "celeba-age"}, "not colour images of the layout ffhq; name a dataset"),
        ("released-age", {"released_images": "mnist"}, "not colour images of the layout ffhq; name a dataset"),
        (
            "released-age",
            {"released_images": "ffhq-gender", "evaluation": {"frechet_extractors": ["backbone", "inception"]}},
            "no backbone to measure with: set evaluation.frechet_extractors: [inception]",
        ),
        ("mnist", {"released_images": "ffhq-gender"}, "those of a released model: leave it out, or add `released`"),
    ],
)
def test_images_that_cannot_be_those_of_a_released_model(root, extends, changes, message):
    write(root, "experiments", "mine", extends=extends, **changes)
    line = refusal(lambda: load_checked_experiment(root, "mine"))
    assert "experiments/mine.yaml: " in line and message in line
