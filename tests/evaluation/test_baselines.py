"""The selection of Wu et al. on known scores, the direction of GANalyze on known cases, and the files they write."""

from dataclasses import replace
from math import inf, isnan

import pytest
import torch
from torch import Tensor

from stylex.artifacts import load_tensors, read_json
from stylex.attfind.records import Direction, read_attributes
from stylex.cli import main
from stylex.config import ExperimentPaths
from stylex.config.analysis import GanalyzeConfig
from stylex.errors import AttributesNotFoundError, ConfigError
from stylex.evaluation.baselines import (
    assessor,
    baseline,
    exemplar_scores,
    ganalyze,
    learn_direction,
    log_odds,
    population,
    select,
)
from stylex.latents.table import SCALARS, VECTORS, read_latents, write_latents
from tests.builders import latents_of, save_random_network

TWIN = "mnist-without-cst"
# Columns: higher in the exemplars, lower, constant, the same in all exemplars, the first times ten plus one.
STYLES = torch.tensor([
    [2.0, -1.0, 0.3, 5.0, 21.0],
    [4.0, -9.0, 0.3, 5.0, 41.0],
    [0.0, 4.0, 0.3, 1.0, 1.0],
    [-2.0, 2.0, 0.3, 1.0, -19.0],
])  # fmt: skip
EXEMPLARS = torch.tensor([True, True, False, False])
OPTIONS = GanalyzeConfig(steps=300, batch_size=16, learning_rate=0.05)
REACH = 4.0


def test_scores_by_hand():
    # Coordinate 0: mean 1; exemplars 2 and 4 have mean 3 and sd sqrt(2): (3 - 1) / sqrt(2). The sd of all cancels.
    # Coordinate 1: mean -1; exemplars -1 and -9 have mean -5 and sd sqrt(32): -4 / sqrt(32).
    expected = torch.tensor([2**0.5, -(2**-0.5), 0.0, inf, 2**0.5], dtype=torch.float64)
    torch.testing.assert_close(exemplar_scores(STYLES, EXEMPLARS), expected)
    constant = torch.full((250, 1), 0.1)  # whatever its mean is rounded to
    assert exemplar_scores(constant, torch.arange(250) % 2 == 0).tolist() == [0.0]


def test_order_direction_and_what_is_left_out():
    # Equal scores: the lower index first. The constant coordinate is left out.
    up, down = Direction.TO_MAX, Direction.TO_MIN
    assert select(STYLES, EXEMPLARS, 10) == [(3, up), (0, up), (4, up), (1, down)]
    assert select(STYLES, EXEMPLARS, 2) == [(3, up), (0, up)]
    assert select(STYLES, ~EXEMPLARS, 1) == [(3, down)]


@pytest.fixture
def twin(root, small_experiment):
    """The twin's networks, and styles of 40 images: coordinate 7 is high in class 5, coordinate 30 a little less."""
    run, decisions = small_experiment(root, TWIN), torch.arange(40) % 2
    styles = torch.randn(40, run.networks.synthesis.layout.size, generator=torch.Generator().manual_seed(0))
    styles[:, 7] += 8 * decisions
    styles[:, 30] -= 6 * decisions
    logits = torch.nn.functional.one_hot(decisions).float()
    latents = latents_of(40, labels=decisions, logits=logits, styles=styles, reconstruction_logits=logits.flip(1))
    write_latents(run.paths.latents, latents)
    return run, latents


def test_the_file_has_the_columns_of_attributes(twin, root):
    run, _ = twin
    baseline(root, TWIN)
    header, first = run.paths.wu_2021.read_text().splitlines()[:2]
    assert header == "target_class,rank,style_index,layer,channel,direction,mean_effect,images_explained"
    assert first.endswith(",,")  # no effect is measured
    found, layout = read_attributes(run.paths.wu_2021), run.networks.synthesis.layout
    for target, high in (("3", Direction.TO_MIN), ("5", Direction.TO_MAX)):
        top = found[target][:2]
        assert {(each.style_index, each.direction) for each in top} == {(7, high), (30, Direction(1 - high))}
        assert [each.rank for each in found[target]] == list(range(1, 41))
        assert (top[0].layer, top[0].channel) == layout.locate(top[0].style_index)
        assert isnan(top[0].mean_effect) and top[0].images_explained is None
    origin = read_json(run.paths.wu_2021.with_suffix(".provenance.json"))
    assert origin["exemplars 5"] == "10 of 20 images" and origin["seed"] == "0"


def test_who_is_an_exemplar(twin):
    _, latents = twin
    styles, exemplars = population(latents, "5", None)  # by the image, and not its reconstruction
    assert torch.equal(exemplars, torch.arange(40) % 2 == 1) and torch.equal(styles, latents.styles)
    three = replace(latents, class_names=("a", "b", "c"), logits=torch.eye(3)[torch.arange(40) % 3])
    styles, exemplars = population(three, "a", "c")  # against one class, the population is the pair
    rows = torch.tensor([row for row in range(40) if row % 3 != 1])
    assert torch.equal(styles, latents.styles[rows]) and torch.equal(exemplars, rows % 3 == 0)


