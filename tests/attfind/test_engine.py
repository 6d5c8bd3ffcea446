"""The effects engine against a loop that renders one image at a time."""

import pytest
import torch

from stylex.attfind.engine import effects_of
from stylex.attfind.records import Direction
from stylex.classifiers import Classifier, build_network
from stylex.classifiers.wrapper import NetworkDescription
from stylex.networks.stylespace import StyleVector, move
from stylex.networks.synthesis import Synthesis

SHIFT = 1.5


@pytest.fixture(scope="module", params=[("skip", True), ("last", False)], ids=["skip", "last without noise"])
def synthesis(request):
    to_rgb, noise = request.param
    torch.manual_seed(0)
    network = Synthesis(w_plus_dim=6, channels=[5, 4, 3], image_channels=1, to_rgb=to_rgb, noise=noise)
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
    rows = torch.arange(len(styles.space)).split(1)
    pairs = [effects_of(synthesis, classifier, styles.select(row), extremes, SHIFT, batch_size) for row in rows]
    return torch.stack([base for base, _ in pairs]), torch.stack([effect for _, effect in pairs])


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
