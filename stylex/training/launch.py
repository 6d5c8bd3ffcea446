"""Starting and stopping trainings: several processes as one, signals, time limits, the end of a Slurm job.

torchrun ends with 1 whatever its workers end with, but who runs a training again (Slurm, Snakemake) goes by its exit
code: so `stylex train NAME --processes N` starts them itself. On several nodes srun starts the processes and ends with
the largest of their exit codes.
"""

from __future__ import annotations

import logging
import math
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from subprocess import Popen
from tempfile import TemporaryFile
from types import FrameType, TracebackType
from typing import Any, Self

from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

from stylex.errors import DeviceError, StylexError

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
DEADLINE_MARGIN = 60.0  # seconds kept for the last checkpoint
HOST = "127.0.0.1"
FINE = (0, os.EX_TEMPFAIL)  # finished; saved but not finished
GRACE = 30.0  # seconds after one has failed: what the others do meanwhile, waiting for it, may take much longer
STRAGGLERS = 300  # seconds in which the others must end after one has, on several nodes: the first may be saving yet
POLL_INTERVAL = 0.1  # seconds
logger = logging.getLogger("stylex")


class Interruption:
    """Catches SIGTERM, SIGINT and SIGUSR1 while it is entered; the second of a kind does what it always does."""

    def __init__(self, time_limit_minutes: float | None) -> None:
        """`time_limit_minutes`: counted from now; None: no limit but that of the Slurm job around us."""
        limit = math.inf if time_limit_minutes is None else time_limit_minutes * 60
        self._deadline = time.monotonic() + min(limit, job_seconds_left()) - DEADLINE_MARGIN
        self._signal: str | None = None
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._handlers = {number: signal.signal(number, self._catch) for number in SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def reason(self) -> str | None:
        """Return why to stop, or None to go on."""
        return self._signal or ("time limit" if time.monotonic() > self._deadline else None)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        self._signal = signal.Signals(number).name
        signal.signal(number, self._handlers[number])


def job_seconds_left() -> float:
    """Return the seconds until the Slurm job that we are in will end; inf outside of one, or when Slurm does not say.

    On a busy file system minutes may pass between the start of a job and that of the training.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or shutil.which("squeue") is None:
        return math.inf
    command = ["squeue", "--noheader", f"--jobs={job}", "--format=%e"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()
        return datetime.fromisoformat(answer).timestamp() - time.time()
    except (ValueError, subprocess.TimeoutExpired):  # as "NONE": a partition without a limit
        return math.inf


def launch(arguments: Sequence[str], count: int) -> int:
    """Run `stylex` with these arguments in `count` processes, which `joined` joins; return one exit code for all.

    A signal is passed on to them. stderr shows the first one's and, when another failed, that one's.
    """
    store, common = _rendezvous(HOST, count)
    with ExitStack() as stack, Interruption(None) as interruption:
        logs = [stack.enter_context(TemporaryFile()) for _ in range(count)]
        workers = []
        for rank, log in enumerate(logs):
            command = [sys.executable, "-m", "stylex", *arguments]
            environment = {**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            # A session of its own: Ctrl-C in a terminal reaches it once, from here.
            worker = Popen(command, env=environment, stderr=log if rank else None, start_new_session=True)
            stack.callback(worker.wait)
            stack.callback(worker.kill)
            workers.append(worker)
        codes = _watch(workers, interruption)
        failed = {rank: code for rank, code in enumerate(codes) if code is not None and code not in FINE}
        if not failed:
            return max(code or 0 for code in codes)
        # A user's mistake, or a kill, breaks the others' connection: it comes first.
        rank, code = min(failed.items(), key=lambda item: (item[1] != StylexError.exit_code, item[1] > 0))
        logs[rank].seek(0)
        sys.stderr.write(logs[rank].read().decode(errors="replace"))
        if code < 0:
            logger.error("process %d of %d was ended by %s", rank + 1, count, signal.Signals(-code).name)
        return code if code > 0 else 128 - code  # as in a shell


def launch_on_nodes(arguments: Sequence[str], nodes: int, count: int, threads: int) -> int:
    """Run `stylex` in `count` processes on each of `nodes` of this Slurm job; return one exit code for all.

    Raises `DeviceError` outside of a job. A signal goes to srun, which ends the processes with it, and Slurm sends its
    own to all of them.
    """
    if "SLURM_JOB_ID" not in os.environ or shutil.which("srun") is None:
        raise DeviceError(f"--nodes {nodes} needs a Slurm job of {nodes} nodes: use it there, or leave it out")
    # Kept alive for them: they meet there. The system chooses the port, so that two trainings never share one.
    store, common = _rendezvous(platform.node(), nodes * count)
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes * count}", f"--ntasks-per-node={count}"]
    srun += [f"--cpus-per-task={threads}", "--cpu-bind=q", f"--wait={STRAGGLERS}", "sh", "-c"]
    srun += ['RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID exec "$@"', "sh"]
    command = [*srun, sys.executable, "-m", "stylex", *arguments]
    with Interruption(None) as interruption, Popen(command, env={**os.environ, **common}) as steps:
        code = _watch([steps], interruption)[0] or 0
    del store
    return code if code >= 0 else 128 - code


def _rendezvous(host: str, size: int) -> tuple[TCPStore, dict[str, str]]:
    """Return a store for `size` processes, and the variables by which they find it, as torchrun sets them."""
    store = TCPStore(host, 0, is_master=True, wait_for_workers=False)
    # The last variable says that the store lives here and not in the first process.
    known = {"MASTER_ADDR": host, "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    return store, known | {"WORLD_SIZE": str(size)}


def _watch(workers: Sequence[Popen[bytes]], interruption: Interruption) -> list[int | None]:
    """Wait for all to end; return their exit codes, None for those that another's failure did not end."""
    passed, end = False, math.inf
    while None in (codes := [worker.poll() for worker in workers]) and time.monotonic() < end:
        reason = interruption.reason()
        if reason and reason.startswith("SIG") and not passed:  # the end of the job they know themselves
            for worker in workers:
                worker.send_signal(signal.Signals[reason])
            passed = True
        if end == math.inf and any(code not in (None, *FINE) for code in codes):
            end = time.monotonic() + GRACE
        time.sleep(POLL_INTERVAL)
    return codes


def ignore_repeated_signals() -> None:
    """Let a process that another one started ignore signals while nobody catches them.

    A scheduler signals all processes of a job, and the one that started them passes it on: the second must not kill.
    """
    if "LOCAL_RANK" in os.environ:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
