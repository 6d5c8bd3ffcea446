"""Streamed statistics against those of all features at once."""

import pytest
import torch

from stylex.distances import frechet_distance, kernel_distance, moments
from stylex.evaluation import statistics as module
from stylex.evaluation.statistics import FeatureStatistics


def draw(n, dimension, seed, offset=0.0):
    return torch.randn(n, dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + offset


def streamed(features, size, seed=0):
    found = FeatureStatistics(len(features), torch.Generator().manual_seed(seed))
    for batch in features.split(size):
        found.add(batch)
    return found


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_moments_are_those_of_all_at_once_however_the_images_come(size):
    features = draw(3000, 12, 0, offset=1000.0) @ draw(12, 12, 1)  # far from the origin: a sum of squares would fail
    found, (mean, covariance) = streamed(features, size), moments(features)
    torch.testing.assert_close(found.mean, mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(found.covariance, covariance, rtol=1e-9, atol=1e-9)
    assert torch.equal(found.sample, features)


def test_distances_do_not_depend_on_the_batches():
    a, b = draw(500, 16, 0), draw(500, 16, 1, offset=0.2)
    values = []
    for size in (1, 7, 64):
        real, fake = streamed(a, size), streamed(b, size)
        frechet = frechet_distance(real.mean, real.covariance, fake.mean, fake.covariance)
        values.append([frechet, *kernel_distance(real.sample, fake.sample, torch.Generator().manual_seed(0))])
    for value in values[1:]:
        assert value == pytest.approx(values[0], rel=1e-9)


def test_of_many_images_a_sample_is_kept_that_batches_do_not_change(monkeypatch):
    monkeypatch.setattr(module, "KID_IMAGES", 50)
    features = draw(400, 3, 2)
    samples = [streamed(features, size).sample for size in (1, 7, 400)]
    assert samples[0].shape == (50, 3)
    assert torch.equal(samples[0], samples[1]) and torch.equal(samples[0], samples[2])
    assert torch.isin(samples[0][:, 0], features[:, 0]).all()
    assert not torch.equal(samples[0], streamed(features, 7, seed=1).sample)
