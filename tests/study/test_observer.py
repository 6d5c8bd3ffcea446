"""The machine observer: its rule on made-up changes, and its file."""

from math import isnan

import pandas
import pytest
import torch

from stylex.classifiers import load_backbone
from stylex.classifiers.frozen import perceptual_distance
from stylex.config import ExperimentPaths, backbone_paths, load_experiment
from stylex.errors import ArtifactError
from stylex.latents.table import read_latents
from stylex.networks.model import load_stylex
from stylex.study.answers import read_key
from stylex.study.observer import COLUMNS, Observer, choose, observe, total_row
from stylex.study.statistics import interval_over_questions


def test_it_chooses_the_direction_of_the_examples_whatever_the_length():
    east, north = torch.eye(2)
    changes = torch.stack([east, east, 0.01 * east, 9 * north, east, 5 * east + north, north, 0.1 * east])
    assert choose(changes).tolist() == [0, 1]


def test_it_tells_opposite_directions_apart_and_a_tie_is_a():
    east = torch.tensor([1.0, 0.0])
    assert choose(torch.stack([east, east, -east, east])).tolist() == [1]
    assert choose(torch.zeros(4, 2)).tolist() == [0]


def test_squared_lengths_of_changes_are_perceptual_distances(asked):
    paths = ExperimentPaths(asked, "mnist")
    backbone = load_backbone(backbone_paths(asked, "mnist-32").model)
    observer = Observer(load_stylex(paths.stylex_model).synthesis, backbone, read_latents(paths.latents), 2.0, 8)
    a, b = torch.rand(2, 3, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = perceptual_distance(backbone.features(a), backbone.features(b))
    torch.testing.assert_close(
        (observer.features(a) - observer.features(b)).square().sum(1), expected, rtol=1e-4, atol=1e-6
    )


def test_it_answers_without_the_classifier_the_questions_of_the_key(own):
    paths = ExperimentPaths(own, "mnist")
    assert not paths.classifier.model.exists()
    observe(own, "mnist", "cpu")
    frame, key = pandas.read_csv(paths.observer), read_key(paths.study_key)
    assert list(frame.columns) == list(COLUMNS)
    assert frame["question"].tolist() == [*key[key["part"] == 1]["question"], "all"]
    assert frame["n"].tolist() == [5, 5, 5, 15] and set(frame["extractor"]) == {"random"}
    each, total = frame.iloc[:-1], frame.iloc[-1]
    assert (each["accuracy"] == each["correct"] / 5).all() and each["shown_correct"].isin([0, 1]).all()
    assert total["accuracy"] == pytest.approx(each["accuracy"].mean())
    assert total["shown_correct"] == each["shown_correct"].sum() and total["low"] <= total["accuracy"] <= total["high"]
    assert (total["low"], total["high"]) == interval_over_questions(
        each["accuracy"], load_experiment(own, "mnist").seed
    )
    before = paths.observer.read_bytes()
    observe(own, "mnist", "cpu")
    assert paths.observer.read_bytes() == before


def test_draws_of_one_attribute_are_not_independent_answers():
    def row(correct, n):
        return {"shown_correct": 1, "n": n, "correct": correct, "accuracy": correct / n}

    few, many = ([row(right * n, n) for right in (1, 1, 1, 1, 0, 0)] for n in (5, 100))
    few, many = (total_row("stylex", rows, seed=0) for rows in (few, many))
    assert (few["low"], few["high"]) == (many["low"], many["high"]) and many["low"] < 0.5
    assert isnan(total_row("stylex", [row(100, 100)], seed=0)["low"])


def test_a_key_of_other_attributes_or_images_is_refused(own):
    paths = ExperimentPaths(own, "mnist")
    text = paths.study_key.read_text()
    paths.study_key.write_text(text.replace("image 0", "picture 0"))
    with pytest.raises(ArtifactError, match="made from other images; run `stylex study build` again"):
        observe(own, "mnist", "cpu")
    paths.study_key.write_text(text)
    attributes = paths.attributes.read_text().splitlines()
    paths.attributes.write_text("\n".join([attributes[0], *attributes[3:]]) + "\n")
    with pytest.raises(ArtifactError, match="made from other attributes"):
        observe(own, "mnist", "cpu")
