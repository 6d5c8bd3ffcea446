"""The workflow on a Slurm cluster: what the jobs of its stages ask for, why a job failed, and how a killed run goes on.

config/site.yaml says how a site differs from the table of stages, whose values are chosen, not measured. Resources have
the names that snakemake-executor-plugin-slurm gives them.
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
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, Field, create_model, field_validator, model_validator

from stylex.config.base import Positive, Section
from stylex.config.reading import load_file
from stylex.errors import ResumeError

Word = Annotated[
    str, BeforeValidator(lambda value: str(value) if isinstance(value, int) else value), Field(pattern=r"^[\w.,:@+-]+$")
]
Request = int | str | Callable[..., int]
JOB_NAME = re.compile(r"stylex_[0-9a-f-]{36}")  # slurm-jobname-prefix of profiles/slurm, and the run of Snakemake
SNAKEMAKE = (sys.executable, "-m", "snakemake")
DRIVER = Path(".snakemake/driver")
LOCKS = Path(".snakemake/locks")
GLANCE = 5.0  # seconds between two looks at the queue
logger = logging.getLogger("stylex")
# Slurm's daemon in the job; a user's mistake as the CLI says it; an interrupted training; an exception of Python.
TELLING = re.compile(r"slurmstepd.* error: |^error: |; run again to resume$|^[\w.]*(Error|Exception): .")
LINES = 3  # of the log, at the most: a requeued job's log begins with what ended it before


class Group(NamedTuple):
    """Small stages of one experiment that share a Slurm job."""

    steps: int  # that follow each other
    beside: int  # that run beside each other


class Stage(NamedTuple):
    """What the Slurm job of a stage asks for at its first attempt; the second gets twice as much, and so on."""

    memory_mb: int
    minutes: int
    gpu: bool = True
    group: str | None = None
    resumes: bool = False  # goes on where the last attempt stopped: further attempts need no more time


# Stages of one group must agree in `gpu`: their jobs become one.
GROUPS = {"analysis": Group(steps=3, beside=4), "figures": Group(steps=2, beside=3)}
STAGES = {
    "prepare": Stage(8000, 240, gpu=False),
    "backbone": Stage(8000, 240),
    "oracle": Stage(8000, 240),
    "regressor": Stage(8000, 240),
    "classifier": Stage(8000, 240),
    "train": Stage(16000, 1440, resumes=True),
    "diagnose": Stage(8000, 30),
    "encode": Stage(8000, 120),
    "merge": Stage(8000, 30, gpu=False),
    "samples": Stage(4000, 30),
    "counterfactuals": Stage(8000, 120),
    "effects": Stage(8000, 240),
    "attributes": Stage(4000, 20, group="analysis"),
    "baseline": Stage(4000, 20, group="analysis"),
    "sufficiency": Stage(4000, 60, group="analysis"),
    "frechet": Stage(4000, 60, group="analysis"),
    "factors": Stage(4000, 60, group="analysis"),
    "study": Stage(4000, 60, group="analysis"),
    "observer": Stage(4000, 30, group="analysis"),
    "explanations": Stage(4000, 60, group="figures"),
    "ganalyze": Stage(4000, 60, group="figures"),
    "maps": Stage(4000, 30, group="figures"),
    "figures": Stage(4000, 30, group="figures"),
    "frames": Stage(4000, 60),
}
OWN_KEYS = {
    "--account": "account", "--partition": "partition", "--qos": "qos", "--time": "stages", "--mem": "stages",
    "--gres": "gpu_type", "--gpus": "training_gpus", "--nodes": "training_nodes",
}  # fmt: skip


class StageOverride(Section):
    """Where this site differs from the table of stages (stylex/slurm.py), for one of them."""

    memory_mb: Positive | None = Field(
        default=None, description="Memory of the first attempt, in MB. Without it: the table's."
    )
    minutes: Positive | None = Field(default=None, description="Time of the first attempt. Without it: the table's.")


_BY_STAGE: dict[str, Any] = dict.fromkeys(STAGES, (StageOverride, StageOverride()))
StageOverrides = create_model("StageOverrides", __base__=Section, **_BY_STAGE)


class SiteConfig(Section):
    """config/site.yaml, which is optional: the cluster on which the workflow runs."""

    account: Word | None = Field(None, description="Account to charge. Without it: the user's.")
    partition: Word | None = Field(None, description="Partition of the jobs. Without it: the cluster's.")
    gpu_partition: Word | None = Field(None, description="Partition of jobs that ask for a GPU. Without it: partition.")
    qos: Word | None = Field(None, description="Quality of service of the jobs. Without it: the cluster's.")
    sbatch: list[str] = Field([], description="Further options of sbatch, one a list item, as --reservation=NAME.")
    gpu: bool = Field(True, description="Whether there are GPUs to ask for; false: all stages run on CPUs.")
    gpu_type: Word | None = Field(None, description="As in --gres=gpu:TYPE:1. Without it: any.")
    training_gpus: Positive = Field(1, description="GPUs that share a training, on each of its nodes.")
    training_nodes: Positive = Field(1, description="Nodes that share a training.")
    max_minutes: Positive | None = Field(None, description="The longest job that the partitions allow.")
    max_memory_mb: Positive | None = Field(None, description="The largest memory of a job that the nodes allow.")
    stages: StageOverrides = Field(  # pyright: ignore[reportInvalidTypeForm]
        StageOverrides(), description=f"Memory and time of stages, each by its name: {', '.join(STAGES)}."
    )

    @field_validator("sbatch")
    @classmethod
    def _options(cls, options: list[str]) -> list[str]:
        for option in options:
            name, equals, value = option.partition("=")
            if name in OWN_KEYS:
                raise ValueError(f"'{option}' has a key of its own here: write {OWN_KEYS[name]}")
            if not name.startswith("--") or bool(equals) != bool(value) or set(option) & set(" '\"`$;&|<>\\"):
                raise ValueError(f"'{option}' is not of the form --name or --name=value, one option per list item")
        return options

    @model_validator(mode="after")
    def _gpus(self) -> SiteConfig:
        asked = [key for key in ("gpu_partition", "gpu_type") if getattr(self, key)]
        asked += ["training_gpus"] if self.training_gpus > 1 else []
        if asked and not self.gpu:
            raise ValueError(f"{asked[0]} asks for GPUs, but gpu is false: remove one of them")
        return self

    def memory_mb(self, stage: str, attempt: int) -> int:
        """Return the memory of a stage's job, in MB; what runs beside each other in a group shares `max_memory_mb`."""
        asked = (getattr(self.stages, stage).memory_mb or STAGES[stage].memory_mb) * attempt
        return _at_most(asked, self.max_memory_mb, _group(stage).beside)

    def minutes(self, stage: str, attempt: int) -> int:
        """Return the time limit of a stage's job; what follows each other in a group shares `max_minutes`."""
        asked = getattr(self.stages, stage).minutes or STAGES[stage].minutes
        return _at_most(asked * (1 if STAGES[stage].resumes else attempt), self.max_minutes, _group(stage).steps)

    def sharing(self, threads: int) -> str:
        """Return the options of `stylex train` by which it uses all that its Slurm job has; `threads`: of a node."""
        options = f"--threads {max(threads // self.training_gpus, 1)}"
        options += f" --processes {self.training_gpus}" if self.training_gpus > 1 else ""
        return options + (f" --nodes {self.training_nodes}" if self.training_nodes > 1 else "")

    def requests(self, stage: str) -> dict[str, Request]:
        """Return the `resources:` of a stage's rule."""
        gpu, training = self.gpu and STAGES[stage].gpu, stage == "train"
        kind = f":{self.gpu_type}" if self.gpu_type else ""
        texts = {
            # A text, not a number: jobs that are grouped share one GPU instead of adding theirs up.
            "gres": f"gpu{kind}:{self.training_gpus if training else 1}" if gpu else None,
            "slurm_account": self.account,
            "slurm_partition": (self.gpu_partition if gpu else None) or self.partition,
            "qos": self.qos,
            "slurm_extra": " ".join(["--open-mode=append", *self.sbatch]),  # a requeued job keeps its first log
        }
        requests: dict[str, Request] = {key: text for key, text in texts.items() if text}
        if training and self.training_nodes > 1:
            # "mpi": Snakemake leaves srun to the command, which starts its processes on all nodes.
            requests |= {"nodes": self.training_nodes, "tasks": self.training_nodes, "mpi": "srun"}
        requests["mem_mb"] = lambda wildcards, attempt: self.memory_mb(stage, attempt)
        requests["runtime"] = lambda wildcards, attempt: self.minutes(stage, attempt)
        return requests


