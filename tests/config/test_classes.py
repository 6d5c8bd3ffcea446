"""Which class is shown, which are compared, and names that would mean two things."""

import pytest

from stylex.config import ExperimentConfig, load_experiment
from stylex.errors import ConfigError

DIGITS = "dataset: {name: mnist, classes: ['3', '5', '8']}"
REST = "dataset: {name: mnist, one_vs_rest: '3'}"
ALL = "dataset: {name: mnist}"


def experiment(root, *sections: str) -> ExperimentConfig:
    head = "extends: cpu-32\ntitle: a\ndomain: a\nstylex: {perceptual_backbone: mnist-32}\n"
    (root / "config/experiments/own.yaml").write_text(head + "\n".join(sections))
    return load_experiment(root, "own")


@pytest.mark.parametrize("dataset", [DIGITS, ALL])
def test_a_class_that_others_are_compared_with_has_no_figure(root, dataset):
    with pytest.raises(ConfigError) as caught:
        experiment(root, dataset, "attfind: {against: 8}", "evaluation: {figure_class: 8}")
    assert "evaluation.figure_class: '8' has no attributes" in str(caught.value)
    assert str(caught.value).endswith("name another class, or leave attfind.against out")


@pytest.mark.parametrize(
    ("sections", "shown"),
    [
        ((DIGITS,), "8"),
        ((DIGITS, "attfind: {against: 8}"), "5"),
        ((DIGITS, "attfind: {against: 5}"), "8"),
        ((DIGITS, "attfind: {against: 8}", "evaluation: {figure_class: 3}"), "3"),
        ((REST,), "3"),
        ((REST, "attfind: {against: 3}"), "rest"),
    ],
)
def test_the_class_shown_is_the_last_that_is_a_target(root, sections, shown):
    config = experiment(root, *sections)
    assert config.dataset.class_names is not None
    assert config.shown_class(config.dataset.class_names) == shown


def test_of_all_classes_of_a_dataset_the_last_target_is_shown_too(root):
    config = experiment(root, ALL, "attfind: {against: 9}")
    assert config.dataset.class_names is None
    assert config.shown_class("0123456789") == "8"
    with pytest.raises(ConfigError, match="figure_class: unknown class 'nine'; choose one of 0, 1"):
        experiment(root, ALL, "evaluation: {figure_class: nine}").shown_class("01")


def test_one_against_the_rest_is_compared_with_one_of_these_two(root):
    with pytest.raises(ConfigError, match="attfind.against: unknown class '5'; choose one of rest, 3, or leave it out"):
        experiment(root, REST, "attfind: {against: 5}")


def test_a_class_called_rest_may_be_among_the_others_and_not_be_the_one(root):
    with pytest.raises(ConfigError, match="'rest' is what all other classes .*: rename the class, or use classes"):
        experiment(root, "dataset: {name: mnist, one_vs_rest: rest}")
    assert experiment(root, "dataset: {name: mnist, classes: [rest, '3']}").dataset.class_names == ["rest", "3"]


def test_birds_are_compared_with_all_others_and_one_species_is_shown(root):
    """[L] figure 6."""
    config = load_experiment(root, "cub-200-2011-256")
    assert config.attfind.against is None and config.evaluation.figure_class == "brewer-blackbird"
