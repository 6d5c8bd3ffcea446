"""An edit of the training's code trains anew by the real rule, a comment does not; what was trained before stays."""

import pytest

from stylex.artifacts import load_tensors
from stylex.config import ExperimentPaths
from tests.builders import checkpoints

pytestmark = pytest.mark.slow

SUITE = {"title": "A test", "experiments": ["tiny"], "tables": ["classifiers"]}
MODEL = "results/experiments/tiny/stylex/model.safetensors"
LOSS = "stylex/training/losses.py"
OLD, NEW = "else F.softplus(-fake_scores).mean()", "else 2 * F.softplus(-fake_scores).mean()"
CHANGES = {
    "classifier.epochs": 1,
    "classifier.max_images": 128,
    "classifier.min_accuracy": 0.0,
    "stylex.training.images": 128,
    "stylex.training.decay": 0.0,  # so that a longer one goes on
    "stylex.training.autoencoder_images": 64,
    "stylex.training.checkpoint_interval": 64,
    "stylex.training.sample_interval": 64,
}


def run(project):
    """Let Snakemake make the model; return its weights, its header, and what training said."""
    project.compute(MODEL)
    log = project.root / "results/logs/experiments/tiny/train.log"
    return *load_tensors(project.root / MODEL), log.read_text()


def same(one, other):
    return one.keys() == other.keys() and all((value == other[name]).all() for name, value in one.items())


@pytest.fixture(scope="module")
def trained(computing):
    """The project after a training, what its first run made, and the rule's time limit: less than one step's."""
    computing.configure_tiny(SUITE, CHANGES)
    (computing.root / "config/site.yaml").write_text("stages: {train: {minutes: 1}}\n")
    return computing, run(computing)


def test_without_slurm_there_is_no_time_limit(trained):
    project, (_, header, said) = trained
    assert "128/128 images" in said and "time limit" not in said
    assert header["uncommitted"] == "unknown"  # no repository
    assert checkpoints(ExperimentPaths(project.root, "tiny").checkpoints) == [0, 64, 128]


def test_an_edited_loss_trains_anew_and_taken_back_it_trains_nothing(trained):
    project, (weights, header, _) = trained
    project.edit(LOSS, OLD, NEW)
    other, other_header, said = run(project)
    assert not same(other, weights) and other_header["training_key"] != header["training_key"]
    assert said.count("3 checkpoints of another configuration, code or data set aside, the newest of 128 images") == 1
    assert said.count("3 checkpoints of other configurations, code or data in") == 1
    assert checkpoints(ExperimentPaths(project.root, "tiny").checkpoints) == [0, 0, 64, 64, 128, 128]
    project.edit(LOSS, NEW, OLD)
    again, again_header, said = run(project)
    assert same(again, weights) and again_header == header
    assert "resumed at 128 images" in said and "set aside" not in said


def test_in_a_slurm_job_the_time_limit_is_that_of_the_stage(trained, monkeypatch):
    project, _ = trained
    project.edit("config/experiments/tiny.yaml", " images: 128", " images: 256")  # not max_images
    monkeypatch.setitem(project.environment, "SLURM_JOB_ID", "1")
    result = project.snakemake(MODEL)
    assert result.returncode == 1
    assert "time limit: stopped at 144 of 256 images; run again to resume" in result.stderr
