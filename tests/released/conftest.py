"""The reduced model that savedmodels.py wrote (data/), as a project that has fetched it."""

from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
import yaml

DATA = Path(__file__).parent / "data"


@pytest.fixture
def project(root: Path, add_released: Callable[..., None]) -> Path:
    """A project with the reduced model's experiment, `tiny`, and its files where `fetch_released` puts them."""
    add_released(root)
    return root


@pytest.fixture
def change(project: Path) -> Callable[..., None]:
    """Change the experiment's file: some of its networks and classifier, whole sections otherwise."""
    path = project / "config" / "experiments" / "tiny.yaml"
    before = yaml.safe_load(path.read_text())

    def write(networks: dict = {}, classifier: dict = {}, stylex: dict = {}, **sections: object) -> None:  # noqa: B006
        content = before | {"classifier": before["classifier"] | classifier}
        content["stylex"] = {"networks": before["stylex"]["networks"] | networks} | stylex
        path.write_text(yaml.safe_dump(content | sections))

    return write


@pytest.fixture(scope="session")
def expected() -> dict[str, torch.Tensor]:
    """What TensorFlow said."""
    with numpy.load(DATA / "expected.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]).float() for name in arrays.files}
