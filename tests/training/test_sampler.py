"""Batches of real images, random numbers for the whole batch, and augmentation by given uniform numbers."""

import copy

import pytest
import torch

from stylex.errors import ConfigError
from stylex.training.distributed import Processes
from stylex.training.sampler import VIEWS, augment, cutout, draw, random_shift

REGULARISED = {"path_length": 2.0, "path_length_interval": 1, "r1_gamma": 1.0, "r1_interval": 1}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("max_translation", [0, 2])
def test_reals_carry_their_own_classifier_output_whatever_the_order(setting, max_translation):
    tiny = setting(training={"max_translation": max_translation})
    reals = tiny.sampler.next(seeded())
    torch.testing.assert_close(tiny.frozen.classifier(reals.images), reals.logits, atol=1e-4, rtol=1e-4)
    assert torch.equal(reals.images, tiny.split.images(tiny.sampler.order[:8])) == (max_translation == 0)


@pytest.mark.parametrize("number_format", ["float32", "bfloat16"])
def test_cached_features_are_the_computed_ones_in_float32(setting, number_format):
    cached, computed = (
        setting(training={"precision": {"cpu": number_format}, "cache_mib": cache}) for cache in (512, 0)
    )
    assert len(cached.sampler.features) == 4 and not computed.sampler.features
    low = number_format == "bfloat16"
    for seed in range(2):
        looked_up, new = (each.sampler.next(seeded(seed)) for each in (cached, computed))
        assert torch.equal(looked_up.images, new.images)
        exact = cached.frozen.backbone.features(new.images)
        for ours, theirs, right in zip(looked_up.features, new.features, exact, strict=True):
            assert ours.dtype == theirs.dtype == torch.float32
            torch.testing.assert_close(ours, theirs, atol=0.02 if low else 1e-5, rtol=0.02 if low else 1e-5)
            torch.testing.assert_close(theirs, right, atol=0.1 if low else 1e-5, rtol=1e-5)


def test_features_are_not_computed_without_a_perceptual_loss(setting):
    assert setting(losses={"reconstruction_perceptual": 0.0}).sampler.next(seeded()).features == []


def test_too_few_images_for_a_batch(setting):
    with pytest.raises(ConfigError, match=r"stylex.training.batch_size 8 is more than the 7 training images: lower it"):
        setting(images=7)


def test_an_epoch_shows_every_image_once_and_a_position_is_restored(setting):
    tiny, random = setting(), seeded()
    for _ in range(5):
        tiny.sampler.next(random)
    assert tiny.sampler.order.sort().values.tolist() == list(range(40))
    other = tiny.new_sampler()
    other.restore(copy.deepcopy(tiny.sampler.state()))
    assert torch.equal(tiny.sampler.next(seeded(3)).images, other.next(seeded(3)).images)


def test_processes_share_a_batch_without_overlap(setting):
    tiny = setting()
    whole = tiny.new_sampler().next(seeded(1))
    shares = [tiny.new_sampler(Processes(rank, 2)).next(seeded(1)) for rank in range(2)]
    assert torch.equal(torch.cat([share.images for share in shares]), whole.images)
    torch.testing.assert_close(torch.cat([share.logits for share in shares]), whole.logits)


def test_random_numbers_have_the_distributions_they_say(setting):
    networks = setting(training={"style_mixing": 0.3}).state.networks
    numbers = draw(networks, 2000, seeded())
    assert numbers.z.shape == (2000, 2, 8)
    assert [tuple(maps.shape) for maps in numbers.noise] == [(2000, 1, s, s) for s in (4, 8, 8, 16, 16, 32, 32)]
    for normal in (numbers.z, *numbers.noise):
        assert abs(normal.mean()) < 0.03 and abs(normal.std() - 1) < 0.03
    assert numbers.views.shape == (2000, len(VIEWS), 4)
    assert numbers.views.min() >= 0 and numbers.views.max() < 1 and abs(numbers.views.mean() - 0.5) < 0.02
    # Layer 0 is always of the first latent and the last of the second; each crossover between is as frequent.
    first = (~numbers.crossover).sum(dim=1)
    assert (first.bincount(minlength=7)[1:] - 2000 / 6).abs().max() < 70
    assert torch.equal(numbers.crossover, torch.arange(7) >= first[:, None])
    assert numbers.mixed.double().mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(numbers.from_second().any(dim=1), numbers.mixed[:, 0])
    assert numbers.other.numel() == numbers.exchanged.numel() == 0 and not numbers.counterfactual.any()
    assert draw(setting(networks={"noise": False}).state.networks, 4, seeded()).noise == ()


@pytest.mark.parametrize(("number", "expected"), [(0.0, -2), (0.19, -2), (0.21, -1), (0.5, 0), (0.79, 1), (0.99999, 2)])
def test_each_shift_has_an_equal_part_of_the_numbers(number, expected):
    image = torch.zeros(1, 1, 8, 8)
    image[..., 4, 4] = 1
    for axis, position in ((0, (4 + expected, 4)), (1, (4, 4 + expected))):
        uniform = torch.full((1, 2), 0.5)
        uniform[0, axis] = number
        assert torch.nonzero(random_shift(image, 2, uniform)[0, 0]).tolist() == [list(position)]


def test_cutout_blanks_the_square_around_its_centre_and_passes_gradients():
    images = torch.ones(1, 2, 8, 8, requires_grad=True)
    blanked = cutout(images, 2, torch.tensor([[0.3125, 0.6875]]))  # row 2.5, column 5.5
    expected = torch.ones(1, 2, 8, 8)
    expected[..., 2:4, 5:7] = 0
    assert torch.equal(blanked, expected)
    blanked.sum().backward()
    assert torch.equal(images.grad, expected)
    assert (cutout(torch.ones(1, 1, 8, 8), 4, torch.zeros(1, 2)) == 0).sum() == 4  # in the corner a quarter


def test_policies_take_their_own_numbers_in_their_own_order():
    images, uniform = torch.rand(6, 1, 16, 16), torch.rand(6, 4, generator=seeded())
    moved, cut = random_shift(images, 2, uniform[:, :2]), cutout(images, 8, uniform[:, 2:])
    assert torch.equal(augment(images, ["translation"], uniform), moved)
    assert torch.equal(augment(images, ["cutout"], uniform), cut)
    assert torch.equal(augment(images, ["translation", "cutout"], uniform), cutout(moved, 8, uniform[:, 2:]))
    assert augment(images, [], uniform) is images
