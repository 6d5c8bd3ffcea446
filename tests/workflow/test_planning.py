"""What `snakemake -n` costs: the time of all suites, and that nothing imports torch to plan."""

import re
import resource
from pathlib import Path

import pytest

from stylex.config import load_suite

ROOT = Path(__file__).parents[2]
SUITES = sorted(path.stem for path in (ROOT / "config/suites").glob("*.yaml"))


def seconds_of(run) -> float:
    """CPU seconds of what `run` starts: other work on the machine lengthens them less than the wait."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run().returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.mark.parametrize("profile", [[], ["--profile", "slurm"]], ids=["here", "slurm"])
def test_nothing_imports_torch_to_plan(virgin, profile):
    virgin.environment |= {"PYTHONPROFILEIMPORTTIME": "1"}  # Python lists on stderr what it imports
    result = virgin.with_installed_commands().snakemake("-n", *profile)
    imported = set(re.findall(r"\| +([\w.]+)$", result.stderr, re.MULTILINE))
    assert result.returncode == 0 and "stylex.project" in imported
    assert not {"torch", "torchvision", "matplotlib"} & imported


@pytest.mark.parametrize("suite", SUITES)
def test_every_suite_is_planned(virgin, suite):
    result = virgin.snakemake("-n", "--config", f"suite={suite}")
    assert result.returncode == 0, result.stderr


def test_the_recording_of_the_demo_is_of_todays_stages(virgin):
    """docs/demo.txt is what a run of `make demo` wrote down; a stage more, or of another name, asks for a new one."""
    result = virgin.snakemake("-n")
    planned = sorted(re.findall(r"^ *Job \d+: (.+)$", result.stdout + result.stderr, re.MULTILINE))
    lines = (ROOT / "docs/demo.txt").read_text().splitlines()
    start = lines.index(f"{len(planned)} stages") + 1
    stages = [
        re.fullmatch(r"\[ *(\d+)/(\d+)\] +\d+ s  ([^;]+)(?:; (.+))?", line) for line in lines[start:][: len(planned)]
    ]
    assert all(stages)
    assert [(int(each[1]), int(each[2])) for each in stages] == [(n, len(planned)) for n in range(1, len(planned) + 1)]
    assert sorted(each[3] for each in stages) == planned
    assert re.fullmatch(r"\d+ min \d+ s in all", stages[-1][4])
    assert lines[start + len(planned) :][-2] == "The report: results/demo/index.html"


def test_all_suites_together_are_planned_in_seconds(virgin):
    """In one plan, as most of a short one is Snakemake's own start. One of the seconds reads our code."""
    together = sorted({name for suite in SUITES for name in load_suite(virgin.root, suite).experiments})
    content = {"title": "All suites", "experiments": together, "tables": ["classifiers", "sufficiency"]}
    virgin.write_config("suites/all", content)
    assert len(together) >= 30
    project = virgin.with_installed_commands()
    assert seconds_of(lambda: project.snakemake("-n", "--config", "suite=all")) < 12  # of CPU: 6.3 to 8.5 measured
