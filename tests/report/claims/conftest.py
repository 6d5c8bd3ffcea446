"""Frames as the tables of a run have them, small enough to see which verdict must follow."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas
import pytest

from stylex.config import ExperimentConfig, load_experiment
from stylex.report.claims import Run
from stylex.report.claims.run import PUBLISHED
from stylex.report.published import read_published

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def mnist() -> ExperimentConfig:
    return load_experiment(ROOT, "mnist")


@pytest.fixture
def run_of(mnist: ExperimentConfig) -> Callable[..., Run]:
    """Make a run of the experiment mnist, its frames given as lists of rows; names of artifacts begin with `csv_`."""

    def make(config: ExperimentConfig = mnist, **rows: list[dict[str, object]]) -> Run:
        return run({"mnist": config}, rows)

    return make


@pytest.fixture(scope="session")
def leaves() -> dict[str, ExperimentConfig]:
    """Three seeds of an experiment and of its twin."""
    names = [f"leaves{twin}{seed}" for twin in ("", "-without-cst") for seed in ("", "-seed1", "-seed2")]
    return {name: load_experiment(ROOT, name) for name in names}


@pytest.fixture
def run_of_leaves(leaves: dict[str, ExperimentConfig]) -> Callable[..., Run]:
    """Make a run of all of them, as `run_of`."""
    return lambda **rows: run(leaves, rows)


def run(experiments: Mapping[str, ExperimentConfig], rows: Mapping[str, list[dict[str, object]]]) -> Run:
    frames = {name: pandas.DataFrame(each) for name, each in rows.items()}
    return Run(
        experiments=experiments,
        tables={name: frame for name, frame in frames.items() if not name.startswith("csv_")},
        artifacts={name[4:]: frame for name, frame in frames.items() if name.startswith("csv_")},
        published={name: read_published(ROOT, name) for name in PUBLISHED},
    )
