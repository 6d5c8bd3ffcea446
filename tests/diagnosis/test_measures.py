"""Each measure against a plain second implementation, image by image, and on cases of which the answer is known."""

import itertools
from statistics import mean

import numpy
import pytest
import torch

from stylex import diagnosis
from stylex.classifiers.metrics import recalls
from stylex.training.metrics import VALIDATION_IMAGES

N = 12


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(N, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def near(images) -> torch.Tensor:
    """Reconstructions some of which are nearer to another image."""
    found = 0.3 * images + 0.7 * images.roll(1, 0) * torch.linspace(0, 1, N)[:, None, None, None]
    assert 0 < diagnosis.own_nearest(images, found) < 1
    return found


CLASSES = torch.tensor([0, 1, 1, 0, 2, 1, 0, 2, 0, 1, 0, 0])


def distance(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(numpy.sqrt(((first.double().numpy() - second.double().numpy()) ** 2).sum()))


def test_own_nearest_is_counted_image_by_image(images, near):
    found = [min(range(N), key=lambda row: distance(each, images[row])) for each in near]
    assert diagnosis.own_nearest(images, near) == pytest.approx(mean(row == own for own, row in enumerate(found)))
    assert diagnosis.own_nearest(images, images) == 1
    assert diagnosis.own_nearest(images, images[:1].expand_as(images)) == pytest.approx(1 / N)  # the first one's


def test_own_nearer_compares_with_images_of_the_same_decision(images, near):
    of_images = []
    for row, each in enumerate(near):
        rivals = [other for other in range(N) if other != row and CLASSES[other] == CLASSES[row]]
        own = distance(each, images[row])
        of_images.append(mean(own < distance(each, images[other]) for other in rivals))
    assert diagnosis.own_nearer(images, near, CLASSES) == pytest.approx(mean(of_images))
    assert diagnosis.own_nearer(images, images, CLASSES) == 1


def test_own_nearer_is_a_half_by_chance_whatever_the_images(images):
    classes = torch.zeros(N, dtype=torch.int64)
    constant = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(1)).expand_as(images)
    for some in (images, images[:1].expand_as(images)):  # the second: all equally far
        assert diagnosis.own_nearer(some, constant, classes) == pytest.approx(0.5)
    # An image without another of its decision is left out.
    wrong, classes = torch.cat([images[1:2], images[1:]]), torch.tensor([7] + [0] * (N - 1))
    assert diagnosis.own_nearer(images, wrong, classes) == 1


def test_diversity_is_of_pairs_within_a_class(images):
    samples, ratios = images.flip(0) * 0.25, []
    for label in (0, 1, 2):
        rows = [row for row in range(N) if CLASSES[row] == label]
        of_samples, of_images = (
            mean(distance(part[first], part[second]) for first, second in itertools.combinations(rows, 2))
            for part in (samples, images)
        )
        ratios.append(of_samples / of_images)
    assert diagnosis.diversity(images, samples, CLASSES) == pytest.approx(mean(ratios))
    assert diagnosis.diversity(images, 0.5 * images, CLASSES) == pytest.approx(0.5)
    of_class = torch.stack([images[int(label)] for label in CLASSES])
    assert diagnosis.diversity(images, of_class, CLASSES) == 0, "one image per class, though the classes differ"


def test_relative_l1_is_one_for_the_mean_of_the_class(images, near):
    error, of_means = [], []
    for row in range(N):
        alike = numpy.mean([images[other].numpy() for other in range(N) if CLASSES[other] == CLASSES[row]], axis=0)
        error.append(numpy.abs(near[row].numpy() - images[row].numpy()).mean())
        of_means.append(numpy.abs(alike - images[row].numpy()).mean())
    assert diagnosis.relative_l1(images, near, CLASSES) == pytest.approx(mean(error) / mean(of_means), rel=1e-5)
    means = torch.stack([images[label == CLASSES].mean(dim=0) for label in CLASSES])
    assert diagnosis.relative_l1(images, means, CLASSES) == pytest.approx(1)


def test_recalls_are_of_each_class():
    decided = CLASSES.clone()
    decided[:4] = 2
    expected = [mean(int(decided[row]) == label for row in range(N) if CLASSES[row] == label) for label in (0, 1, 2)]
    assert recalls(CLASSES, decided).tolist() == pytest.approx(expected)


def test_others_are_of_another_decision_and_drawn_by_the_generator():
    found = diagnosis.others(CLASSES, torch.Generator().manual_seed(0))
    assert (CLASSES[found] != CLASSES).all()
    assert torch.equal(found, diagnosis.others(CLASSES, torch.Generator().manual_seed(0)))
    assert not torch.equal(found, diagnosis.others(CLASSES, torch.Generator().manual_seed(1)))
    assert diagnosis.others(torch.ones(N), torch.Generator()) is None


def test_the_images_are_those_that_the_history_measures():
    assert diagnosis.IMAGES == VALIDATION_IMAGES
