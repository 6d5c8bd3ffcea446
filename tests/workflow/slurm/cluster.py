"""A private, real Slurm cluster on this machine: two nodes, fake GPUs, munge; no systemd, no database, nothing in /etc.

`python cluster.py FOLDER` starts it, says "ready", and stops it when its stdin ends. So it ends with whoever started
it, however that ended. It is the subreaper of all that its daemons start: what is left at the end is known and stopped,
and nothing else. Commands of Slurm that are found through FOLDER/bin talk to it. slurm.conf(5), gres.conf(5), prctl(2).
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

NODES, CPUS, MEMORY_MB, GPUS = 2, 8, 64000, 2
COMMANDS = ("sbatch", "srun", "scancel", "squeue", "sinfo", "scontrol", "sacct", "sacctmgr", "sshare")
CGROUPS = Path("/sys/fs/cgroup")
PR_SET_CHILD_SUBREAPER = 36

# A requeued job waits until its old credential has expired: 120 s by default, hence cred_expire. Jobs of the partition
# `urgent` push those of `main` out, which go back into the queue. `spare` ends a job at its time limit, `main` only
# 20 minutes later: on a busy machine a job of a minute must come as far as stopping by itself.
CONFIGURATION = """
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=10
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/{track}
TaskPlugin=task/{task}
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
{overuse}
AccountingStorageType=accounting_storage/none
MinJobAge=36000
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
DefMemPerCPU=500
PartitionName=main Nodes=ALL Default=YES MaxTime=2-0 DefaultTime=10 State=UP PriorityTier=1 OverTimeLimit=20
PartitionName=spare Nodes=ALL MaxTime=2-0 State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=2-0 State=UP PriorityTier=10 PreemptMode=OFF
"""
NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory={memory}"
    " Gres=gpu:fake:{gpus}"
)


def writable(controller: str) -> bool:
    """Whether this machine lets us make cgroups (version 1) of a controller."""
    probe = CGROUPS / controller / f"probe-{os.getpid()}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_for(what: Callable[[], bool], seconds: float) -> bool:
    """Wait until `what` holds; return whether it did."""
    end = time.monotonic() + seconds
    while not (done := what()) and time.monotonic() < end:
        time.sleep(0.1)
    return done


class Cluster:
    """The daemons and their folder, which must have a short path: a Unix socket's has at most 107 characters."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.nodes = [f"n{os.getpid()}-{index}" for index in range(1, NODES + 1)]  # they name cgroups: once a machine
        self.daemons: list[subprocess.Popen[bytes]] = []
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def configure(self) -> None:
        """Write the files that the daemons read, and the commands."""
        for each in ("state", "munge", "gpu", "bin", *(f"spool/{name}" for name in self.nodes)):
            (self.folder / each).mkdir(parents=True)
        (self.folder / "munge/key").write_bytes(secrets.token_bytes(128))
        (self.folder / "munge/key").chmod(0o400)
        host, ports = socket.gethostname().split(".")[0], free_ports(1 + NODES)
        limited = writable("freezer") and writable("memory")
        values = {"folder": self.folder, "host": host, "ports": ports}
        values |= {"track": "cgroup" if writable("freezer") else "pgid", "task": "cgroup" if limited else "none"}
        values["overuse"] = "" if limited else "JobAcctGatherParams=OverMemoryKill"
        nodes = [
            NODE.format(name=name, host=host, port=port, cpus=CPUS, memory=MEMORY_MB, gpus=GPUS)
            for name, port in zip(self.nodes, ports[1:], strict=True)
        ]
        (self.folder / "slurm.conf").write_text("\n".join([CONFIGURATION.format(**values), *nodes, ""]))
        (self.folder / "cgroup.conf").write_text(
            f"CgroupPlugin=cgroup/v1\nCgroupMountpoint={CGROUPS}\nCgroupAutomount=no\nConstrainCores=no\n"
            f"ConstrainDevices=no\nConstrainRAMSpace={'yes' if limited else 'no'}\n"
        )
        (self.folder / "gres.conf").write_text(f"Name=gpu Type=fake {self.gpus()}\n")
        self.write_commands()

    def gpus(self) -> str:
        """Clones of /dev/null, by which Slurm sets CUDA_VISIBLE_DEVICES; where we may not make them, a number."""
        try:
            for index in range(GPUS):
                os.mknod(self.folder / f"gpu/{index}", 0o020666, os.makedev(1, 3))
        except OSError:
            return f"Count={GPUS}"
        return f"File={self.folder}/gpu/[0-{GPUS - 1}]"

    def write_commands(self) -> None:
        """Slurm's commands with the address of this cluster: Snakemake removes SLURM_CONF inside of jobs, not PATH."""
        for name in COMMANDS:
            command = self.folder / "bin" / name
            command.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {shutil.which(name)} "$@"\n')
            command.chmod(0o755)

    def spawn(self, *command: str) -> None:
        """Start a daemon that ends when this process does."""
        log = (self.folder / f"{command[0]}.out").open("ab")
        bound = ["setpriv", "--pdeathsig", "TERM", *command]
        self.daemons.append(
            subprocess.Popen(bound, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        )

    def succeeds(self, *command: str) -> bool:
        """Whether a command of Slurm or munge ends well."""
        return subprocess.run(command, env=self.environment, capture_output=True, timeout=30).returncode == 0

    def output(self, *command: str) -> str:
        """What a command of Slurm says."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30).stdout

    def idle(self) -> bool:
        """Whether all nodes wait for jobs."""
        return self.output("sinfo", "-h", "-N", "-p", "main", "-t", "idle", "-o", "%N").split() == self.nodes

    def start(self) -> None:
        """Start the daemons; raise `SystemExit` with their logs when they do not come up."""
        self.configure()
        munge, conf = self.folder / "munge", str(self.folder / "slurm.conf")
        files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        self.spawn("munged", "-F", *(f"--{option}={munge / name}" for option, name in files.items()))
        up = wait_for(lambda: self.succeeds("munge", "-n", "-S", str(munge / "socket")), 30)
        self.spawn("slurmctld", "-D", "-f", conf)
        up = up and wait_for(lambda: self.succeeds("scontrol", "ping"), 30)
        for name in self.nodes:
            self.spawn("slurmd", "-D", "-f", conf, "-N", name)
        if not (up and wait_for(self.idle, 60)):
            raise SystemExit(
                "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log"))) or "munged failed"
            )

    def stop(self) -> None:
        """Cancel what runs, end the daemons, then whatever they left, and remove the folder."""
        subprocess.run(["scancel", "--signal=KILL", "--full", "--user=root"], env=self.environment, timeout=30)
        subprocess.run(["scancel", "--user=root"], env=self.environment, timeout=30)
        wait_for(lambda: not self.output("squeue", "-h"), 20)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(15)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        wait_for(lambda: not kill_children(), 10)
        shutil.rmtree(self.folder)
        for name in self.nodes:
            for group in CGROUPS.glob(f"*/slurm_{name}"):
                for each in sorted(group.rglob("*/"), reverse=True):
                    each.rmdir()
                group.rmdir()


def kill_children() -> bool:
    """Kill and reap the processes that lost their parents and became our children; return whether there were any."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    for child in map(int, listed):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return bool(listed)


def main(folder: Path) -> None:
    """Keep a cluster in an empty folder until stdin ends."""
    cluster = Cluster(folder)
    try:
        cluster.start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()
    finally:
        cluster.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
