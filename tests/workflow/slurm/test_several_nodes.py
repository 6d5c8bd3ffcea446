"""A training that two nodes of the cluster share: the same one, its exit codes kept, alone and through the workflow.

The rest of tests/training/test_distributed.py is about processes on one machine.
"""

import shutil
import subprocess
import sys

import pytest
import torch

from stylex.config import ExperimentPaths
from stylex.networks.model import load_stylex

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1800)]  # on a busy machine

SUITE = {"title": "A test", "experiments": ["tiny"], "tables": ["sufficiency"]}
# Narrow networks amplify rounding: a low rate keeps it small, as in tests/training/test_distributed.py.
TRAINING = {
    "images": 64,
    "autoencoder_images": 16,
    "batch_size": 8,
    "learning_rate": 0.00002,
    "encoder_learning_rate": 0.00002,
    "beta1": 0.5,
    "checkpoint_interval": 64,
    "sample_interval": 64,
    "precision": {"cpu": "float32"},
}
CHANGES = {"stylex.training": TRAINING, "classifier": {"epochs": 1, "min_accuracy": 0.0}}
SITE = {"gpu": False, "training_nodes": 2, "max_memory_mb": 4000, "max_minutes": 60}
INPUTS = ["results/experiments/tiny/classifier/model.safetensors", "results/backbones/tiny/model.safetensors"]
MODEL = "results/experiments/tiny/stylex/model.safetensors"
TRAIN = [sys.executable, "-m", "stylex", "train", "tiny", "--device", "cpu"]


@pytest.fixture(scope="module")
def project(computing, connect):
    """A tiny experiment, its classifier trained, on a site where two nodes share a training."""
    computing.configure_tiny(SUITE, CHANGES)
    computing.write_config("site", SITE)
    computing.compute(*INPUTS)
    return connect(computing)


def submitted(project, *options):
    """Run our training as a Slurm job on two nodes; return its exit code and what it said."""
    log = project.root / "job.log"
    log.unlink(missing_ok=True)
    command = ["sbatch", "--wait", "--nodes=2", "--ntasks=2", "--cpus-per-task=3", "--mem=4000", "-o", str(log)]
    command += ["--wrap", " ".join(["exec", *TRAIN, *options])]
    subprocess.run(command, cwd=project.root, env=project.environment, timeout=900)
    return log.read_text()


def test_two_nodes_stop_at_the_time_limit_and_end_with_the_weights_of_one_process(project, slurm, tmp_path):
    alone = shutil.copytree(project.root, tmp_path / "alone", symlinks=True)
    subprocess.run(TRAIN, cwd=alone, env=project.environment, check=True, timeout=900, capture_output=True)

    said = submitted(project, "--nodes", "2", "--time-limit", "1")  # less the margin: over after the first step
    assert slurm.jobs()[-1]["ExitCode"] == "75:0", said
    assert said.count("time limit: stopped at 8 of 64 images") == 1
    assert not (project.root / MODEL).exists()

    project.compute("--profile", "slurm", MODEL)
    job = slurm.jobs()[-1]
    assert (job["NumNodes"], job["NumTasks"], job["ExitCode"]) == ("2", "2", "0:0")
    log = (project.root / "results/logs/experiments/tiny/train.log").read_text()
    assert log.count("resumed at 8 images") == log.count("train tiny: 64/64 images") == 1

    expected = load_stylex(ExperimentPaths(alone, "tiny").stylex_model).state_dict()
    for name, value in load_stylex(project.root / MODEL).state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-4, msg=name)


def test_a_mistake_on_two_nodes_is_exit_code_2(project, slurm):
    said = submitted(project, "--nodes", "2", "--processes", "3")
    assert slurm.jobs()[-1]["ExitCode"] == "2:0", said
    assert "batch_size 8 cannot be shared by 6 processes" in said
