import pytest

from stylex.config import load_experiment
from stylex.networks.model import build_networks


@pytest.fixture
def config(root):
    return load_experiment(root, "mnist").stylex


@pytest.fixture
def networks(config):
    return build_networks(config, resolution=32, image_channels=1, classes=2, seed=0).eval().requires_grad_(False)
