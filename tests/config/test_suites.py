"""Suites: released models have what their tables need, or are refused in one line."""

from typing import Any

import pytest
import yaml

from stylex.config import load_experiment
from stylex.errors import ConfigError
from stylex.project import load_checked_experiment, load_project


@pytest.fixture
def suite(root):
    """Return what loads a suite of these experiments and tables."""

    def load(experiments: list[str], *tables: str):
        content = {"title": "A test", "experiments": experiments, "tables": list(tables)}
        (root / "config/suites/mixed.yaml").write_text(yaml.safe_dump(content))
        return load_project(root, "mixed")

    return load


def refusal(load: Any, *arguments: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("table", ["classifiers", "samples", "subset", "frechet", "factors", "user_study"])
def test_a_table_that_no_experiment_of_the_suite_gives(suite, table):
    line = refusal(suite, ["released-age"], "sufficiency", table)
    assert f"suites/mixed.yaml: tables: {table} is made of experiments that are trained here" in line
    assert line.endswith("leave the table out") or table == "frechet"
    assert ("or set released_images" in line) == (table == "frechet")
    assert list(suite(["released-age", "leaves"], table).experiments) == ["released-age", "leaves"]


def test_which_stages_there_are_for_each_kind_of_experiment(root):
    kinds = {
        "mnist": {"train", "classifier", "encode", "effects", "frechet", "samples", "figures", "attributes"},
        "released-age": {"convert-released", "figures", "attributes"},
        "released-age-ffhq": {"convert-released", "frechet", "figures", "attributes"},
        "anew": {"convert-released", "effects", "figures", "attributes"},
    }
    (root / "config/experiments/anew.yaml").write_text("extends: released-age\nreleased: latents\n")
    for name, stages in kinds.items():
        config = load_experiment(root, name)
        assert {stage for stage in set().union(*kinds.values()) if config.runs(stage)} == stages, name


def test_known_factors_are_asked_of_trained_experiments_alone(suite):
    assert "and 'mnist' has none" in refusal(suite, ["released-age", "leaves", "mnist"], "factors")


def test_the_models_images_make_the_table_of_distances(suite):
    project = suite(["released-age-ffhq"], "frechet")
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
        (
            "released-age",
            {"attfind": {"protocols": ["held_out"]}},
            "the released effects are of all images: set attfind.protocols: [same_images], or released: latents",
        ),
    ],
)
def test_a_released_model_that_cannot_be(root, extends, changes, message):
    (root / "config/experiments/mine.yaml").write_text(yaml.safe_dump({"extends": extends, **changes}))
    line = refusal(load_checked_experiment, root, "mine")
    assert "experiments/mine.yaml: " in line and message in line
