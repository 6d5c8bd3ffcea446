"""Jobs that Slurm ends: each is tried again, and Snakemake's own output says why it failed."""

import re

import pytest

RECOVERED = {
    "classifier": "results/experiments/mnist/classifier/model.safetensors",
    "backbone": "results/backbones/mnist-32/model.safetensors",
    "prepare": "data/processed/fashion_mnist/32/manifest.json",
}
FAILED = "results/experiments/mnist/sufficiency.csv"

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def output(failing):
    """What Snakemake said while one job was cancelled, one over its time limit, and two out of memory."""
    project, run = failing
    assert run.wait() == 1
    return project.said()


@pytest.mark.parametrize("rule", RECOVERED)
def test_retry_recovers(output, failing, rule):
    assert (failing[0].root / RECOVERED[rule]).is_file()


REASONS = {
    "classifier": r"Slurm job \d+: CANCELLED; slurmstepd.*CANCELLED AT",
    "prepare": r"Slurm job \d+: TIMEOUT; slurmstepd.*DUE TO TIME LIMIT",
    "backbone": r"Slurm job \d+: .*(oom-kill|exceeded memory limit)",
}


@pytest.mark.parametrize("rule", REASONS)
def test_reason_is_in_the_output(output, rule):
    assert re.search(rf"Error in rule {rule}:\n +message: {REASONS[rule]}", output)


def test_a_group_that_fails_to_the_end_says_why_each_time(output, failing):
    reason = r"message: Error in group analysis-mnist: Slurm job \d+: .*(oom-kill|exceeded memory limit)"
    assert len(re.findall(reason, output)) == 3
    assert not (failing[0].root / FAILED).exists()


def test_jobs_are_those_that_the_site_file_asks_for(output, failing, slurm):
    jobs = [job for job in slurm.jobs() if job["WorkDir"] == str(failing[0].root)]
    assert {(job["Account"], job["Nice"]) for job in jobs} == {("lab", "7")}
    prepare = [job["Comment"].startswith("rule_prepare") for job in jobs]
    expected = [("spare", None) if each else ("main", "gres:gpu:fake:1") for each in prepare]
    assert True in prepare and [(job["Partition"], job.get("TresPerNode")) for job in jobs] == expected
