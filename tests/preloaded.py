"""Snakemake and DVC without the seconds of their imports: a process that has imported them forks for each command.

`python preloaded.py FOLDER` makes FOLDER/snakemake and FOLDER/dvc, which go first on PATH, and serves them until its
standard input ends. Each hands over its arguments, folder, environment and standard files, and ends as the fork does,
which runs the real `main` in a session of its own. Nothing of `stylex` is imported: each project has its own.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

CLIENT = """#!{python} -IS
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
told = json.dumps([{program!r}, *sys.argv[1:]]), os.getcwd(), json.dumps(dict(os.environ))
socket.send_fds(server, [b"files"], [0, 1, 2])
server.sendall("\\0".join(told).encode())
server.shutdown(socket.SHUT_WR)
code = int(server.recv(16) or 1)
if code < 0:  # by a signal
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


def run_snakemake() -> int | None:
    from snakemake.cli import main
    from snakemake.workflow import Workflow

    Workflow._rundir = os.getcwd()  # of the import
    return main()


def load() -> dict[str, Callable[[], int | None]]:
    """Import what the two commands import, also what they import late; return what runs them."""
    import dvc.cli
    import dvc.repo.reproduce
    import dvc.repo.status
    import dvc.stage.cache
    import pydantic
    import requests
    import smart_open
    import snakemake.cli

    assert dvc.repo.reproduce and dvc.repo.status and dvc.stage.cache
    assert pydantic and requests and smart_open
    sys.path.append(str(Path(__file__).parents[1]))  # where `make demo` has the plugin for --logger stylex
    snakemake.cli.get_argument_parser()  # imports the plugins
    sys.path.pop()
    return {"snakemake": run_snakemake, "dvc": dvc.cli.main}


def serve(folder: Path) -> list[str]:
    """Answer until standard input ends; in a fork, take over what a client has handed over and return its command."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
        listener.listen(64)
        print("ready", flush=True)  # noqa: T201
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                break
            connection.close()
        else:
            os._exit(0)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, files, _, _ = socket.recv_fds(connection, len(b"files"), 3)
    with connection.makefile() as stream:
        command, place, environment = stream.read().split("\0")
    if process := os.fork():
        os._exit(wait_for(process, connection))
    connection.close()
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    gc.disable()  # a quarter of the time of a plan
    os.chdir(place)
    os.environ.clear()
    os.environ.update(json.loads(environment))
    return json.loads(command)


def wait_for(process: int, client: socket.socket) -> int:
    """Tell the client how a process ended; end it when the client has been ended."""
    handle = os.pidfd_open(process)
    events = select.poll()
    events.register(handle, select.POLLIN)
    events.register(client, select.POLLHUP)
    if handle not in dict(events.poll()):
        os.killpg(process, signal.SIGTERM)
    _, status = os.waitpid(process, 0)
    with suppress(BrokenPipeError):
        client.send(str(os.waitstatus_to_exitcode(status)).encode())
    return 0


if __name__ == "__main__":
    sys.dont_write_bytecode = False
    mains = load()
    for program in mains:
        path = Path(sys.argv[1], program)
        path.write_text(
            CLIENT.format(python=sys.executable, address=str(Path(sys.argv[1], "socket")), program=str(path))
        )
        path.chmod(0o755)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    sys.argv = serve(Path(sys.argv[1]))
    sys.path[0] = str(Path(sys.executable).parent)  # as of the scripts there
    sys.exit(mains[Path(sys.argv[0]).name]())
