import torch

from stylex.training.augment import augment, cutout, shifted


def test_translation_moves_whole_images_by_whole_pixels_and_repeats_edges():
    image = torch.arange(64.0).reshape(1, 1, 8, 8)
    moved = shifted(image.expand(50, -1, -1, -1), 2, torch.Generator().manual_seed(0))
    candidates = []
    for down in range(-2, 3):
        for right in range(-2, 3):
            rows, columns = (torch.arange(8) + down).clamp(0, 7), (torch.arange(8) + right).clamp(0, 7)
            candidates.append(image[0, 0][rows][:, columns])
    matches = [[torch.equal(one[0], candidate) for candidate in candidates] for one in moved]
    assert all(sum(row) == 1 for row in matches)
    assert len({row.index(True) for row in matches}) > 10


def test_cutout_blanks_at_most_its_square_and_passes_gradients():
    images = torch.ones(20, 1, 8, 8, requires_grad=True)
    blanked = cutout(images, 4, torch.Generator().manual_seed(0))
    holes = (blanked == 0).sum(dim=(1, 2, 3))
    assert holes.max() == 16
    assert holes.min() >= 4  # a centre in the corner leaves a quarter
    blanked.sum().backward()
    assert torch.equal(images.grad, blanked.detach())


def test_no_policy_changes_nothing():
    images = torch.randn(2, 1, 8, 8)
    assert augment(images, [], torch.Generator()) is images
