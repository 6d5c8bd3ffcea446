"""The literal command of the README on a private Slurm: the whole chain on real MNIST digits with a tiny budget."""

import re
from collections import Counter

import pytest

from stylex.config import SuitePaths

SUITE = {"title": "A test", "experiments": ["tiny"], "tables": ["sufficiency", "frechet", "user_study"]}
ON_GPU = {"backbone", "classifier", "train", "encode", "effects", "analysis-tiny", "figures-tiny"}

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture(scope="module")
def finished(computing, connect):
    """The project after one run on the cluster, without a config/site.yaml."""
    project = connect(computing)
    project.configure_tiny(SUITE, {"attfind.shards": 2, "stylex.training.images": 256})
    result = project.run("snakemake", "--cores", "8", "--profile", "slurm")
    assert result.returncode == 0, result.stderr
    return project


@pytest.fixture(scope="module")
def jobs(finished, slurm):
    """Each Slurm job of that run, with the name of its rule or group."""
    ours = [job for job in slurm.jobs() if job["WorkDir"] == str(finished.root)]
    return [(re.sub("^rule_(" + "|".join(ON_GPU | {"prepare"}) + ").*", r"\1", job["Comment"]), job) for job in ours]


def test_the_report_is_there_and_nothing_is_left_to_do(finished):
    assert SuitePaths(finished.root, "tiny").report.is_file()
    assert finished.planned() == {}


def test_small_stages_share_jobs_and_local_rules_were_not_submitted(jobs):
    counts = Counter(name for name, _ in jobs)
    assert counts == Counter(ON_GPU | {"prepare"}) + Counter(["effects"])  # two shards
    assert {job["JobState"] for _, job in jobs} == {"COMPLETED"}


def test_stages_asked_for_what_the_table_says(jobs):
    asked = {name: job.get("TresPerNode") for name, job in jobs}
    assert asked == dict.fromkeys(ON_GPU, "gres:gpu:1") | {"prepare": None}
    train = dict(jobs)["train"]
    assert (train["NumCPUs"], train["MinMemoryNode"], train["TimeLimit"]) == ("8", "16000M", "1-00:00:00")
    assert dict(jobs)["prepare"]["NumCPUs"] == "1"


def test_logs_of_an_experiment_name_the_job_and_its_gpu(finished, jobs, slurm):
    job = dict(jobs)["train"]["JobId"]
    log = (finished.root / "results/logs/experiments/tiny/train.log").read_text()
    assert f"Slurm job {job} on " in log
    if any((slurm.folder / "gpu").iterdir()):
        assert re.search(r"GPUs: [01]\n", log)
    assert log.splitlines()[-1] in (finished.root / f"results/logs/slurm/rule_train/tiny/{job}.log").read_text()
    stages = {path.stem for path in (finished.root / "results/logs/experiments/tiny").iterdir()}
    assert {"classifier", "encode", "effects-00000", "effects-00001", "sufficiency", "figures-tiny"} <= stages
