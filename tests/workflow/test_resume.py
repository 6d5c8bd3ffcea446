"""`stylex resume` refuses what would let two Snakemakes or a mistake loose; tests/workflow/slurm has the rest."""

import platform
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from stylex.slurm import JOB_NAME, is_driver

ROOT = Path(__file__).parents[2]
UNIQUE = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"


def refused(project, *arguments):
    result = project.run(sys.executable, "-m", "stylex", "resume", *arguments)
    assert result.returncode == 2, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    return lines[0]


@pytest.mark.parametrize("flags", [[], ["--wait", "--cancel"]])
def test_what_to_do_with_the_jobs_must_be_said(virgin, flags):
    assert "--wait … or --cancel …" in refused(virgin, *flags, "--cores", "2")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--cores", "2", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["--cores", "2", "--config", "suite=dmeo"], "did you mean 'demo'?"),
    ],
)
def test_a_mistake_in_the_arguments_shows_before_any_job_is_touched(virgin, arguments, named):
    assert named in refused(virgin, "--cancel", *arguments)


def test_without_slurm_nobody_knows_whether_jobs_run(virgin, tmp_path):
    (tmp_path / "bin").mkdir()
    for name in ("which", "bash"):  # what Snakemake needs to plan
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    virgin.environment["PATH"] = str(tmp_path / "bin")
    line = refused(virgin, "--wait", "--cores", "2")
    assert "squeue is not on PATH" in line and "snakemake --unlock" in line


def test_a_driver_on_another_machine_is_refused(virgin):
    (virgin.root / ".snakemake/locks").mkdir(parents=True)
    (virgin.root / ".snakemake/locks/0.output.lock").touch()
    (virgin.root / ".snakemake/driver").write_text("login2 4711 \n")
    line = refused(virgin, "--wait", "--cores", "2")
    assert "process 4711 on login2" in line and "delete .snakemake/driver" in line


def test_snakemake_notes_where_it_runs(virgin):
    target = "data/raw/mnist/source.json"
    assert virgin.snakemake("-n", target).returncode == 0
    assert not (virgin.root / ".snakemake/driver").exists()
    assert virgin.snakemake(target).returncode == 0
    host, pid, job = (virgin.root / ".snakemake/driver").read_text().rstrip("\n").split(" ")
    assert (host, pid.isdigit(), job) == (platform.node(), True, "")


def test_our_jobs_have_the_name_that_the_profile_gives_them():
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    assert JOB_NAME.fullmatch(f"{profile['slurm-jobname-prefix']}_{UNIQUE}")
    for other in (UNIQUE, f"stylex2_{UNIQUE}", "stylex_training"):
        assert not JOB_NAME.fullmatch(other)


@pytest.mark.parametrize(
    ("line", "drives"),
    [
        ("/p/.venv/bin/python /p/.venv/bin/snakemake --cores 8 --profile slurm", True),
        ("python3.11 -m snakemake --cores 8", True),
        ("python -m stylex resume --wait", True),
        ("python -m snakemake --snakefile Snakefile --target-jobs train:experiment=mnist --mode remote", False),
        ("python -m stylex train snakemake", False),
        ("vim snakemake", False),
        ("", False),
    ],
)
def test_drivers_are_told_by_their_command_lines(line, drives):
    assert is_driver(line.split(" ")) is drives