def load_site(root: Path) -> SiteConfig:
    """Read config/site.yaml; without it, or when all of it is commented out, nothing is special about this site."""
    path = root / "config" / "site.yaml"
    return load_file(SiteConfig, path, {}) if path.is_file() else SiteConfig.model_validate({})


def _group(stage: str) -> Group:
    name: Any = STAGES[stage].group
    return GROUPS[name] if name else Group(1, 1)


def _at_most(asked: int, limit: int | None, shares: int) -> int:
    return asked if limit is None else min(asked, max(limit // shares, 1))


class ReasonsOfFailures(logging.Filter):
    """Adds the reason to Snakemake's records of failed jobs and groups; lets all records pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the message of a record that tells of a failed Slurm job."""
        of_rule, of_group = getattr(record, "aux", {}).get("external_jobid"), getattr(record, "external_jobid", None)
        if of_rule:
            record.rule_msg = reason(of_rule, getattr(record, "log", []))
        elif of_group:
            record.msg = f"{record.msg}: {reason(of_group, getattr(record, 'aux_logs', []))}"
        return True


def reason(job: str, logs: list[str]) -> str:
    """Return how Slurm calls the end of a job, and the telling lines of its log, which is among `logs` as <job>.log."""
    command = ["squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T"]
    state = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    texts = [
        Path(log).read_text(errors="replace") for log in logs if Path(log).name == f"{job}.log" and Path(log).is_file()
    ]
    lines = [line.strip() for text in texts for line in text.splitlines() if TELLING.search(line.strip())]
    return "; ".join([f"Slurm job {job}: {state or 'no longer known to Slurm'}", *list(dict.fromkeys(lines))[-LINES:]])


def resume(arguments: list[str], wait: bool, cancel: bool) -> None:
    """Start Snakemake again, with its arguments, after it was killed and its Slurm jobs were not.

    They go on without it, and its lock stays. A second Snakemake beside them would let two jobs write one file. What
    they finish counts: workflow/rules/driver.smk has them write their own records. Exactly one of `wait` (for the jobs
    to finish) and `cancel`. Raises `ResumeError`.
    """
    if wait == cancel:
        raise ResumeError("say what to do with the jobs of the killed run: stylex resume --wait … or --cancel …")
    refuse_second_driver(Path.cwd())
    run_snakemake("--quiet", "-n", *arguments)  # a mistake is to show now, not after hours of waiting
    end_jobs(Path.cwd(), cancel)
    refuse_second_driver(Path.cwd())
    if is_locked():
        run_snakemake("--unlock", *arguments)
        logger.info("unlocked")
    logger.info("starting snakemake %s", shlex.join(arguments))
    os.execv(SNAKEMAKE[0], [*SNAKEMAKE, *arguments])


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
        last = (result.stderr.strip() or result.stdout.strip() or "nothing").splitlines()[-1]
        raise ResumeError(f"snakemake {shlex.join(arguments)} fails: {last}; fix the arguments or the project")
