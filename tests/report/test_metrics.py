"""The few numbers of an experiment that `dvc metrics` compares are those of its tables."""

from pathlib import Path

import pytest

from stylex.artifacts import read_json, read_table, write_table
from stylex.config import ExperimentPaths, SuitePaths, load_experiment, load_suite
from stylex.report.metrics import experiment_metrics


def test_metrics_are_written_for_every_experiment_of_the_suite(finished: Path):
    paths = SuitePaths(finished, "demo")
    for name in load_suite(finished, "demo").experiments:
        written = read_json(paths.metrics(name))
        assert written == experiment_metrics(finished, name, load_experiment(finished, name))


def test_values_are_those_of_the_artifacts(finished: Path):
    metrics = read_json(SuitePaths(finished, "demo").metrics("mnist-without-cst"))
    # Of the fixture: one of eight reconstructions changes class; of 200 images 7 and 3.4 flip with each attribute.
    assert metrics["accuracy"] == 0.9875 and metrics["class_kept"] == pytest.approx(7 / 8)
    assert metrics["sufficiency"] == {"without_cst": {"k10": 70 / 200}, "wu_2021": {"k10": 34 / 200}}
    assert metrics["frechet_distance"] == {"net_32": {"0": 1.0, "10": 11.0}}


def test_what_could_not_be_measured_is_left_out(measured: Path):
    paths = ExperimentPaths(measured, "mnist")
    frame = read_table(paths.sufficiency, ("target_class",))
    write_table(paths.sufficiency, frame.assign(n=0, fraction=float("nan")), {})
    config = load_experiment(measured, "mnist")
    assert experiment_metrics(measured, "mnist", config)["sufficiency"] == {}


def test_fewer_attributes_than_ten(measured: Path):
    paths = ExperimentPaths(measured, "mnist")
    frame = read_table(paths.sufficiency, ("target_class",))
    write_table(paths.sufficiency, frame[frame["k"] <= 3], {})
    config = load_experiment(measured, "mnist")
    assert experiment_metrics(measured, "mnist", config)["sufficiency"] == {"stylex": {"k3": 42 / 200}}
