"""Minibatch statistics, conditioning and the independence of a code."""

import numpy
import pytest
import torch

from stylex.networks.discriminator import minibatch_stddev


@pytest.mark.parametrize(("count", "group", "size"), [(8, 4, 4), (4, 4, 4), (6, 4, 2), (3, 4, 1), (8, 1, 1)])
def test_minibatch_standard_deviation_is_numpys_over_groups_of_consecutive_samples(count, group, size):
    x = torch.randn(count, 3, 4, 4)
    actual = minibatch_stddev(x, group)
    assert torch.equal(actual[:, :3], x)
    for start in range(0, count, size):
        expected = numpy.sqrt(x[start : start + size].numpy().var(axis=0) + 1e-8).mean()
        torch.testing.assert_close(actual[start : start + size, 3], torch.full((size, 4, 4), float(expected)))


def test_halves_of_a_batch_do_not_mix(networks):
    torch.manual_seed(0)
    real, fake, others = (torch.rand(8, 1, 32, 32) * 2 - 1 for _ in range(3))
    probabilities = torch.rand(8, 2).softmax(dim=1)
    alone = networks.discriminator(real, probabilities)
    for mates in (fake, others):
        together = networks.discriminator(torch.cat([real, mates]), probabilities.repeat(2, 1))
        torch.testing.assert_close(together[:8], alone, atol=1e-5, rtol=1e-4)
    # Within a group they do: the statistics are there to see a collapse.
    collapsed = networks.discriminator(real[:1].expand(8, -1, -1, -1), probabilities)
    assert (collapsed[0] - alone[0]).abs() > 1e-3


def test_conditional_discriminator_weighs_its_outputs_by_the_probabilities(networks):
    images = torch.rand(2, 1, 32, 32)
    scores = [networks.discriminator(images, torch.eye(2)[[k, k]]) for k in (0, 1)]
    assert not torch.equal(*scores)
    mixed = networks.discriminator(images, torch.tensor([[0.3, 0.7], [0.3, 0.7]]))
    torch.testing.assert_close(mixed, 0.3 * scores[0] + 0.7 * scores[1], atol=1e-5, rtol=1e-4)
