"""Suites: released models have what their tables need, or are refused in one line."""

from pathlib import Path
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
        write_suite(root, content)
        return load_project(root, "mixed")

    return load


def write_suite(root: Path, content: dict[str, Any]) -> None:
    (root / "config/suites/mixed.yaml").write_text(yaml.safe_dump(content))


def refusal(load: Any, *arguments: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("table", ["classifiers", "samples", "subset", "frechet", "user_study"])
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


def test_the_table_of_factors_is_made_of_the_experiments_whose_factors_are_known(suite):
    project = suite(["released-age", "leaves", "mnist"], "factors")
    assert [name for name, each in project.experiments.items() if each.gives("factors")] == ["leaves"]
    line = refusal(suite, ["released-age", "mnist"], "factors")
    assert "suites/mixed.yaml: tables: factors needs an experiment with evaluation.factor_regressor, and none" in line


def test_each_experiment_of_a_suite_with_its_seeds(root):
    content = {"title": "t", "experiments": ["mnist-pair", "mnist-pair-without-cst"], "seeds": 3, "tables": ["seeds"]}
    write_suite(root, content)
    project = load_project(root, "mixed")
    twin = "mnist-pair-without-cst"
    assert list(project.experiments) == [
        "mnist-pair", "mnist-pair-seed1", "mnist-pair-seed2", twin, f"{twin}-seed1", f"{twin}-seed2"
    ]  # fmt: skip
    assert [each.seed for each in project.experiments.values()] == [0, 1, 2, 0, 1, 2]
    of = [project.experiments[f"{twin}{suffix}"].classifier_of for suffix in ("", "-seed1", "-seed2")]
    assert of == ["mnist-pair", "mnist-pair-seed1", "mnist-pair-seed2"]
    assert project.experiments["mnist-pair-seed2"].title == "MNIST, 3 against 5, seed 2"
    one, other = (each.model_dump(exclude={"seed", "title"}) for each in list(project.experiments.values())[:2])
    assert one == other

    write_suite(root, content | {"experiments": ["mnist-pair", "mnist-pair-seed1"]})
    line = refusal(load_project, root, "mixed")
    assert line.endswith("'mnist-pair-seed1' stands there twice (seeds: 3); remove one")
    write_suite(root, content | {"shown": ["mnist-pair"]})
    suite = load_project(root, "mixed").suite
    assert suite.pictured == ["mnist-pair"] and len(suite.runs) == 6
    write_suite(root, content | {"shown": ["mnist-pair-seed1"]})
    line = refusal(load_project, root, "mixed")
    assert "mixed.yaml: shown: unknown experiment 'mnist-pair-seed1'; did you mean 'mnist-pair'? (of the list)" in line
    write_suite(root, content | {"experiments": ["mnist-pairs"]})
    assert "unknown experiment 'mnist-pairs'; did you mean 'mnist-pair'?" in refusal(load_project, root, "mixed")


def test_a_file_says_what_a_name_with_a_seed_is_where_there_is_one(root):
    (root / "config/experiments/mnist-seed1.yaml").write_text("extends: mnist\ntitle: Mine\nseed: 7\n")
    assert [load_experiment(root, f"mnist-seed{seed}").seed for seed in (1, 2)] == [7, 2]
    for name in ("mnist-seed0", "mnist-seed01", "mnist-seed", "mnist-seed1x"):
        assert f"unknown experiment '{name}'" in refusal(load_experiment, root, name)


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
