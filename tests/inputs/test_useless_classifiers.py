"""A classifier that has learned nothing passes no bound, however large one of its classes is."""

import numpy
import pytest
import yaml
from PIL import Image

from stylex.artifacts import read_json
from stylex.classifiers import fine_tune
from stylex.config import ExperimentPaths
from stylex.datasets import download, prepare
from stylex.errors import AccuracyError

SIZES = {"common": 580, "rare": 20}


@pytest.fixture
def noise(root):
    """600 images of noise, 580 of them of one class, prepared, and an experiment on them."""
    draw = numpy.random.default_rng(0)
    for name, count in SIZES.items():
        folder = root / "noise" / name
        folder.mkdir(parents=True)
        for number in range(count):
            Image.fromarray(draw.integers(0, 256, (32, 32), numpy.uint8)).save(folder / f"{number:03}.png")
    dataset = {"title": "Noise", "layout": "folders", "licence": "none", "folder": "noise", "channels": 1}
    experiment = {
        "extends": "cpu-32",
        "title": "Noise",
        "domain": "Noise",
        "dataset": {"name": "noise", "classes": list(SIZES)},
        "classifier": {"epochs": 2, "width": 0.0625},
        "stylex": {"perceptual_backbone": "noise"},
    }
    (root / "config/datasets/noise.yaml").write_text(yaml.safe_dump(dataset))
    (root / "config/backbones/noise.yaml").write_text("extends: backbone-32\ndataset: noise\n")
    (root / "config/experiments/noise.yaml").write_text(yaml.safe_dump(experiment))
    download(root, "noise")
    prepare(root, "noise", 32)
    return root


def test_one_answer_for_all_is_not_accepted(noise):
    with pytest.raises(AccuracyError, match=r"balanced accuracy 0\.5000 .* one answer for all has 0\.9"):
        fine_tune(noise, "noise")
    metrics = read_json(ExperimentPaths(noise, "noise").classifier.folder / "rejected/metrics.json")
    assert metrics["val_majority"] > 0.95, "which the bound of 0.95 would let pass"
    assert metrics["val_accuracy"] == pytest.approx(metrics["val_majority"])
    assert metrics["val_balanced_accuracy"] == 0.5 and 0.95 < metrics["majority"] < 0.98
