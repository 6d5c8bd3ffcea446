import pytest
from paper_training import as_papers

from stylex.config import load_experiment
from stylex.networks.model import build_networks


@pytest.fixture
def config(root):
    return as_papers(load_experiment(root, "mnist").stylex)


@pytest.fixture
def networks(config):
    return build_networks(config, resolution=32, image_channels=1, classes=2, seed=0).eval().requires_grad_(False)
