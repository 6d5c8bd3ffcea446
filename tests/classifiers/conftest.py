"""Small networks with non-trivial batch statistics, and splits of real digits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from stylex.classifiers.frozen import NetworkDescription
from stylex.classifiers.networks import ImageNetwork, build_network
from stylex.config import DatasetConfig
from stylex.datasets import ImageSplit, load_split
from tests.builders import describe


@pytest.fixture
def random_network() -> Callable[..., ImageNetwork]:
    """Three classes; two steps in training mode give every batch normalisation statistics of its own."""

    def build(architecture: str = "resnet18") -> ImageNetwork:
        torch.manual_seed(3)
        network = build_network(architecture, 1, 3, 0.125).train()
        for _ in range(2):
            network(torch.rand(4, 1, 16, 16) * 2 - 1)
        return network.eval()

    return build


@pytest.fixture
def description() -> NetworkDescription:
    return describe("classifier", "abc", resolution=16)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(scope="session")
def digits(mnist_root: Path) -> dict[str, ImageSplit]:
    """The real digits 0 and 1."""
    config = DatasetConfig(name="mnist", resolution=32, classes=["0", "1"], one_vs_rest=None)
    return {"train": load_split(mnist_root, config, "train"), "val": load_split(mnist_root, config, "val")}


@pytest.fixture
def project(root: Path, mnist_root: Path) -> Path:
    """A project with the real digits, whose data may get more."""
    (root / "data").mkdir()
    for folder in (mnist_root / "data").iterdir():
        (root / "data" / folder.name).symlink_to(folder)
    return root


@pytest.fixture
def tiny(project: Path) -> Callable[..., None]:
    """Return what writes an experiment on the real digits 0 and 1, with options of its classifier."""

    def write(**classifier: Any) -> None:
        content = {
            "extends": "cpu-32", "title": "Tiny", "domain": "MNIST 0 / 1",
            "dataset": {"name": "mnist", "classes": [0, 1]}, "classifier": classifier,
            "stylex": {"perceptual_backbone": "mnist-32"},
        }  # fmt: skip
        (project / "config/experiments/tiny.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")

    return write