def test_one_exemplar_is_too_few(twin, root, caplog):
    run, latents = twin
    one = torch.tensor([[1.0, 0.0]]).repeat(40, 1)
    one[3] = torch.tensor([0.0, 1.0])
    write_latents(run.paths.latents, replace(latents, logits=one))
    baseline(root, TWIN)
    assert list(read_attributes(run.paths.wu_2021)) == ["3"]
    assert "fewer than two analysed images to '5'" in caplog.text
    columns = ("ids", "labels", *VECTORS, *SCALARS)
    write_latents(run.paths.latents, replace(latents, **{name: getattr(latents, name)[:1] for name in columns}))
    with pytest.raises(AttributesNotFoundError, match="fewer than two of 1 images"):
        baseline(root, TWIN)


def test_an_experiment_trained_with_the_classifier_is_refused(root, monkeypatch, capsys):
    monkeypatch.chdir(root)
    assert main(["baseline", "mnist"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: experiment 'mnist' is trained with its classifier")
    assert "conditioning: probabilities" in message and "needs one with conditioning: none" in message


def learned(assess, seed=0, options=OPTIONS):
    w = torch.randn(40, 6, generator=torch.Generator().manual_seed(3))
    return learn_direction(assess, w, REACH, options, torch.Generator().manual_seed(seed))


def test_linear_answer_with_one_shortest_direction():
    # A = g w: every theta with g theta = 1 is exact. With |g_i| equal or 0, Adam from 0 stays on the shortest, g / g².
    g = torch.tensor([2.0, -2.0, 0.0, 2.0, 0.0, -2.0])
    found = learned(lambda w, rows: w @ g)
    torch.testing.assert_close(found.theta, g / g.square().sum(), rtol=0, atol=2e-3)
    assert found.reach == REACH and found.error < 0.05 * REACH
    g = torch.tensor([3.0, -0.5, 0.1, 1.0, 0.0, -2.0])
    theta = learned(lambda w, rows: w @ g).theta
    assert float(g @ theta) == pytest.approx(1.0, abs=0.02) and theta[4] == 0


def test_the_error_says_what_is_missing():
    # A = 3 sign-like: one number cannot ask for more than the answer gives.
    found = learned(lambda w, rows: torch.tanh(w[:, 0]))
    assert 2.0 < found.error < REACH and found.theta[0] > 0
    found = learned(lambda w, rows: (0 * w).sum(dim=1) + rows.float())  # w changes nothing
    assert found.theta.abs().max() == 0 and found.error == pytest.approx(REACH)


def test_the_generator_decides_which_images_and_alphas_are_drawn():
    short = GanalyzeConfig(steps=5)
    first, again, other = (learned(lambda w, rows: (w**3).sum(dim=1), seed, short).theta for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_log_odds_are_those_of_the_probability():
    logits = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.0, 0.0]])
    p = logits.softmax(dim=1)[:, 1]
    torch.testing.assert_close(log_odds(logits, 1), (p / (1 - p)).log())
    torch.testing.assert_close(log_odds(logits[:, :2], 1), logits[:, 1] - logits[:, 0])


class Mean(torch.nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        mean = images.mean(dim=(1, 2, 3))
        return torch.stack([torch.zeros_like(mean), mean], dim=1)


def test_each_image_keeps_its_own_conditioning(root, small_experiment):
    networks, random = small_experiment(root).networks, torch.Generator().manual_seed(2)
    w, logits = torch.randn(1, 8, generator=random).expand(3, -1), 5 * torch.randn(3, 2, generator=random)
    assess = assessor(networks, Mean(), logits, 1)
    expected = networks.synthesis.render(networks.synthesis.styles(networks.w_plus(w[:2], logits[[2, 0]])))
    torch.testing.assert_close(assess(w[:2], torch.tensor([2, 0])), expected.mean(dim=(1, 2, 3)))
    assert assess(w, torch.arange(3)).unique().numel() == 3


@pytest.fixture
def ganalyze_with(root, small_experiment):
    """Return what runs the stage on random networks, with a line in the section evaluation."""
    run, random = small_experiment(root), torch.Generator().manual_seed(1)
    save_random_network(run.paths.classifier.model, "classifier", ("3", "5"))
    w, logits = torch.randn(12, 8, generator=random), 3 * torch.randn(12, 2, generator=random)
    write_latents(run.paths.latents, latents_of(12, logits=logits, w=w, reconstruction_logits=logits))
    path = root / "config/experiments/mnist.yaml"

    def measure(options: dict, **sections) -> ExperimentPaths:
        small_experiment(root, evaluation=options, **sections)
        ganalyze(root, path.stem, "cpu")
        return run.paths

    return measure


def test_the_file_says_what_it_is(ganalyze_with, root):
    paths = ganalyze_with({"ganalyze": {"steps": 3, "batch_size": 4}})
    tensors, header = load_tensors(paths.ganalyze)
    assert tensors["theta"].shape == (8,) and tensors["theta"].abs().max() > 0
    assert header["target_class"] == "5" and float(header["error"]) > 0
    latents = read_latents(paths.latents).under("held_out")
    logits = latents.reconstruction_logits[latents.searched]
    assert float(header["reach"]) == pytest.approx(2 * float((logits[:, 1] - logits[:, 0]).abs().median()))
    assert {"config_digest", "seed", "commit", "version_torch"} <= header.keys()


@pytest.mark.parametrize("dataset", [{}, {"dataset": {"name": "mnist"}}], ids=["named", "known from the data"])
def test_an_unknown_class_is_named_before_anything_is_computed(ganalyze_with, dataset):
    with pytest.raises(ConfigError, match=r"unknown class '8'; choose one of 3, 5"):
        ganalyze_with({"figure_class": "8"}, **dataset)
