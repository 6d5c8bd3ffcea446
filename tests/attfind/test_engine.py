"""Moves in batches against a loop that renders one image at a time."""

import pytest
import torch

from stylex.attfind.engine import Moves, every_move, logits_of_moves, targets_of
from stylex.attfind.records import Direction
from stylex.classifiers import Classifier, build_network
from stylex.classifiers.frozen import NetworkDescription
from stylex.networks.stylespace import StyleVector, move
from stylex.networks.synthesis import Synthesis

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
    torch.manual_seed(1)
    names = ("a", "b", "c")
    description = NetworkDescription(
        role="classifier",
        name="random",
        architecture="resnet18",
        width=0.125,
        channels=1,
        resolution=16,
        class_names=names,
    )
    return Classifier(build_network("resnet18", 1, 3, 0.125), description)


@pytest.fixture(scope="module")
def styles(synthesis):
    return synthesis.styles(torch.randn(3, 6, generator=torch.Generator().manual_seed(2)))


@pytest.fixture(scope="module")
def extremes(styles):
    return torch.stack([styles.space.amin(0), styles.space.amax(0)])


def all_effects(synthesis, classifier, styles, extremes, batch_size):
    base = classifier(synthesis.render(styles))
    targets = targets_of(styles.space, extremes, SHIFT)
    logits = logits_of_moves(synthesis, classifier, styles, every_move(targets), batch_size)
    return base, logits.reshape(*targets.shape, -1) - base[:, None, None]


def one_by_one(synthesis, classifier, styles, extremes):
    """Algorithm 1's inner loops as the paper writes them: every image, coordinate and direction alone."""
    count, size = styles.space.shape
    effect = torch.zeros(count, 2, size, 3)
    for image in range(count):
        alone = StyleVector(styles.space[image : image + 1], styles.to_rgb[image : image + 1])
        base = classifier(synthesis.render(alone))[0]
        for direction in Direction:
            for index in range(size):
                coordinate = torch.tensor([index])
                moved = move(alone.space, coordinate, extremes[direction, coordinate], SHIFT)
                effect[image, direction, index] = classifier(synthesis.render(alone._replace(space=moved)))[0] - base
    return effect


def test_equals_the_plain_loop_and_changes_nothing(synthesis, classifier, styles, extremes):
    # A replication added to affine biases in place and subtracted again, which drifts by rounding.
    holders = [*synthesis.state_dict().values(), *classifier.state_dict().values(), *styles, extremes]
    before = [tensor.clone() for tensor in holders]
    base, effect = all_effects(synthesis, classifier, styles, extremes, batch_size=7)
    assert all(torch.equal(old, new) for old, new in zip(before, holders, strict=True))
    torch.testing.assert_close(effect, one_by_one(synthesis, classifier, styles, extremes), rtol=0, atol=1e-4)
    torch.testing.assert_close(base, classifier(synthesis.render(styles)), rtol=0, atol=1e-4)
    assert effect.abs().max() > 0.01, "the oracle must see something"


def test_size_is_computed(synthesis, classifier, styles, extremes):
    _, effect = all_effects(synthesis, classifier, styles, extremes, batch_size=64)
    assert effect.shape == (3, 2, synthesis.layout.size, 3)
    assert synthesis.layout.size == 5 + (5 + 4) + (4 + 3)


@pytest.mark.parametrize("batch_size", [1, 10, 1000])
def test_does_not_depend_on_the_batch_size(synthesis, classifier, styles, extremes, batch_size):
    _, expected = all_effects(synthesis, classifier, styles, extremes, batch_size=32)
    _, effect = all_effects(synthesis, classifier, styles, extremes, batch_size=batch_size)
    torch.testing.assert_close(effect, expected, rtol=0, atol=1e-4)


def test_a_coordinate_at_its_extreme_has_no_effect(synthesis, classifier, styles, extremes):
    _, effect = all_effects(synthesis, classifier, styles, extremes, batch_size=64)
    at_minimum = styles.space == extremes[Direction.TO_MIN]
    assert at_minimum.any()
    assert effect[:, Direction.TO_MIN][at_minimum].abs().max() < 1e-4


def test_bfloat16_stays_near_float32(synthesis, classifier, styles, extremes):
    _, expected = all_effects(synthesis, classifier, styles, extremes, batch_size=64)
    with torch.autocast("cpu", torch.bfloat16):
        _, effect = all_effects(synthesis, classifier, styles, extremes, batch_size=64)
    assert effect.dtype == torch.float32
    assert (effect - expected).abs().max() < 0.1 * expected.abs().max()


def test_any_mix_of_images_and_coordinates_in_any_order(synthesis, classifier, styles, extremes):
    moves = every_move(targets_of(styles.space, extremes, SHIFT))
    expected = logits_of_moves(synthesis, classifier, styles, moves, 64)
    some = torch.randperm(len(moves.index), generator=torch.Generator().manual_seed(3))[:40]
    actual = logits_of_moves(synthesis, classifier, styles, moves.select(some), 7)
    torch.testing.assert_close(actual, expected[some], rtol=0, atol=1e-4)
    first_image_unused = some[moves.image[some] > 0]
    actual = logits_of_moves(synthesis, classifier, styles, moves.select(first_image_unused), 64)
    torch.testing.assert_close(actual, expected[first_image_unused], rtol=0, atol=1e-4)


def test_more_images_than_are_held_at_a_time(synthesis, classifier):
    count = 16 + 3
    styles = synthesis.styles(torch.randn(count, 6, generator=torch.Generator().manual_seed(4)))
    moves = Moves(torch.arange(count).flip(0), torch.arange(count) % synthesis.layout.size, torch.full((count,), 2.5))
    logits = logits_of_moves(synthesis, classifier, styles, moves, 16)
    for row in (0, 1, count - 1):
        image, index = int(moves.image[row]), int(moves.index[row])
        space = styles.space[image : image + 1].clone()
        space[0, index] = 2.5
        alone = classifier(synthesis.render(StyleVector(space, styles.to_rgb[image : image + 1])))
        torch.testing.assert_close(logits[row : row + 1], alone, rtol=0, atol=1e-4)


def test_every_render_starts_at_the_layer_it_touches(synthesis, classifier, styles, extremes, monkeypatch):
    rendered = [0] * len(synthesis.layers)
    for number, layer in enumerate(synthesis.layers):
        plain = layer.forward

        def counted(x, *arguments, number=number, plain=plain):
            rendered[number] += len(x)
            return plain(x, *arguments)

        monkeypatch.setattr(layer, "forward", counted)
    moves = every_move(targets_of(styles.space, extremes, SHIFT))
    logits_of_moves(synthesis, classifier, styles, moves, 1000)
    widths = synthesis.layout.widths
    below = [len(styles.space) * 2 * sum(widths[:layer]) for layer in range(len(widths))]
    # Whole layers run for the shared states (once an image, but for the last layer) and for moves of layers below.
    shared = [len(styles.space)] * (len(widths) - 1) + [0]
    assert rendered == [once + moved for once, moved in zip(shared, below, strict=True)]
