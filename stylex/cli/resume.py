"""`stylex resume`: start the workflow again after Snakemake itself was killed and its Slurm jobs were not.

They go on without it, and its lock stays. A second Snakemake beside them would let two jobs write one file. What they
finish counts: workflow/rules/driver.smk has them write their own records.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from stylex.errors import ResumeError

SETTINGS = {"ignore_unknown_options": True, "allow_interspersed_args": False}
JOB_NAME = re.compile(r"stylex_[0-9a-f-]{36}")  # slurm-jobname-prefix of profiles/slurm, and the run of Snakemake
SNAKEMAKE = (sys.executable, "-m", "snakemake")
DRIVER = Path(".snakemake/driver")
LOCKS = Path(".snakemake/locks")
GLANCE = 5.0  # seconds between two looks at the queue
logger = logging.getLogger("stylex")


def command(
    arguments: Annotated[list[str] | None, typer.Argument(help="Arguments of Snakemake, as it was started.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Let the jobs of the killed run finish first.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the jobs of the killed run first.")] = False,
) -> None:
    """Go on after Snakemake was killed on a cluster: wait for its jobs or cancel them, unlock, start it again."""
    given = arguments or []
    if wait == cancel:
        raise ResumeError("say what to do with the jobs of the killed run: stylex resume --wait … or --cancel …")
    refuse_second_driver(Path.cwd())
    run_snakemake("--quiet", "-n", *given)  # a mistake is to show now, not after hours of waiting
    end_jobs(Path.cwd(), cancel)
    refuse_second_driver(Path.cwd())
    if is_locked():
        run_snakemake("--unlock", *given)
        logger.info("unlocked")
    logger.info("starting snakemake %s", shlex.join(given))
    os.execv(SNAKEMAKE[0], [*SNAKEMAKE, *given])


def refuse_second_driver(folder: Path) -> None:
    """Raise `ResumeError` when a Snakemake runs in this folder, or may run on the other machine that locked it."""
    remedy = "wait for its end, or end it with Ctrl-C there, which cancels its jobs"
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_text(errors="replace").split("\0")
            here = (process / "cwd").readlink() == folder
        except OSError:  # ended meanwhile, or of another user
            continue
        if here and is_driver(arguments) and int(process.name) != os.getpid():
            raise ResumeError(f"Snakemake runs here as process {process.name} on {platform.node()}: {remedy}")
    if not is_locked() or not DRIVER.is_file():
        return
    host, pid, job = DRIVER.read_text().rstrip("\n").split(" ")
    if host == platform.node() or (job and job not in ask_slurm("squeue", "--me", "-h", "-o", "%A").split()):
        return
    raise ResumeError(
        f"Snakemake may still run as process {pid} on {host}, which this machine cannot see: {remedy}; if it was"
        f" killed, run this on {host} or delete {DRIVER} first"
    )


def is_driver(arguments: list[str]) -> bool:
    """Whether this is the command line of a Snakemake that submits jobs, or of another `stylex resume`."""
    if not Path(arguments[0]).name.startswith("python") or "--mode" in arguments:  # --mode: within a job
        return False
    names = {Path(each).name for each in arguments[1:4]}
    return "snakemake" in names or {"stylex", "resume"} <= names


def is_locked() -> bool:
    """Whether Snakemake's lock is on this folder."""
    return any(LOCKS.glob("*.lock"))


def end_jobs(folder: Path, cancel: bool) -> None:
    """Wait until Slurm has no job of this folder any more; cancel them first, if asked to."""
    known: dict[str, str] = {}
    while jobs := jobs_of(folder, patient=bool(known)):
        if new := jobs.keys() - known.keys() if cancel else set():
            logger.info("cancelling the jobs %s of an earlier run", ", ".join(sorted(new)))
            ask_slurm("scancel", *sorted(new))
        elif jobs != known:
            listed = ", ".join(f"{job} ({state.lower()})" for job, state in sorted(jobs.items()))
            logger.info("waiting for jobs of an earlier run: %s", listed)
        known = jobs
        time.sleep(GLANCE)
    if not known:
        logger.info("no job of an earlier run is left")


def jobs_of(folder: Path, patient: bool) -> dict[str, str]:
    """Return the states of our jobs, pending or running, that a Snakemake of this folder submitted, by number.

    `patient`: a controller that does not answer is asked again, where otherwise `ResumeError` is raised.
    """
    while True:
        try:
            lines = ask_slurm("squeue", "--me", "-h", "-o", "%A|%T|%j|%Z").splitlines()
            break
        except ResumeError as error:
            if not patient:
                raise
            logger.warning("%s", error)
            time.sleep(GLANCE)
    rows = [line.split("|", 3) for line in lines]
    return {job: state for job, state, name, at in rows if JOB_NAME.fullmatch(name) and Path(at).resolve() == folder}


def ask_slurm(*command: str) -> str:
    """Return what a command of Slurm prints; raise `ResumeError` when there is none or it fails."""
    if shutil.which(command[0]) is None:
        raise ResumeError(
            f"{command[0]} is not on PATH, so jobs of an earlier run would not be seen: run this where Slurm is; if"
            " there are none, `snakemake --unlock` and start Snakemake itself"
        )
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise ResumeError(f"{command[0]} fails: {result.stderr.strip()}; try again when Slurm answers")
    return result.stdout


def run_snakemake(*arguments: str) -> None:
    """Run Snakemake to its end; raise `ResumeError` with its last line when it fails."""
    result = subprocess.run([*SNAKEMAKE, *arguments], capture_output=True, text=True, check=False)
    if result.returncode:
        said = (result.stderr.strip() or result.stdout.strip() or "nothing").splitlines()[-1]
        raise ResumeError(f"snakemake {shlex.join(arguments)} fails: {said}; mend the arguments or the project")
