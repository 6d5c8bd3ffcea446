"""COUT: against a plain second implementation in numpy, and cases that can be worked out by hand."""

import numpy
import pytest
import torch

from stylex.evaluation.cout import exchange_order, transition_areas

CERTAIN = 1000.0  # a logit beside which all others are nothing


def pixel_switch(pixel):
    """A classifier of class 1 where one pixel is above 0, and of class 0 elsewhere, with certainty."""

    def classify(images):
        sign = images.mean(dim=1).flatten(1)[:, pixel].sign()
        return torch.stack([-CERTAIN * sign, CERTAIN * sign], dim=1)

    return classify


def pair(changes):
    """Black images of 2x2 pixels and three channels, and the same with each pixel raised by so much."""
    before = -torch.ones(1, 3, 2, 2)
    return before, before + torch.tensor(changes).view(1, 1, 2, 2)


@pytest.mark.parametrize(
    ("pixel", "target", "source"),
    [
        (0, 0.875, 0.125),  # exchanged first: the curve of the target is 0, 1, 1, 1, 1, of the other 1, 0, 0, 0, 0
        (1, 0.625, 0.375),  # second: 0, 0, 1, 1, 1
        (3, 0.125, 0.875),  # last: 0, 0, 0, 0, 1
    ],
)
def test_the_sooner_the_decision_turns_the_larger_is_the_area(pixel, target, source):
    areas = transition_areas(pixel_switch(pixel), *pair([2.0, 1.9, 1.8, 1.7]), steps=4)
    assert areas[0].tolist() == pytest.approx([source, target])


def test_a_counterfactual_that_turns_nothing_and_one_that_was_turned_before():
    before, _ = pair([0.0] * 4)
    assert transition_areas(pixel_switch(0), before, before, steps=4)[0].tolist() == [1, 0]  # COUT -1 towards class 1
    assert transition_areas(pixel_switch(0), -before, -before, steps=4)[0].tolist() == [0, 1]  # COUT 1


def test_pixels_are_exchanged_by_the_size_of_their_change_whatever_its_sign_and_ties_in_reading_order():
    before, after = pair([0.1, -0.5, 0.1, 0.3])
    assert exchange_order(before, after).tolist() == [[2, 0, 3, 1]]


def plain_areas(weight, before, after, steps):
    """COUT's two areas of one image, one pixel, one channel and one step after the other."""
    channels, height, width = before.shape
    mask = [sum(abs(after[c, y, x] - before[c, y, x]) for c in range(channels)) / channels
            for y in range(height) for x in range(width)]  # fmt: skip
    order = sorted(range(len(mask)), key=lambda pixel: -mask[pixel])
    chances = []
    for step in range(steps + 1):
        mixed = before.copy()
        for pixel in order[: -(-step * len(order) // steps)]:
            mixed[:, pixel // width, pixel % width] = after[:, pixel // width, pixel % width]
        logits = [float((row * mixed.ravel()).sum()) for row in weight]
        total = sum(numpy.exp(logit) for logit in logits)
        chances.append([numpy.exp(logit) / total for logit in logits])
    return [
        sum((one[label] + other[label]) / 2 for one, other in zip(chances, chances[1:], strict=False)) / steps
        for label in range(len(weight))
    ]


@pytest.mark.parametrize(("channels", "steps"), [(1, 5), (3, 16)])
def test_equals_a_plain_loop(channels, steps):
    random = numpy.random.default_rng(0)
    before, after = (random.uniform(-1, 1, (4, channels, 4, 4)).astype(numpy.float32) for _ in range(2))
    weight = random.normal(size=(3, channels * 16)).astype(numpy.float32)
    matrix = torch.from_numpy(weight)
    found = transition_areas(
        lambda images: images.flatten(1) @ matrix.T, *map(torch.from_numpy, (before, after)), steps
    )
    expected = [plain_areas(weight, x, y, steps) for x, y in zip(before, after, strict=True)]
    assert numpy.allclose(found.numpy(), expected, atol=1e-5)
    assert (found.sum(dim=1) - 1).abs().max() < 1e-5  # probabilities, so their areas add up
