"""Small random networks, latents and projects that the tests of this folder share."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from stylex.artifacts import load_tensors, save_tensors
from stylex.classifiers import build_network
from stylex.classifiers.frozen import NetworkDescription, save_network
from stylex.config import experiment_paths, load_experiment
from stylex.evaluation.counterfactuals import Run
from stylex.latents.table import SCALARS, VECTORS, Latents, read_latents
from stylex.networks.model import build_networks, save_stylex

CHANNELS = {f"{kind}_channels": [8, 8, 8, 8] for kind in ("generator", "encoder", "discriminator")}


class StylesAsImages(nn.Module):
    """A generator whose image is its StyleSpace vector."""

    def render(self, styles):
        return styles.space[:, :, None, None]


@pytest.fixture(scope="session")
def random_network() -> Callable[..., None]:
    """Return what saves a small random network."""

    def save(path, role, names, channels=1, seed=0):
        torch.manual_seed(seed)
        description = NetworkDescription(
            role=role, name="random", architecture="resnet18", width=0.125, channels=channels, resolution=32,
            class_names=tuple(names),
        )  # fmt: skip
        save_network(path, build_network("resnet18", channels, len(names), 0.125), description, {})

    return save


@pytest.fixture(scope="session")
def latents_of() -> Callable[..., Latents]:
    """Return what makes the latents of `count` images; columns that are not given are 0."""

    def build(count: int, **columns: Any) -> Latents:
        zeros, two = torch.zeros(count), torch.zeros(count, 2)
        known: dict[str, Any] = dict.fromkeys(SCALARS, zeros) | dict.fromkeys(VECTORS, zeros[:, None])
        known |= {"logits": two, "reconstruction_logits": two, "labels": zeros.long(), "class_names": ("3", "5")}
        known |= {"ids": [str(row) for row in range(count)], "provenance": {}}
        return Latents(**(known | columns))

    return build


@pytest.fixture(scope="session")
def small_experiment() -> Callable[..., Run]:
    """Return what gives an experiment small random networks, and sections in place of its own."""

    def shrink(root, name="mnist", **sections: Any) -> Run:
        path = root / f"config/experiments/{name}.yaml"
        content = yaml.safe_load(path.read_text()) | sections
        content["stylex"] = content.get("stylex", {}) | {"networks": CHANNELS | {"latent_dim": 8}}
        path.write_text(yaml.safe_dump(content))
        run = Run.load(root, name)
        save_stylex(run.paths.stylex_model, build_networks(run.config.stylex, 32, 1, 2, seed=0), {})
        return run

    return shrink


@pytest.fixture(scope="session")
def balance() -> Callable[..., None]:
    """Return what shifts the classifier's bias so that half of the encoded reconstructions fall on either side."""

    def shift(paths) -> None:
        logits = read_latents(paths.latents).reconstruction_logits
        tensors, header = load_tensors(paths.classifier.model)
        tensors["head.bias"][1] -= (logits[:, 1] - logits[:, 0]).median() + 1e-6
        save_tensors(paths.classifier.model, tensors, header)

    return shift


@pytest.fixture
def fake_run(root) -> Callable[..., Run]:
    """Return what makes a run of given networks (default: a generator whose images are its styles)."""

    def make(name="mnist", synthesis=None, classifier=None, shift=1.0, batch_size=2) -> Run:
        config = load_experiment(root, name)
        config = config.model_copy(update={
            "attfind": config.attfind.model_copy(update={"shift": shift}),
            "evaluation": config.evaluation.model_copy(update={"batch_size": batch_size}),
        })  # fmt: skip
        run = Run(config, experiment_paths(root, name))
        vars(run).update(networks=SimpleNamespace(synthesis=synthesis or StylesAsImages()), classifier=classifier)
        return run

    return make
