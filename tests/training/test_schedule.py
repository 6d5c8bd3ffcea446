"""The learning rates over a training."""

from pathlib import Path

import pytest

from stylex.config import load_experiment
from stylex.training.schedule import rate_factor

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def training():
    return load_experiment(REPOSITORY, "mnist").stylex.training


def factors(training, images, **options):
    training = training.model_copy(update={"batch_size": 10, "images": 100, **options})
    return [rate_factor(training, each) for each in images]


def test_without_options_the_rates_stay(training):
    assert factors(training, (0, 50, 99), warmup_images=0, decay=0.0) == [1, 1, 1]


def test_they_rise_from_the_first_step_on_and_fall_to_the_end(training):
    found = factors(training, (0, 10, 20, 40, 50, 60, 90), warmup_images=20, decay=0.5)
    assert found == pytest.approx([0.5, 1, 1, 1, 1, 0.8, 0.2])
    assert factors(training, (0, 50, 90), warmup_images=0, decay=1.0) == pytest.approx([1, 0.5, 0.1])
