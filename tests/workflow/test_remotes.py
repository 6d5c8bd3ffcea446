"""`dvc push` and `dvc pull` against an SSH server and an S3 server (docs/dvc.md); test_sync.py does so with a folder.

The servers listen on a free port of this machine, and end with the test that started them.
"""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

MOTO = ["moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"]
WITHIN = 60.0  # seconds in which a server must answer


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def served(command: list[str], answers: Callable[[], bool], log: Path) -> Iterator[None]:
    """Run a server until the block ends."""
    with log.open("w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + WITHIN
        while not answers():
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield
    finally:
        server.terminate()
        server.wait(timeout=20)


def ssh_daemon() -> str | None:
    return shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")


@contextmanager
def ssh_server(daemon: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """Serve SFTP with keys of its own; yield the URL of an empty folder and the private key of its user."""
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(command, check=True)
    if os.getuid() == 0:  # Debian's service makes it at boot
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port = free_port()
    settings = folder / "sshd_config"
    settings.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {folder / 'host'}\nAuthorizedKeysFile {folder / 'user.pub'}\n"
        "PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        "Subsystem sftp internal-sftp\n"
    )

    def answers() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    store = folder / "store"
    store.mkdir()
    with served([daemon, "-D", "-e", "-f", str(settings)], answers, folder / "sshd.log"):
        yield f"ssh://{getpass.getuser()}@127.0.0.1:{port}{store}", folder / "user"


def install_moto(environment: Path) -> str | None:
    """Install moto, which stands in for S3, in an environment of its own; return why that failed, if it did."""
    installed = environment / "installed"
    if installed.is_file() and installed.read_text() == "\n".join(MOTO):
        return None
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(environment)], check=True)
    command = [str(environment / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", "--retries", "1"]
    result = subprocess.run([*command, *MOTO], capture_output=True, text=True, check=False)
    if result.returncode == 0:
        installed.write_text("\n".join(MOTO))
        return None
    return f"pip cannot install {MOTO[0]}: {result.stderr.strip().splitlines()[-1]}"


@contextmanager
def s3_server(environment: Path, folder: Path) -> Iterator[str]:
    """Serve S3 with a bucket `bucket`; yield the endpoint."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            with urllib.request.urlopen(endpoint, timeout=5):
                return True
        except OSError:  # nobody listens yet, or it is still starting
            return False

    command = [str(environment / "bin/moto_server"), "--host", "127.0.0.1", "--port", str(port)]
    with served(command, answers, folder / "moto.log"):
        request = urllib.request.Request(f"{endpoint}/bucket", method="PUT")
        with urllib.request.urlopen(request, timeout=20):
            yield endpoint


def assert_travels(recorded, tmp_path, url: str, options: dict[str, str], environment: dict[str, str]) -> None:
    """Push from a copy of the author's project, pull into a clone of it: Snakemake then has nothing to do there."""
    author = recorded.project.clone_to(tmp_path / "author")
    author.done("dvc", "pull")
    author.done("dvc", "remote", "add", "--force", "--default", "store", url)
    author.commit("Another remote")
    colleague = author.clone_to(tmp_path / "colleague")
    for project in (author, colleague):
        project.environment |= environment
        for key, value in options.items():  # in .dvc/config.local, which git ignores
            project.done("dvc", "remote", "modify", "--local", "store", key, value)
    assert "files pushed" in author.done("dvc", "push")
    assert "Everything is up to date." in author.done("dvc", "push")
    colleague.done("dvc", "pull")
    colleague.assert_in_step()
    assert colleague.done("git", "status", "--porcelain") == ""


def test_ssh(recorded, tmp_path):
    daemon = ssh_daemon()
    if daemon is None:
        pytest.skip("no sshd here: `apt-get install openssh-server`")
    with ssh_server(daemon, tmp_path) as (url, key):
        assert_travels(recorded, tmp_path, url, {"keyfile": str(key)}, {"HOME": str(tmp_path)})
    assert any((tmp_path / "store/files/md5").iterdir())


def test_s3(recorded, tmp_path, request):
    environment = request.config.cache.mkdir("moto")
    if problem := install_moto(environment):
        pytest.skip(problem)
    credentials = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    with s3_server(environment, tmp_path) as endpoint:
        assert_travels(recorded, tmp_path, "s3://bucket/stylex", {"endpointurl": endpoint}, credentials)
        with urllib.request.urlopen(f"{endpoint}/bucket?list-type=2&prefix=stylex/files/md5", timeout=20) as answer:
            assert b"<Key>stylex/files/md5/" in answer.read()
