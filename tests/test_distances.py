"""Fréchet and kernel distance against closed forms."""

import pytest
import scipy.linalg
import torch

from stylex.distances import frechet_distance, kernel_distance, moments, squared_mmd


def draw(n, dimension, seed, mean=0.0):
    return torch.randn(n, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + mean


def test_equal_covariances_give_the_squared_distance_of_the_means():
    features = draw(200, 6, 0)
    step = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0, 0.25], dtype=torch.float64)
    distance = frechet_distance(*moments(features), *moments(features + step))
    assert distance == pytest.approx(float(step.square().sum()), abs=1e-9)


def test_same_features_are_at_distance_zero_even_with_fewer_images_than_features():
    features = draw(20, 64, 1)
    assert frechet_distance(*moments(features), *moments(features)) == pytest.approx(0, abs=1e-9)


def test_general_covariances_agree_with_the_matrix_square_root():
    a, b = moments(draw(300, 8, 2)), moments(draw(300, 8, 3, mean=0.5) @ draw(8, 8, 4))
    root = scipy.linalg.sqrtm((a[1] @ b[1]).numpy()).real
    expected = float((a[0] - b[0]).square().sum() + a[1].trace() + b[1].trace()) - 2 * float(root.trace())
    assert frechet_distance(*a, *b) == pytest.approx(expected, rel=1e-9)


def test_moments_are_float64_and_unbiased():
    mean, covariance = moments(torch.tensor([[1.0], [3.0]]))
    assert (mean.tolist(), covariance.tolist(), covariance.dtype) == ([2.0], [[2.0]], torch.float64)


def test_squared_mmd_by_hand():
    a, b = torch.tensor([[1.0], [2.0]]), torch.tensor([[0.0], [1.0]])
    # k(x, y) = (xy + 1)^3: within a 27; within b 1; between 1, 8, 1, 27.
    assert float(squared_mmd(a, b)) == pytest.approx(27 + 1 - 2 * (1 + 8 + 1 + 27) / 4)


def test_kernel_distance_is_zero_on_average_for_one_distribution_and_sees_a_shift():
    seeds = [(draw(100, 4, s), draw(100, 4, 100 + s), torch.Generator().manual_seed(s)) for s in range(30)]
    values = torch.tensor([kernel_distance(*each)[0] for each in seeds])
    assert abs(values.mean()) < 3 * values.std() / 30**0.5
    shifted = draw(100, 4, 0), draw(100, 4, 1, mean=1.0)
    first, second = (kernel_distance(*shifted, torch.Generator().manual_seed(7)) for _ in range(2))
    assert first == second
    assert first[0] > 3 * first[1] > 0
