"""Several processes as one: `stylex train NAME --processes N`, on this machine or on the nodes of a Slurm job.

torchrun ends with 1 whatever its workers end with, but who runs a training again (Slurm, Snakemake) goes by its exit
code. On several nodes srun starts the processes and ends with the largest of their exit codes.
"""

from __future__ import annotations

import logging
import math
import os
import platform
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from subprocess import Popen
from tempfile import TemporaryFile

from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

from stylex.errors import DeviceError, StylexError
from stylex.training.interruption import SIGNALS, Interruption

HOST = "127.0.0.1"
FINE = (0, os.EX_TEMPFAIL)  # finished; saved but not finished
GRACE = 30.0  # seconds after one has failed: what the others do meanwhile, waiting for it, may take much longer
STRAGGLERS = 300  # seconds in which the others must end after one has, on several nodes: the first may be saving yet
RANKED = 'RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID exec "$@"'
GLANCE = 0.1  # seconds
logger = logging.getLogger("stylex")


def launch(arguments: Sequence[str], count: int) -> int:
    """Run `stylex` with these arguments in `count` processes, which `joined` joins; return one exit code for all.

    A signal is passed on to them. stderr shows the first one and, when another is the one that failed, what it said.
    """
    store, common = _meeting_point(HOST, count)
    with ExitStack() as stack, Interruption(None) as interruption:
        logs = [stack.enter_context(TemporaryFile()) for _ in range(count)]
        workers = []
        for rank, log in enumerate(logs):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            command, environment = [sys.executable, "-m", "stylex", *arguments], {**os.environ, **common, **own}
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
        return code if code > 0 else 128 - code  # as a shell says it


def launch_on_nodes(arguments: Sequence[str], nodes: int, count: int, threads: int) -> int:
    """Run `stylex` in `count` processes on each of `nodes` of this Slurm job; return one exit code for all.

    Raises `DeviceError` outside of a job. A signal goes to srun, which ends the processes with it, and Slurm sends its
    own to all of them.
    """
    if "SLURM_JOB_ID" not in os.environ or shutil.which("srun") is None:
        raise DeviceError(f"--nodes {nodes} needs a Slurm job of {nodes} nodes: use it there, or leave it out")
    # Kept alive for them: they meet there. The system chooses the port, so that two trainings never share one.
    store, common = _meeting_point(platform.node(), nodes * count)
    srun = ["srun", f"--nodes={nodes}", f"--ntasks={nodes * count}", f"--ntasks-per-node={count}"]
    srun += [f"--cpus-per-task={threads}", "--cpu-bind=q", f"--wait={STRAGGLERS}", "sh", "-c", RANKED, "sh"]
    command = [*srun, sys.executable, "-m", "stylex", *arguments]
    with Interruption(None) as interruption, Popen(command, env={**os.environ, **common}) as steps:
        code = _watch([steps], interruption)[0] or 0
    del store
    return code if code >= 0 else 128 - code


def _meeting_point(host: str, size: int) -> tuple[TCPStore, dict[str, str]]:
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
        time.sleep(GLANCE)
    return codes


def ignore_repeated_signals() -> None:
    """Let a process that another one started ignore signals while nobody catches them.

    A scheduler signals all processes of a job, and the one that started them passes it on: the second must not kill.
    """
    if "LOCAL_RANK" in os.environ:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
