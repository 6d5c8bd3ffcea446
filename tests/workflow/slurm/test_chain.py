"""The literal command of the README on a private Slurm: the whole chain on real MNIST digits with a tiny budget."""

import copy
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from stylex.config import ExperimentPaths, SuitePaths
from tests.builders import checkpoints

SUITE = {"title": "A test", "experiments": ["tiny"], "tables": ["sufficiency", "frechet", "user_study"]}
CHANGES = {"stylex.training.images": 1024, "stylex.training.checkpoint_interval": 32}
COMMAND = ("snakemake", "--cores", "8", "--profile", "slurm")
OVERRIDES = ("--config", "experiment={attfind.shards: 2}")  # of the command line, for the jobs, too
ON_GPU = {"backbone", "oracle", "classifier", "train", "diagnose", "encode", "effects", "frames", "analysis-tiny"}
ON_GPU |= {"figures-tiny"}

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1800)]  # 150 s of CPU: long on a busy machine


@pytest.fixture(scope="module")
def finished(computing, connect, failing):
    """The project after one run on the cluster, without a config/site.yaml. `failing` runs meanwhile, to save time."""
    project = connect(computing)
    project.configure_tiny(SUITE, CHANGES)
    with project.start(*COMMAND, *OVERRIDES) as run:
        assert run.wait() == 0, project.said()
    return project


@pytest.fixture(scope="module")
def jobs(finished, slurm):
    """Each Slurm job of that run, with the name of its rule or group."""
    rule = re.compile("^rule_(" + "|".join(ON_GPU | {"prepare"}) + ").*")
    return [(rule.sub(r"\1", job["Comment"]), job) for job in own_jobs(slurm, finished)]


def test_the_report_is_there_and_nothing_is_left_to_do(finished):
    assert SuitePaths(finished.root, "tiny").report.is_file()
    assert finished.planned(*OVERRIDES) == {}


def test_small_stages_share_jobs_and_local_rules_were_not_submitted(jobs):
    counts = Counter(name for name, _ in jobs)
    assert counts == Counter(ON_GPU | {"prepare"}) + Counter(3 * ["effects"])  # two shards, two protocols
    assert {job["JobState"] for _, job in jobs} == {"COMPLETED"}


def test_stages_asked_for_what_the_table_says(jobs):
    asked = {name: job.get("TresPerNode") for name, job in jobs}
    assert asked == dict.fromkeys(ON_GPU, "gres:gpu:1") | {"prepare": None}
    train = dict(jobs)["train"]
    assert (train["NumCPUs"], train["MinMemoryNode"], train["TimeLimit"]) == ("8", "16000M", "1-00:00:00")
    assert dict(jobs)["prepare"]["NumCPUs"] == "1"
    # sufficiency, frechet and study beside each other, after attributes and before observer
    analysis = dict(jobs)["analysis-tiny"]
    assert (analysis["NumCPUs"], analysis["MinMemoryNode"], analysis["TimeLimit"]) == ("3", "12000M", "01:50:00")


def test_logs_of_an_experiment_name_the_job_and_its_gpu(finished, jobs, slurm):
    job = dict(jobs)["train"]["JobId"]
    log = (finished.root / "results/logs/experiments/tiny/train.log").read_text()
    assert f"Slurm job {job} on " in log
    if any((slurm.folder / "gpu").iterdir()):
        assert re.search(r"GPUs: [01]\n", log)
    assert log.splitlines()[-1] in (finished.root / f"results/logs/slurm/rule_train/tiny/{job}.log").read_text()
    stages = {path.stem for path in (finished.root / "results/logs/experiments/tiny").iterdir()}
    assert {"classifier", "encode", "effects-00000", "effects-00001", "sufficiency", "figures-tiny"} <= stages


def test_training_ended_by_its_time_limit_and_preempted_twice_is_the_same_to_the_bit(finished, slurm, tmp_path_factory):
    """It stops before its limit and is retried; then jobs of another partition push it out, and Slurm requeues it."""
    project = copy.copy(finished)
    project.root = tmp_path_factory.mktemp("disturbed") / "project"
    shutil.copytree(finished.root, project.root, symlinks=True)
    paths = ExperimentPaths(project.root, "tiny")
    shutil.rmtree(paths.stylex_model.parent)
    limit = ("--set-resources", "train:runtime=1 if attempt == 1 else 60")  # a minute is the margin for saving
    with project.start(*COMMAND, str(paths.stylex_model.relative_to(project.root)), *limit) as run:
        goal = 64
        for _ in range(2):
            slurm.wait_until(lambda goal=goal: newest_checkpoint(paths) >= goal or run.poll() is not None, 600)
            (job,) = [each["JobId"] for each in own_jobs(slurm, project) if each["JobState"] == "RUNNING"]
            slurm("scancel", "--signal=STOP", "--full", job)  # or a fast machine is done before it is pushed out
            urgent = ("--partition=urgent", "--nodes=2", "--exclusive")
            slurm("sbatch", "--wait", *urgent, "--output=/dev/null", "--wrap=true")
            goal = newest_checkpoint(paths) + 64  # then the requeued job is at work again
        assert run.wait() == 0, project.said()
    assert "time limit: stopped at 16 of 1024 images; run again to resume" in project.said()
    first, second = own_jobs(slurm, project)
    assert (first["JobState"], first["Restarts"]) == ("FAILED", "0")
    assert (second["JobState"], second["Restarts"]) == ("COMPLETED", "2")
    log = (project.root / f"results/logs/slurm/rule_train/tiny/{second['JobId']}.log").read_text()
    assert [int(images) >= 64 for images in re.findall(r"resumed at (\d+) images", log)] == [False, True, True]
    assert_same_weights(paths.stylex_model, ExperimentPaths(finished.root, "tiny").stylex_model)


def own_jobs(slurm, project) -> list[dict[str, str]]:
    """The Slurm jobs of a project, in the order in which they were submitted."""
    return [job for job in slurm.jobs() if job["WorkDir"] == str(project.root)]


def newest_checkpoint(paths: ExperimentPaths) -> int:
    return max(checkpoints(paths.checkpoints), default=0)


def assert_same_weights(ours: Path, theirs: Path) -> None:
    first, second = load_file(ours), load_file(theirs)
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
