"""The selection of Wu et al. on styles where the scores are known by arithmetic, and the file it writes."""

from dataclasses import replace
from math import inf, isnan

import pytest
import torch

from stylex.artifacts import read_json
from stylex.attfind.records import Direction, read_attributes
from stylex.cli import main
from stylex.config import ExperimentPaths, load_experiment
from stylex.errors import AttributesNotFoundError, ConfigError
from stylex.evaluation.wu_2021 import baseline, exemplar_scores, population, select
from stylex.latents.table import Latents, write_latents
from stylex.networks.model import build_networks, save_stylex

TWIN = "mnist-without-cst"
# Columns: higher in the exemplars, lower, constant, the same in all exemplars, the first times ten plus one.
STYLES = torch.tensor([
    [2.0, -1.0, 0.3, 5.0, 21.0],
    [4.0, -9.0, 0.3, 5.0, 41.0],
    [0.0, 4.0, 0.3, 1.0, 1.0],
    [-2.0, 2.0, 0.3, 1.0, -19.0],
])  # fmt: skip
EXEMPLARS = torch.tensor([True, True, False, False])


def test_scores_by_hand():
    # Coordinate 0: mean 1; exemplars 2 and 4 have mean 3 and sd sqrt(2): (3 - 1) / sqrt(2). The sd of all cancels.
    # Coordinate 1: mean -1; exemplars -1 and -9 have mean -5 and sd sqrt(32): -4 / sqrt(32).
    expected = torch.tensor([2**0.5, -(2**-0.5), 0.0, inf, 2**0.5], dtype=torch.float64)
    torch.testing.assert_close(exemplar_scores(STYLES, EXEMPLARS), expected)


def test_order_direction_and_what_is_left_out():
    # Equal scores: the lower index first. The constant coordinate is left out.
    up, down = Direction.TO_MAX, Direction.TO_MIN
    assert select(STYLES, EXEMPLARS, 10) == [(3, up), (0, up), (4, up), (1, down)]
    assert select(STYLES, EXEMPLARS, 2) == [(3, up), (0, up)]
    assert select(STYLES, ~EXEMPLARS, 1) == [(3, down)]


def test_a_coordinate_that_does_not_differ_scores_nothing_whatever_its_rounding():
    styles = torch.full((250, 1), 0.1)
    assert exemplar_scores(styles, torch.arange(250) % 2 == 0).tolist() == [0.0]


@pytest.fixture
def project(root):
    """The twin's networks, and styles of 40 images: coordinate 7 is high in class 5, coordinate 30 a little less."""
    config, paths = load_experiment(root, TWIN), ExperimentPaths(root, TWIN)
    networks = build_networks(config.stylex, 32, 1, 2, seed=0)
    save_stylex(paths.stylex_model, networks, {})
    random = torch.Generator().manual_seed(0)
    decisions = torch.arange(40) % 2
    styles = torch.randn(40, networks.synthesis.layout.size, generator=random)
    styles[:, 7] += 8 * decisions
    styles[:, 30] -= 6 * decisions
    logits = torch.nn.functional.one_hot(decisions).float()
    none = torch.zeros(40)
    latents = Latents(
        [f"{row}" for row in range(40)], decisions, logits, none[:, None], styles, none[:, None], none, none,
        logits.flip(1), none, ("3", "5"), {},
    )  # fmt: skip
    write_latents(paths.latents, latents)
    return root, latents


def test_the_file_has_the_columns_of_attributes(project):
    root, _ = project
    baseline(root, TWIN)
    paths = ExperimentPaths(root, TWIN)
    header, first = paths.wu_2021.read_text().splitlines()[:2]
    assert header == "target_class,rank,style_index,layer,channel,direction,mean_effect,images_explained"
    assert first.endswith(",,")  # no effect is measured
    found = read_attributes(paths.wu_2021)
    layout = build_networks(load_experiment(root, TWIN).stylex, 32, 1, 2, seed=0).synthesis.layout
    for target, high in (("3", Direction.TO_MIN), ("5", Direction.TO_MAX)):
        top = found[target][:2]
        assert {(each.style_index, each.direction) for each in top} == {(7, high), (30, Direction(1 - high))}
        assert [each.rank for each in found[target]] == list(range(1, 41))
        assert (top[0].layer, top[0].channel) == layout.locate(top[0].style_index)
        assert isnan(top[0].mean_effect) and top[0].images_explained is None
    origin = read_json(paths.wu_2021.with_suffix(".provenance.json"))
    assert origin["exemplars 5"] == "10 of 20 images" and origin["seed"] == "0"


def test_the_classifier_is_asked_about_the_image_and_not_its_reconstruction(project):
    _, latents = project
    styles, exemplars = population(latents, "5", None)
    assert torch.equal(exemplars, torch.arange(40) % 2 == 1) and torch.equal(styles, latents.styles)


def test_against_one_class_the_population_is_the_pair(project):
    _, latents = project
    three = replace(latents, class_names=("a", "b", "c"), logits=torch.eye(3)[torch.arange(40) % 3])
    styles, exemplars = population(three, "a", "c")
    rows = torch.tensor([row for row in range(40) if row % 3 != 1])
    assert torch.equal(styles, latents.styles[rows]) and torch.equal(exemplars, rows % 3 == 0)


def test_one_exemplar_tells_nothing(project, caplog):
    root, latents = project
    one = latents.logits.clone()
    one[:] = torch.tensor([1.0, 0.0])
    one[3] = torch.tensor([0.0, 1.0])
    write_latents(ExperimentPaths(root, TWIN).latents, replace(latents, logits=one))
    baseline(root, TWIN)
    assert list(read_attributes(ExperimentPaths(root, TWIN).wu_2021)) == ["3"]
    assert "fewer than two analysed images to '5'" in caplog.text
    single = replace(latents, **{
        name: getattr(latents, name)[:1] for name in ("ids", "labels", "logits", "w", "styles", "to_rgb_styles",
        "reconstruction_l1", "reconstruction_perceptual", "reconstruction_logits", "discriminator")
    })  # fmt: skip
    write_latents(ExperimentPaths(root, TWIN).latents, single)
    with pytest.raises(AttributesNotFoundError, match="fewer than two of 1 images"):
        baseline(root, TWIN)


def test_an_experiment_trained_with_the_classifier_is_refused(root, monkeypatch, capsys):
    with pytest.raises(ConfigError, match="conditioning: probabilities.*needs one with conditioning: none"):
        baseline(root, "mnist")
    monkeypatch.chdir(root)
    assert main(["baseline", "mnist"]) == 2
    assert capsys.readouterr().err.startswith("error: experiment 'mnist' is trained with its classifier")
