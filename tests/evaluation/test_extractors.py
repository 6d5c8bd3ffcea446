"""Features do not depend on batches, and the FID is that of pytorch-fid's own command on the same files."""

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
from pytorch_fid.fid_score import calculate_frechet_distance

from stylex.classifiers import FeatureBackbone, build_network
from stylex.classifiers.wrapper import NetworkDescription
from stylex.distances import frechet_distance
from stylex.evaluation.extractors import BackboneFeatures, InceptionFeatures
from stylex.evaluation.frechet import statistics
from stylex.pretrained import WEIGHTS


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


def test_features_of_a_backbone_do_not_depend_on_the_batch():
    torch.manual_seed(0)
    description = NetworkDescription(
        role="backbone", name="net", architecture="resnet18", width=0.125, channels=1, resolution=32, class_names=("0",)
    )
    extractor = BackboneFeatures(FeatureBackbone(build_network("resnet18", 1, 1, 0.125), description))
    images = pictures(64, 0, channels=1)
    whole = extractor.features(images)
    for size in (1, 7):
        parts = torch.cat([extractor.features(part) for part in images.split(size)])
        torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-12)
    assert whole.dtype == torch.float64 and whole.shape == (64, 64)


def test_features_of_inception_do_not_depend_on_the_batch(weights):
    extractor = InceptionFeatures(weights, dimensions=64)
    images = pictures(64, 0, channels=1)
    whole = extractor.features(images)
    for size in (1, 7):
        parts = torch.cat([extractor.features(part) for part in images.split(size)])
        torch.testing.assert_close(parts, whole, rtol=1e-9, atol=0)
    assert whole.dtype == torch.float64 and whole.shape == (64, 64)
    assert torch.equal(whole, extractor.features(images.expand(-1, 3, -1, -1)))


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


@pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning")
def test_formula_is_pytorch_fids_on_the_same_features():
    random = numpy.random.default_rng(0)
    mixing = random.normal(size=(256, 256)) / 16
    a, b = random.normal(size=(600, 256)) @ mixing, random.normal(size=(600, 256)) @ mixing * 1.1 + 0.1
    theirs = calculate_frechet_distance(a.mean(0), numpy.cov(a, rowvar=False), b.mean(0), numpy.cov(b, rowvar=False))
    moments = [
        torch.from_numpy(value)
        for features in (a, b)
        for value in (features.mean(0), numpy.cov(features, rowvar=False))
    ]
    assert frechet_distance(*moments) == pytest.approx(theirs, rel=1e-9)
