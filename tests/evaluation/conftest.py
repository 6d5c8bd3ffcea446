"""Runs of experiments whose networks are small and random, or given."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from stylex.config import experiment_paths, load_experiment
from stylex.evaluation.counterfactuals import Run
from tests.builders import narrow


class StylesAsImages(nn.Module):
    """A generator whose image is its StyleSpace vector."""

    def render(self, styles):
        return styles.space[:, :, None, None]


@pytest.fixture(scope="session")
def small_experiment() -> Callable[..., Run]:
    """Return what gives an experiment small random networks, and sections in place of its own."""

    def shrink(root: Path, name: str = "mnist", **sections: Any) -> Run:
        narrow(root, name, **sections)
        return Run.load(root, name)

    return shrink


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
