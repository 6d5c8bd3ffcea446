"""Moves in batches against a loop that renders one image at a time; the screened search against the exhaustive one."""

import pytest
import torch

from stylex.attfind.engine import (
    FIRST_IMAGES,
    Moves,
    Screen,
    every_move,
    intervals,
    logits_of_moves,
    screened,
    targets_of,
)
from stylex.attfind.records import Direction, Effects, EffectsHeader
from stylex.attfind.selection import select_attributes
from stylex.config import AttFindConfig
from stylex.networks.stylespace import StyleVector, move
from stylex.networks.synthesis import Synthesis
from tests.builders import random_classifier

SHIFT = 1.5
SHAPES = [("skip", "noise", "repeat"), ("last", "silent", "repeat"), ("skip", "noise", "zeros")]


@pytest.fixture(scope="module", params=SHAPES, ids=" ".join)
def synthesis(request):
    to_rgb, noise, edges = request.param[0], request.param[1] == "noise", request.param[2]
    torch.manual_seed(0)
    network = Synthesis(w_plus_dim=6, channels=[5, 4, 3], image_channels=1, to_rgb=to_rgb, noise=noise, edges=edges)
    for layer in network.layers:
        if noise:
            torch.nn.init.constant_(layer.noise_strength, 0.3)  # so that noise which is not fixed would show
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def classifier():
    return random_classifier("abc", 16)


@pytest.fixture(scope="module")
def styles(synthesis):
    return synthesis.styles(torch.randn(3, 6, generator=torch.Generator().manual_seed(2)))


def extremes_of(styles):
    return torch.stack([styles.space.amin(0), styles.space.amax(0)])


def all_effects(synthesis, classifier, styles, batch_size, shift=SHIFT):
    base = classifier(synthesis.render(styles))
    targets = targets_of(styles.space, extremes_of(styles), shift)
    logits = logits_of_moves(synthesis, classifier, styles, every_move(targets), batch_size)
    return base, logits.reshape(*targets.shape, -1) - base[:, None, None]


def one_by_one(synthesis, classifier, styles):
    """Algorithm 1's inner loops as the paper writes them: every image, coordinate and direction alone."""
    count, size = styles.space.shape
    effect, extremes = torch.zeros(count, 2, size, 3), extremes_of(styles)
    for image in range(count):
        alone = styles.select(slice(image, image + 1))
        base = classifier(synthesis.render(alone))[0]
        for direction in Direction:
            for index in range(size):
                coordinate = torch.tensor([index])
                moved = move(alone.space, coordinate, extremes[direction, coordinate], SHIFT)
                effect[image, direction, index] = classifier(synthesis.render(alone._replace(space=moved)))[0] - base
    return effect


def test_equals_the_plain_loop_and_changes_nothing(synthesis, classifier, styles):
    # A replication added to affine biases in place and subtracted again, which drifts by rounding.
    holders = [*synthesis.state_dict().values(), *classifier.state_dict().values(), *styles]
    before = [tensor.clone() for tensor in holders]
    base, effect = all_effects(synthesis, classifier, styles, batch_size=7)
    assert all(torch.equal(old, new) for old, new in zip(before, holders, strict=True))
    torch.testing.assert_close(effect, one_by_one(synthesis, classifier, styles), rtol=0, atol=1e-4)
    torch.testing.assert_close(base, classifier(synthesis.render(styles)), rtol=0, atol=1e-4)
    assert effect.abs().max() > 0.01, "the oracle must see something"
    assert effect.shape == (3, 2, 5 + (5 + 4) + (4 + 3), 3)
    at_minimum = styles.space == styles.space.amin(0)
    assert at_minimum.any() and effect[:, Direction.TO_MIN][at_minimum].abs().max() < 1e-4
    for batch_size in (1, 10, 1000):
        other = all_effects(synthesis, classifier, styles, batch_size)[1]
        torch.testing.assert_close(other, effect, rtol=0, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = all_effects(synthesis, classifier, styles, batch_size=64)[1]
    assert rounded.dtype == torch.float32 and (rounded - effect).abs().max() < 0.1 * effect.abs().max()


def test_any_mix_of_images_and_coordinates_in_any_order(synthesis, classifier, styles):
    moves = every_move(targets_of(styles.space, extremes_of(styles), SHIFT))
    expected = logits_of_moves(synthesis, classifier, styles, moves, 64)
    some = torch.randperm(len(moves.index), generator=torch.Generator().manual_seed(3))[:40]
    for rows, batch_size in ((some, 7), (some[moves.image[some] > 0], 64)):
        actual = logits_of_moves(synthesis, classifier, styles, moves.select(rows), batch_size)
        torch.testing.assert_close(actual, expected[rows], rtol=0, atol=1e-4)


def test_more_images_than_are_held_at_a_time(synthesis, classifier):
    count = 16 + 3
    styles = synthesis.styles(torch.randn(count, 6, generator=torch.Generator().manual_seed(4)))
    moves = Moves(torch.arange(count).flip(0), torch.arange(count) % synthesis.layout.size, torch.full((count,), 2.5))
    logits, before = logits_of_moves(synthesis, classifier, styles, moves, 16), styles.space.clone()
    moved = moves.applied(styles)
    assert torch.equal(styles.space, before) and torch.equal(moved.to_rgb, styles.to_rgb)
    assert (moved.space != before).sum() == count and (moved.space[moves.image, moves.index] == 2.5).all()
    expected = classifier(synthesis.render(moved))[moves.image]  # of each image one coordinate is moved
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)


