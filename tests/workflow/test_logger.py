"""`snakemake --logger stylex`: a line a stage, where a failure is written down, and the time left."""

import re
from pathlib import Path

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

import snakemake_logger_plugin_stylex as plugin
from snakemake_logger_plugin_stylex import Stages

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def clock(monkeypatch):
    """The seconds that pass, for the test to set."""
    now = [0.0]
    monkeypatch.setattr(plugin.time, "monotonic", lambda: now[0])
    return now


def begins(job, rule):
    return {"event": LogEvent.JOB_INFO, "jobid": job, "rule_name": rule, "rule_msg": f"Doing {rule}"}


def ends(job):
    return {"event": LogEvent.JOB_FINISHED, "job_id": job}


def test_each_stage_has_its_seconds_and_the_time_left_follows_the_machine(clock):
    stages, train = Stages(), plugin.SECONDS["train"]
    counts = {"prepare": 1, "train": 2, "all": 1, "total": 4}
    assert stages.told({"event": LogEvent.RUN_INFO, "stats": counts}) == "3 stages"
    for job, rule in enumerate(("prepare", "train", "train")):
        assert stages.told(begins(job, rule)) is None
    clock[0] = 2 * plugin.OTHER  # a machine half as fast as the table's
    line = stages.told(ends(0))
    assert line is not None and line.startswith(f"[1/3] {2 * plugin.OTHER:4.0f} s  Doing prepare")
    assert f"({2 * plugin.OTHER:.0f} s)" in stages.running() and stages.running().startswith("Doing train")
    clock[0] = 2 * train
    assert stages.told(ends(1)) == f"[2/3]  {2 * train:.0f} s  Doing train; less than a minute left"
    clock[0] = 125.6
    stages.started[2] = ("train", "Doing train", 0.0)
    assert stages.told(ends(2)) == "[3/3]  126 s  Doing train; 2 min 6 s in all"
    assert stages.told(begins(3, "all")) is stages.told(ends(3)) is None


def test_half_way_through_one_training_the_other_half_is_left(clock):
    stages, train = Stages(), plugin.SECONDS["train"]
    stages.told({"event": LogEvent.RUN_INFO, "stats": {"prepare": 1, "train": 1}})
    stages.told(begins(0, "prepare"))
    clock[0] = plugin.OTHER
    stages.told(begins(1, "train"))
    stages.told(ends(0))
    clock[0] += train / 2
    left = re.fullmatch(r"; about (\d+) min left", stages.estimate.left({"train": [train / 2]}))
    assert left and int(left[1]) == round(train / 2 / 60)


def test_snakemake_loads_it_and_says_where_a_failure_is_written_down(virgin):
    virgin.with_installed_commands().environment["PYTHONPATH"] = str(REPOSITORY)
    target = "data/processed/mnist/32/manifest.json"
    result = virgin.snakemake(target, "--logger", "stylex", "--logger-stylex-record", "record.txt")
    assert result.returncode == 0, result.stderr
    assert (virgin.root / "record.txt").read_text() == result.stdout
    lines = result.stdout.splitlines()
    assert lines[0] == "2 stages" and re.fullmatch(r"\[1/2\] +\d+ s  Downloading mnist.*", lines[1]), lines
    assert (
        re.fullmatch(r"\[2/2\] +\d+ s  Preparing mnist at 32x32; 0 min \d+ s in all", lines[2]) and len(lines) == 3
    ), lines
    virgin.edit("stylex/__main__.py", "ROOT = Path()", "ROOT = Path()\nraise SystemExit(2)")
    (virgin.root / target).unlink()
    result = virgin.snakemake("--forceall", target, "--logger", "stylex")
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == "failed: Downloading mnist; see results/logs/datasets/mnist/download.log"
    virgin.edit("config/experiments/mnist.yaml", "extends: cpu-32", "extends: nothing")
    result = virgin.snakemake("--logger", "stylex")
    assert result.returncode == 2 and "nothing" in result.stderr
