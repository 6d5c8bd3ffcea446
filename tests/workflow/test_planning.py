"""What `snakemake -n` costs: the time of all suites, and that nothing imports torch to plan."""

import re
import resource
from pathlib import Path

import pytest

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
    result = virgin.snakemake("-n", *profile)
    imported = set(re.findall(r"\| +([\w.]+)$", result.stderr, re.MULTILINE))
    assert result.returncode == 0 and "stylex.project" in imported
    assert not {"torch", "torchvision", "matplotlib"} & imported


def test_all_suites_are_planned_in_seconds(virgin):
    """Counted beyond Snakemake's own start, which is most of it: other work on the machine lengthens both."""
    alone = min(seconds_of(lambda: virgin.run("snakemake", "--version")) for _ in range(2))
    planned = [seconds_of(lambda suite=suite: virgin.snakemake("-n", "--config", f"suite={suite}")) for suite in SUITES]
    assert sum(planned) - len(SUITES) * alone < 5
