"""Why a Slurm job failed, in Snakemake's own output: what Slurm calls its end, and what was written into its log.

Without sacct, snakemake-executor-plugin-slurm 2.8.0 names the state of a single job and not even that of a group's job;
a job out of memory it calls FAILED, as Slurm does: the kernel killed a process in it, not the job.
"""

from __future__ import annotations

import logging
import re
import subprocess
from pathlib import Path

# Slurm's daemon in the job; a user's mistake as the CLI says it; an interrupted training; an exception of Python.
TELLING = re.compile(r"slurmstepd.* error: |^error: |; run again to resume$|^[\w.]*(Error|Exception): .")
LINES = 3  # of the log, at the most: a requeued job's log begins with what ended it before


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
    told = [line.strip() for text in texts for line in text.splitlines() if TELLING.search(line.strip())]
    return "; ".join([f"Slurm job {job}: {state or 'no longer known to Slurm'}", *list(dict.fromkeys(told))[-LINES:]])
