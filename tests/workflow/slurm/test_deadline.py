"""A training in a Slurm job knows when that job will end."""

import math
import sys
from pathlib import Path

import pytest

from stylex.training.launch import job_seconds_left

ROOT = Path(__file__).parents[3]
ASK = "import time; time.sleep({wait}); from stylex.training.launch import *; print(job_seconds_left())"

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def test_seconds_left_are_those_of_the_job_and_not_of_its_start(slurm):
    command = ["srun", "--time=2", f"--chdir={ROOT}", sys.executable, "-c", ASK.format(wait=5)]
    assert 0 < float(slurm(*command)) <= 120 - 5


def test_outside_of_a_job_there_is_no_end(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert job_seconds_left() == math.inf
