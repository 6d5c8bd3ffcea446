"""The reduced model that savedmodels.py wrote (data/), as a project that has fetched it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import torch
import yaml

from stylex.config.paths import released_folder
from stylex.released.files import FILES

DATA = Path(__file__).parent / "data"
EXPERIMENT = {
    "extends": "released-age",
    "dataset": {"resolution": 32},
    "classifier": {"width": 1 / 16, "stem": "published"},
    "stylex": {
        "networks": {
            "latent_dim": 6,
            "generator_channels": [8, 8, 6, 4],
            "encoder_channels": [8, 8, 6, 4],
            "discriminator_channels": [8, 8, 6, 4],
        }
    },
}


@pytest.fixture
def project(root: Path) -> Path:
    """A project with the reduced model's experiment, `tiny`, and its files where `fetch_released` puts them."""
    (root / "config" / "experiments" / "tiny.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    released_folder(root).mkdir(parents=True)
    for name in FILES:
        shutil.copy(DATA / name, released_folder(root) / name)
    return root


@pytest.fixture
def change(project: Path) -> Callable[..., None]:
    """Change the experiment's file: some of its networks and classifier, whole sections otherwise."""

    def write(networks: dict = {}, classifier: dict = {}, stylex: dict = {}, **sections: object) -> None:  # noqa: B006
        content = EXPERIMENT | {"classifier": EXPERIMENT["classifier"] | classifier}
        content["stylex"] = {"networks": EXPERIMENT["stylex"]["networks"] | networks} | stylex
        (project / "config" / "experiments" / "tiny.yaml").write_text(yaml.safe_dump(content | sections))

    return write


@pytest.fixture(scope="session")
def expected() -> dict[str, torch.Tensor]:
    """What TensorFlow said."""
    with numpy.load(DATA / "expected.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]).float() for name in arrays.files}
