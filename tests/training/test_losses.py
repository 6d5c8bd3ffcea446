import math

import torch

from stylex.training.losses import (
    classifier_divergence,
    discriminator_loss,
    energy_distance,
    generator_loss,
    l1,
    path_length_penalty,
    path_lengths,
    r1_penalty,
)


def test_logistic_and_hinge_losses_of_known_scores():
    real, fake = torch.tensor([0.0, 2.0]), torch.tensor([-1.0])
    expected = (math.log(2) + math.log1p(math.exp(-2))) / 2 + math.log1p(math.exp(-1))
    torch.testing.assert_close(discriminator_loss(real, fake), torch.tensor(expected))
    torch.testing.assert_close(generator_loss(fake), torch.tensor(math.log1p(math.exp(1))))
    fake = torch.tensor([-3.0, 0.5])
    # max(0, 1 - real): 1 and 0; max(0, 1 + fake): 0 and 1.5.
    assert discriminator_loss(real, fake, hinge=True) == 0.5 + 0.75
    assert generator_loss(fake, hinge=True) == 1.25


def test_r1_of_a_quadratic_score():
    images, factor = torch.randn(3, 1, 2, 2, requires_grad=True), torch.tensor(1.5, requires_grad=True)
    scores = (images.square() * factor).sum(dim=(1, 2, 3))  # gradient 3x: half its mean square norm
    penalty = r1_penalty(scores, images)
    torch.testing.assert_close(penalty, 0.5 * (3 * images).square().sum(dim=(1, 2, 3)).mean())
    # The discriminator learns from it: 0.5 |2 a x|^2 has the derivative 4 a x^2 in a.
    (slope,) = torch.autograd.grad(penalty, factor)
    torch.testing.assert_close(slope, 4 * 1.5 * images.square().sum(dim=(1, 2, 3)).mean())


def test_path_length_of_a_linear_generator_is_the_norm_of_its_transposed_jacobian():
    w, scale = torch.randn(2, 3, 4, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    matrix, direction = torch.randn(3, 4, 8 * 8), torch.randn(2, 1, 8, 8)
    images = scale * torch.einsum("nld,ldp->np", w, matrix).reshape(2, 1, 8, 8)
    lengths = path_lengths(images, w, direction)
    gradient = torch.einsum("np,ldp->nld", direction.reshape(2, 64) / 8, matrix)
    expected = gradient.square().sum(2).mean(1).sqrt()
    torch.testing.assert_close(lengths, expected)
    torch.testing.assert_close(path_length_penalty(lengths, lengths.mean()), lengths.var(correction=0))
    # The generator learns from it: mean (a l - 2)^2 has the derivative 2 mean (l - 2) l in a at 1.
    (slope,) = torch.autograd.grad(path_length_penalty(lengths, torch.tensor(2.0)), scale)
    torch.testing.assert_close(slope, 2 * ((expected - 2) * expected).mean())


def test_divergence_is_pytorchs_both_ways_and_zero_of_a_thing_from_itself():
    fake, real = torch.randn(6, 5), torch.randn(6, 5)
    p, q = (torch.distributions.Categorical(logits=logits) for logits in (fake, real))
    kl = torch.distributions.kl_divergence
    torch.testing.assert_close(classifier_divergence(fake, real), kl(p, q).mean())
    torch.testing.assert_close(classifier_divergence(fake, real, reverse=True), kl(q, p).mean())
    torch.testing.assert_close(classifier_divergence(fake, fake + 3), torch.tensor(0.0), atol=1e-6, rtol=0)


def test_l1_is_the_mean_absolute_difference():
    assert l1(torch.tensor([1.0, -1.0]), torch.tensor([0.0, 1.0])) == 1.5


def test_energy_distance_is_that_of_plain_loops_and_finite_for_one_sample():
    random = torch.Generator().manual_seed(0)
    drawn, own = torch.randn((5, 3), generator=random), torch.randn((4, 3), generator=random) + 1
    across = [math.dist(a, b) for a in drawn.tolist() for b in own.tolist()]
    within = [
        [math.dist(a, b) for i, a in enumerate(each.tolist()) for j, b in enumerate(each.tolist()) if i != j]
        for each in (drawn, own)
    ]
    expected = 2 * sum(across) / len(across) - sum(sum(each) / len(each) for each in within)
    torch.testing.assert_close(energy_distance(drawn, own), torch.tensor(expected))
    assert energy_distance(drawn[:1], own[:1]) == 2 * torch.dist(drawn[0], own[0])


def test_energy_distance_is_zero_on_average_for_one_distribution_and_teaches_another():
    random = torch.Generator().manual_seed(0)
    same = [energy_distance(*torch.randn((2, 16, 4), generator=random)) for _ in range(400)]
    assert abs(float(torch.stack(same).mean())) < 0.02
    centre = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.SGD([centre], lr=0.1)
    for _ in range(600):
        drawn, own = torch.randn((2, 16, 4), generator=random)
        optimizer.zero_grad()
        energy_distance(drawn + centre, own + 2).backward()
        optimizer.step()
    torch.testing.assert_close(centre, torch.full((4,), 2.0), atol=0.3, rtol=0)