def test_every_render_starts_at_the_layer_it_touches(synthesis, classifier, styles, monkeypatch):
    rendered = [0] * len(synthesis.layers)
    for number, layer in enumerate(synthesis.layers):
        plain = layer.forward

        def counted(x, *arguments, number=number, plain=plain):
            rendered[number] += len(x)
            return plain(x, *arguments)

        monkeypatch.setattr(layer, "forward", counted)
    moves = every_move(targets_of(styles.space, extremes_of(styles), SHIFT))
    logits_of_moves(synthesis, classifier, styles, moves, 1000)
    widths = synthesis.layout.widths
    below = [len(styles.space) * 2 * sum(widths[:layer]) for layer in range(len(widths))]
    # Whole layers run for the shared states (once an image, but for the last layer) and for moves of layers below.
    shared = [len(styles.space)] * (len(widths) - 1) + [0]
    assert rendered == [once + moved for once, moved in zip(shared, below, strict=True)]


# --- the screened search


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(3)
    synthesis = Synthesis(w_plus_dim=8, channels=[12, 12, 12], image_channels=1).eval().requires_grad_(False)
    weights = torch.randn(2, 16 * 16)

    def classifier(images):
        return torch.tanh(images.flatten(1) @ weights.t() / 8) * 3

    styles = synthesis.styles(torch.randn(120, 8))
    return synthesis, classifier, StyleVector(styles.space.detach(), styles.to_rgb.detach())


def options(tolerance=0.0, shift=1.0):
    return AttFindConfig(images=120, shift=shift, threshold=2.0, max_attributes=5, tolerance=tolerance, batch_size=512)


def screen_of(networks, **changed):
    return Screen(*networks, extremes_of(networks[2]), options(**changed))


def lists(base, effect, tolerance=0.0):
    size = effect.shape[2]
    zeros, places = [0.0] * size, list(range(size))
    header = EffectsHeader(("a", "b"), 1.0, "float32", zeros, zeros, places, places, {})
    effects = Effects([str(row) for row in range(len(base))], base, effect, header)
    found = [select_attributes(effects, target, options(tolerance)).attributes for target in (0, 1)]
    return [[(*attribute.move, attribute.images_explained) for attribute in each] for each in found]


@pytest.mark.parametrize("seed", range(5))
def test_the_same_attributes_for_part_of_the_work(networks, seed):
    base, effect = all_effects(*networks, 512, shift=1.0)
    screen = screen_of(networks)
    screened(screen, seed)
    assert lists(screen.base, screen.effect) == lists(base, effect)
    assert all(len(found) == 5 for found in lists(base, effect)), "the comparison must compare something"
    assert screen.evaluations < 0.75 * effect[..., 0].numel()  # the fewer images and coordinates, the less can be saved


@pytest.mark.parametrize("seed", range(3))  # of six orders of the images the fourth chooses otherwise, as 5 % may
def test_a_tolerance_is_the_same_for_both(networks, seed):
    synthesis, _, styles = networks
    weights = torch.randn(2, 16 * 16, generator=torch.Generator().manual_seed(5))
    even = synthesis, lambda images: torch.tanh((images.flatten(1) @ weights.t() / 8).abs() - 1) * 3, styles
    base, effect = all_effects(*even, 512, shift=1.0)
    screen = screen_of(even, tolerance=0.1)
    screened(screen, seed)
    assert lists(screen.base, screen.effect, 0.1) == lists(base, effect, 0.1) != lists(base, effect)


def test_what_is_measured_is_exact_and_the_rest_is_no_number(networks):
    base, effect = all_effects(*networks, 512, shift=1.0)
    screen = screen_of(networks)
    measured, bounded = screened(screen, 0)
    known = ~screen.effect.isnan()
    torch.testing.assert_close(screen.effect[known], effect[known], rtol=0, atol=1e-4)
    assert screen.evaluations == known[..., 0].sum()
    moves = known[..., 0].flatten(1)
    complete = torch.stack([moves[base.argmax(1) != target].all(dim=0) for target in (0, 1)])
    assert measured == complete.sum() and bounded == 2 * 2 * effect.shape[2] - measured
    assert 0 < measured < bounded
    assert (moves.sum(dim=0) >= FIRST_IMAGES).all()


def test_intervals_hold_the_true_mean(networks):
    base, effect = all_effects(*networks, 512, shift=1.0)
    covered = total = 0
    for seed in range(20):
        screen = screen_of(networks)
        images = torch.randperm(len(base), generator=torch.Generator().manual_seed(seed))
        screen.measure((images[:16], torch.arange(2 * effect.shape[2])))
        low, high = intervals(screen, 0, images, images)
        true = effect[..., 0].flatten(1).double().mean(dim=0)
        covered += int(((low <= true) & (true <= high)).sum())
        total += len(true)
    assert covered / total > 0.995  # Bonferroni over the moves of a search


def test_an_interval_of_complete_measurements_is_a_point(networks):
    base, effect = all_effects(*networks, 512, shift=1.0)
    screen, images = screen_of(networks), torch.arange(len(base))
    screen.measure((images, torch.tensor([3, 7])))
    screen.measure((images[:FIRST_IMAGES], torch.arange(2 * effect.shape[2])))
    low, high = intervals(screen, 1, images, images[10:])
    assert low[3] == high[3] == pytest.approx(effect[10:, 0, 3, 1].double().mean().item(), abs=1e-4)
    assert (high - low > 0).sum() == 2 * effect.shape[2] - 2


def test_the_estimate_is_the_gradient_times_the_move(networks):
    small, (_, effect) = screen_of(networks, shift=0.001), all_effects(*networks, 512, shift=0.001)
    slope = (small.estimate * effect).sum() / small.estimate.square().sum()
    assert slope.item() == pytest.approx(1, abs=0.02)
