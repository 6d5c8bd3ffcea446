import math

import torch

from stylex.losses.adversarial import discriminator_loss, generator_loss
from stylex.losses.classifier import classifier_divergence
from stylex.losses.reconstruction import l1
from stylex.losses.regularization import path_length_penalty, path_lengths, r1_penalty


def test_logistic_losses_of_known_scores():
    real, fake = torch.tensor([0.0, 2.0]), torch.tensor([-1.0])
    expected = (math.log(2) + math.log1p(math.exp(-2))) / 2 + math.log1p(math.exp(-1))
    torch.testing.assert_close(discriminator_loss(real, fake), torch.tensor(expected))
    torch.testing.assert_close(generator_loss(fake), torch.tensor(math.log1p(math.exp(1))))


def test_r1_of_a_quadratic_score():
    images = torch.randn(3, 1, 2, 2, requires_grad=True)
    scores = (images.square() * 1.5).sum(dim=(1, 2, 3))  # gradient 3x: half its mean square norm
    expected = 0.5 * (3 * images).square().sum(dim=(1, 2, 3)).mean()
    torch.testing.assert_close(r1_penalty(scores, images), expected)


def test_path_length_of_a_linear_generator_is_the_norm_of_its_transposed_jacobian():
    w = torch.randn(2, 3, 4, requires_grad=True)
    matrix = torch.randn(3, 4, 8 * 8)
    images = torch.einsum("nld,ldp->np", w, matrix).reshape(2, 1, 8, 8)
    lengths = path_lengths(images, w, torch.Generator().manual_seed(5))
    noise = torch.randn((2, 1, 8, 8), generator=torch.Generator().manual_seed(5)).reshape(2, 64) / 8
    gradient = torch.einsum("np,ldp->nld", noise, matrix)
    torch.testing.assert_close(lengths, gradient.square().sum(2).mean(1).sqrt())
    torch.testing.assert_close(path_length_penalty(lengths, lengths.mean()), lengths.var(correction=0))


def test_divergence_is_kl_of_fake_from_real_and_its_reverse():
    fake, real = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.5, 0.5]])
    forward = 0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5)
    backward = 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    torch.testing.assert_close(classifier_divergence(fake.log(), real.log()), torch.tensor(forward))
    torch.testing.assert_close(classifier_divergence(fake.log(), real.log(), reverse=True), torch.tensor(backward))


def test_l1_is_the_mean_absolute_difference():
    assert l1(torch.tensor([1.0, -1.0]), torch.tensor([0.0, 1.0])) == 1.5
