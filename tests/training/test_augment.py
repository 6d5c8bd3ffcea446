"""Augmentation by given uniform draws."""

import pytest
import torch

from stylex.training.augment import augment, cutout, shifted


def uniform(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_translation_moves_whole_images_by_whole_pixels_and_repeats_edges():
    image = torch.arange(64.0).reshape(1, 1, 8, 8)
    moved = shifted(image.expand(50, -1, -1, -1), 2, uniform(50, 2))
    candidates = []
    for down in range(-2, 3):
        for right in range(-2, 3):
            rows, columns = (torch.arange(8) + down).clamp(0, 7), (torch.arange(8) + right).clamp(0, 7)
            candidates.append(image[0, 0][rows][:, columns])
    matches = [[torch.equal(one[0], candidate) for candidate in candidates] for one in moved]
    assert all(sum(row) == 1 for row in matches)
    assert len({row.index(True) for row in matches}) > 10


@pytest.mark.parametrize(("draw", "expected"), [(0.0, -2), (0.19, -2), (0.21, -1), (0.5, 0), (0.79, 1), (0.999999, 2)])
def test_each_shift_has_an_equal_part_of_the_draws(draw, expected):
    image = torch.zeros(1, 1, 8, 8)
    image[..., 4, 4] = 1
    for axis, position in ((0, (4 + expected, 4)), (1, (4, 4 + expected))):
        draws = torch.full((1, 2), 0.5)
        draws[0, axis] = draw
        assert torch.nonzero(shifted(image, 2, draws)[0, 0]).tolist() == [list(position)]


def test_cutout_blanks_at_most_its_square_and_passes_gradients():
    images = torch.ones(20, 1, 8, 8, requires_grad=True)
    blanked = cutout(images, 4, uniform(20, 2))
    holes = (blanked == 0).sum(dim=(1, 2, 3))
    assert holes.max() == 16
    assert holes.min() >= 4  # a centre in the corner leaves a quarter
    blanked.sum().backward()
    assert torch.equal(images.grad, blanked.detach())


def test_cutout_blanks_the_square_around_its_centre():
    blanked = cutout(torch.ones(1, 2, 8, 8), 2, torch.tensor([[0.3125, 0.6875]]))  # row 2.5, column 5.5
    expected = torch.ones(8, 8)
    expected[2:4, 5:7] = 0
    assert torch.equal(blanked[0, 0], expected) and torch.equal(blanked[0, 1], expected)


def test_policies_take_their_own_draws_in_their_own_order():
    images, draws = torch.rand(6, 1, 16, 16), uniform(6, 4)
    moved, cut = shifted(images, 2, draws[:, :2]), cutout(images, 8, draws[:, 2:])
    assert torch.equal(augment(images, ["translation"], draws), moved)
    assert torch.equal(augment(images, ["cutout"], draws), cut)
    assert torch.equal(augment(images, ["translation", "cutout"], draws), cutout(moved, 8, draws[:, 2:]))


def test_no_policy_changes_nothing():
    images = torch.randn(2, 1, 8, 8)
    assert augment(images, [], uniform(2, 4)) is images
