"""Jobs that Slurm ends: each is tried again, and Snakemake's own output says why it failed."""

import re

import pytest
import yaml

# What the verbs of the stand-in do before they write their files: `once` is true in the first attempt only.
TRAPS = """
import sys, time
from pathlib import Path
def once():
    marker = Path("-".join(["tried", *sys.argv[1:3]]))
    return not marker.exists() and (marker.touch() or True)
def fill(megabytes):
    block = bytearray(b"x") * (megabytes << 20)
    time.sleep(60)
match sys.argv[1:3]:
    case ["classifier", "mnist"] | ["prepare", "fashion_mnist"] if once():
        time.sleep(1000)
    case ["backbone", "mnist-32"]:
        fill(900) if once() else None
    case ["sufficiency", "mnist"]:
        fill(4000)
"""
# Memory: the second attempt of the backbone gets twice as much; a group shares the most that a node allows, always.
SITE = {"max_memory_mb": 4800, "stages": {"backbone": {"memory_mb": 1000}, "prepare": {"minutes": 1}}}
RECOVERED = {
    "classifier": "results/experiments/mnist/classifier/model.safetensors",
    "backbone": "results/backbones/mnist-32/model.safetensors",
    "prepare": "data/processed/fashion_mnist/32/manifest.json",
}
FAILED = "results/experiments/mnist/sufficiency.csv"

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


@pytest.fixture(scope="module")
def output(standing_in, connect, slurm):
    """What Snakemake said while one job was cancelled, one over its time limit, and two out of memory."""
    project = connect(standing_in)
    (project.root / "config/site.yaml").write_text(yaml.safe_dump(SITE))
    main = project.root / "stylex/__main__.py"
    main.write_text(TRAPS + main.read_text())
    command = ["snakemake", "--cores", "8", "--profile", "slurm", "--retries", "1", *RECOVERED.values(), FAILED]
    with project.start(*command) as run:
        slurm.wait_until((project.root / "tried-classifier-mnist").exists, 120)
        slurm("scancel", *(job["JobId"] for job in slurm.jobs() if job["Comment"].startswith("rule_classifier")))
        output = run.communicate(timeout=500)[0]
    assert run.returncode == 1
    return output


@pytest.mark.parametrize("rule", RECOVERED)
def test_retry_recovers(output, standing_in, rule):
    assert (standing_in.root / RECOVERED[rule]).is_file()


REASONS = {
    "classifier": r"Slurm job \d+: CANCELLED; slurmstepd.*CANCELLED AT",
    "prepare": r"Slurm job \d+: TIMEOUT; slurmstepd.*DUE TO TIME LIMIT",
    "backbone": r"Slurm job \d+: .*(oom-kill|exceeded memory limit)",
}


@pytest.mark.parametrize("rule", REASONS)
def test_reason_is_in_the_output(output, rule):
    assert re.search(rf"Error in rule {rule}:\n +message: {REASONS[rule]}", output)


def test_a_group_that_fails_to_the_end_says_why_each_time(output, standing_in):
    reason = r"message: Error in group analysis-mnist: Slurm job \d+: .*(oom-kill|exceeded memory limit)"
    assert len(re.findall(reason, output)) == 2
    assert not (standing_in.root / FAILED).exists()
