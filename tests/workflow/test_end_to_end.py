"""The whole chain on real MNIST digits with a tiny budget: every stage, every artifact, and what a change reruns."""

import json

import pytest
import yaml

from stylex.artifacts import read_table
from stylex.config import ExperimentPaths, SuitePaths, backbone_paths
from stylex.figures.names import figure_files

TWIN = {
    "extends": "tiny",
    "classifier_of": "tiny",
    "stylex": {"conditioning": "none", "conditional_discriminator": False, "losses": {"classifier": 0}},
}
SUITE = {
    "title": "A test",
    "experiments": ["tiny", "tiny-without-cst"],
    "tables": ["classifiers", "sufficiency", "seeds", "paired", "subset", "frechet", "user_study"],
}
AFTER_ATTRIBUTES = {"attributes", "sufficiency", "frechet", "study", "observer", "figures", "tables", "report"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(computing):
    """The project after one run of a suite with a tiny experiment and its twin without the classifier."""
    computing.configure_tiny(SUITE)
    (computing.root / "config/experiments/tiny-without-cst.yaml").write_text(yaml.safe_dump(TWIN))
    result = computing.snakemake()
    assert result.returncode == 0, result.stderr
    return computing


def test_every_artifact_is_there(finished):
    paths, suite = ExperimentPaths(finished.root, "tiny"), SuitePaths(finished.root, "tiny")
    files = [
        backbone_paths(finished.root, "tiny").model,
        paths.classifier.model,
        paths.stylex_model,
        paths.stylex_history,
        paths.stylex_samples,
        paths.latents,
        paths.effects(),
        paths.independent,
        paths.subset,
        paths.ganalyze,
        paths.study_page,
        paths.study_key,
        paths.observer,
        suite.report,
        *(suite.figure("tiny", name, suffix) for name, suffix in figure_files()),
        *(suite.table(name, suffix) for name in SUITE["tables"] for suffix in ("csv", "md", "tex")),
    ]
    assert not [file for file in files if not file.is_file() or file.stat().st_size == 0]


def test_tables_hold_the_numbers_of_the_experiment(finished):
    paths, suite = ExperimentPaths(finished.root, "tiny"), SuitePaths(finished.root, "tiny")
    ours = read_table(paths.sufficiency, ("target_class",))
    assert set(ours.target_class) == {"4", "9", "*"} and set(ours.k) == {1, 3}
    measured = ours[ours.n > 0]  # so short a training may draw every reconstruction as one class
    assert (measured.target_class == "*").any()
    assert (measured.low <= measured.fraction).all() and (measured.fraction <= measured.high).all()
    table = read_table(suite.table("sufficiency", "csv"), ("target_class",))
    assert set(measured.fraction) <= set(table.fraction)
    assert read_table(paths.frechet).n_attributes.tolist() == [0, 1]
    metrics = json.loads(paths.classifier.metrics.read_text())
    assert 0 <= metrics["accuracy"] <= 1


def test_the_twin_explains_the_same_classifier_by_two_methods(finished):
    paths, suite = ExperimentPaths(finished.root, "tiny-without-cst"), SuitePaths(finished.root, "tiny")
    assert not paths.classifier.folder.exists() and paths.wu_2021.is_file()
    flips = read_table(paths.flips, ("target_class",))
    assert set(flips["method"]) == {"without_cst", "wu_2021"}
    paired = read_table(suite.table("paired", "csv"), ("target_class",))
    assert paired["n"].max() <= 24 and paired["p"].between(0, 1).all()


def test_logs_and_benchmarks_are_written(finished):
    assert "tiny" in (finished.root / "results/logs/experiments/tiny/train.log").read_text()
    assert (finished.root / "results/benchmarks/rules/train/tiny.tsv").is_file()


def test_second_run_does_nothing(finished):
    assert finished.planned() == {}


def test_changed_option_of_attfind_reruns_attfind_and_what_follows(finished):
    experiment = finished.root / "config/experiments/tiny.yaml"
    before = experiment.read_text()
    experiment.write_text(before.replace("threshold: 0.0", "threshold: 0.01"))
    assert set(finished.planned()) == AFTER_ATTRIBUTES
    model = ExperimentPaths(finished.root, "tiny").stylex_model
    trained = model.stat().st_mtime_ns
    result = finished.snakemake()
    assert result.returncode == 0, result.stderr
    assert model.stat().st_mtime_ns == trained
    assert finished.planned() == {}
