"""Features and their statistics do not depend on batches, folds share no image, and the FID is pytorch-fid's."""

import os
import re
import subprocess
import sys

import numpy
import pytest
import torch
import torchvision
from PIL import Image
from pytorch_fid import inception

from stylex.classifiers import load_backbone
from stylex.distances import frechet_distance, moments, squared_mmd
from stylex.evaluation import frechet
from stylex.evaluation.frechet import (
    FOLD_IMAGES,
    BackboneFeatures,
    FeatureStatistics,
    InceptionFeatures,
    fold_distances,
    statistics,
)
from stylex.pretrained import WEIGHTS
from tests.builders import save_random_network


@pytest.fixture(scope="module")
def weights():
    """Random weights for pytorch-fid's network, of a size that keeps activations alive."""
    network = torchvision.models.inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    random = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, generator=random)
    return network.state_dict()


def pictures(count, seed, contrast=1.0, channels=3):
    """Smooth random images [count, channels, 32, 32] of 256 levels, in [-1, 1]."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 6, 6, generator=random) * 2 - 1
    images = torch.nn.functional.interpolate(coarse, 32, mode="bilinear") * contrast
    return ((images + 1) * 127.5).round() / 127.5 - 1


def write_folder(folder, images):
    folder.mkdir()
    for number, image in enumerate(((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()):
        Image.fromarray(image.squeeze()).save(folder / f"{number:04d}.png")


@pytest.fixture(params=["backbone", "inception"])
def extractor(request, tmp_path, weights):
    if request.param == "inception":
        return InceptionFeatures(weights, dimensions=64)
    save_random_network(tmp_path / "backbone.safetensors", "backbone", ("0",))
    return BackboneFeatures(load_backbone(tmp_path / "backbone.safetensors"))


def test_features_do_not_depend_on_the_batch(extractor):
    images = pictures(64, 0, channels=1)
    whole = extractor.features(images)
    for size in (1, 7):
        parts = torch.cat([extractor.features(part) for part in images.split(size)])
        torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-12)
    assert whole.dtype == torch.float64 and whole.shape == (64, 64)
    # A replication rescaled images one by one before measuring them, which hides a change of contrast.
    bright, faint = (statistics([extractor], [each], 64, 0)[0].mean for each in (images, 0.5 * images))
    assert (bright - faint).abs().max() > 0.01


def test_grey_is_three_equal_channels_to_inception(weights):
    extractor, images = InceptionFeatures(weights, dimensions=64), pictures(3, 0, channels=1)
    assert torch.equal(extractor.features(images), extractor.features(images.expand(-1, 3, -1, -1)))


def test_the_library_downloads_nothing_and_is_left_as_it_was(weights, monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError("a download")

    monkeypatch.setattr(inception, "load_state_dict_from_url", refuse)
    network = InceptionFeatures(weights).network
    assert torch.equal(network.blocks[0][0].conv.weight, weights["Conv2d_1a_3x3.conv.weight"])
    assert inception.load_state_dict_from_url is refuse


def command(weights, folder, *arguments):
    """Run pytorch-fid's own command with these weights, put where it looks for its own."""
    cache = folder / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True, exist_ok=True)
    torch.save(weights, cache / WEIGHTS["inception"].file.name)
    line = [sys.executable, "-W", "ignore", "-m", "pytorch_fid", "--num-workers", "0", "--device", "cpu", *arguments]
    threads = str(torch.get_num_threads())  # as many as here: float32 sums depend on it
    environment = os.environ | {"TORCH_HOME": str(folder / "torch"), "OMP_NUM_THREADS": threads}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_fid_is_that_of_pytorch_fids_command_on_the_same_files(weights, tmp_path):
    # 64 features of 80 images: their covariance has full rank, as for 2048 features of thousands.
    sets = [pictures(80, 0), pictures(80, 1, contrast=0.7)]
    for name, images in zip("ab", sets, strict=True):
        write_folder(tmp_path / name, images)
    printed = command(weights, tmp_path, "--dims", "64", str(tmp_path / "a"), str(tmp_path / "b"))
    theirs = float(re.search(r"FID:\s+(\S+)", printed)[1])
    extractor = InceptionFeatures(weights, dimensions=64)
    real, fake = (statistics([extractor], images.split(32), 80, 0)[0] for images in sets)
    ours = frechet_distance(real.mean, real.covariance, fake.mean, fake.covariance)
    assert ours == pytest.approx(theirs, rel=1e-6)
    assert theirs > 0.01


@pytest.mark.slow
def test_all_2048_features_are_those_of_pytorch_fids_command(weights, tmp_path):
    images = pictures(12, 2, channels=1)
    write_folder(tmp_path / "grey", images)
    command(weights, tmp_path, "--save-stats", str(tmp_path / "grey"), str(tmp_path / "grey.npz"))
    theirs = numpy.load(tmp_path / "grey.npz")
    ours = statistics([InceptionFeatures(weights)], images.split(5), 12, 0)[0]
    numpy.testing.assert_allclose(ours.mean.numpy(), theirs["mu"], rtol=1e-6)
    scale = theirs["sigma"].diagonal().max()
    numpy.testing.assert_allclose(ours.covariance.numpy(), theirs["sigma"], rtol=1e-6, atol=1e-6 * scale)


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


def test_of_many_images_a_sample_is_kept_that_batches_do_not_change(monkeypatch):
    monkeypatch.setattr(frechet, "KID_IMAGES", 50)
    features = draw(400, 3, 2)
    samples = [streamed(features, size).sample for size in (1, 7, 400)]
    assert samples[0].shape == (50, 3)
    assert torch.equal(samples[0], samples[1]) and torch.equal(samples[0], samples[2])
    assert torch.isin(samples[0][:, 0], features[:, 0]).all()
    assert not torch.equal(samples[0], streamed(features, 7, seed=1).sample)


def test_folds_share_no_image_and_leave_none_out():
    real, fake = draw(53, 4, 0), draw(53, 4, 1)
    before, touched = fold_distances(real, fake, 7), []
    for image in range(53):
        other = fake.clone()
        other[image] += 5
        after = fold_distances(real, other, 7)
        touched += [[fold for fold in range(5) if after[fold] != before[fold]]]
    assert all(len(folds) == 1 for folds in touched)
    assert sorted(touched.count([fold]) for fold in range(5)) == [10, 10, 11, 11, 11]


def test_a_fold_is_the_squared_mmd_of_its_images():
    real, fake = draw(60, 4, 0), draw(60, 4, 1)
    rows = torch.randperm(60, generator=torch.Generator().manual_seed(3))[1::5]
    assert fold_distances(real, fake, 3)[1] == float(squared_mmd(real[rows], fake[rows]))
    assert fold_distances(real, fake, 3) == fold_distances(real, fake, 3) != fold_distances(real, fake, 4)
    count = 5 * FOLD_IMAGES
    assert fold_distances(draw(count - 1, 4, 0), draw(count - 1, 4, 1), 0) == [None] * 5
    assert None not in fold_distances(draw(count, 4, 0), draw(count, 4, 1), 0)
