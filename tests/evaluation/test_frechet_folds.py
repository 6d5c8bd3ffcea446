"""Distances of disjoint groups of images: independent numbers of one curve."""

import torch

from stylex.distances import squared_mmd
from stylex.evaluation.frechet import FOLD_IMAGES, fold_distances


def features(count, seed):
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_folds_share_no_image_and_leave_none_out():
    real, fake = features(53, 0), features(53, 1)
    before, touched = fold_distances(real, fake, 7), []
    for image in range(53):
        other = fake.clone()
        other[image] += 5
        after = fold_distances(real, other, 7)
        touched += [[fold for fold in range(5) if after[fold] != before[fold]]]
    assert all(len(folds) == 1 for folds in touched)
    assert sorted(touched.count([fold]) for fold in range(5)) == [10, 10, 11, 11, 11]


def test_a_fold_is_the_squared_mmd_of_its_images():
    real, fake = features(60, 0), features(60, 1)
    rows = torch.randperm(60, generator=torch.Generator().manual_seed(3))[1::5]
    assert fold_distances(real, fake, 3)[1] == float(squared_mmd(real[rows], fake[rows]))
    assert fold_distances(real, fake, 3) == fold_distances(real, fake, 3) != fold_distances(real, fake, 4)


def test_folds_that_are_too_small_have_no_distance():
    count = 5 * FOLD_IMAGES
    assert fold_distances(features(count - 1, 0), features(count - 1, 1), 0) == [None] * 5
    assert None not in fold_distances(features(count, 0), features(count, 1), 0)
