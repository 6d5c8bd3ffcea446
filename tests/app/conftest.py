"""A real server, as a process of its own, on the exported digits."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
MODEL = REPOSITORY / "models/mnist"
MEMORY = 1800.0  # MB, of docs/app.md: the most on a CPU with the digits
DIGIT = MODEL / "examples/0.png"


@dataclass(frozen=True)
class App:
    """A running `stylex app`."""

    process: subprocess.Popen[str]
    url: str  # as printed
    temporary: Path  # its TMPDIR
    errors: list[str]  # lines on stderr so far

    @property
    def root(self) -> str:
        return self.url.partition("?")[0].rstrip("/")

    def page(self) -> str:
        """Open a page and return its identity."""
        answer = httpx.get(self.root, timeout=60)
        assert answer.status_code == 200, answer.text
        return re.findall(r"'client_id': '([\w-]+)'", answer.text)[0]

    def upload(self, content: bytes, name: str = "digit.png", page: str | None = None) -> httpx.Response:
        address = f"{self.root}/upload/{page or self.page()}"
        return httpx.post(address, content=content, headers={"x-name": name}, timeout=120)

    def memory(self, kind: str = "VmHWM") -> float:
        """Megabytes in memory: the most so far, or VmRSS now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(rf"^{kind}:\s+(\d+) kB$", status, re.MULTILINE)[0]) / 1000


@contextmanager
def running(folder: Path, *arguments: str, model: str = str(MODEL)) -> Iterator[App]:
    """Start `stylex app`, with a free port unless one is given; end it as Ctrl+C does."""
    folder.mkdir(exist_ok=True)
    if "--port" not in arguments:
        arguments = (*arguments, "--port", str(free_port()))
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "stylex", "app", model, *arguments],
        cwd=REPOSITORY, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    errors: list[str] = []
    reader = threading.Thread(target=errors.extend, args=(process.stderr,))
    reader.start()
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), errors
        yield App(process, url, folder, errors)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        reader.join()
        process.stdout.close()
        process.stderr.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    image.save(content, kind)
    return content.getvalue()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    with running(tmp_path_factory.mktemp("app")) as started:
        yield started
        assert started.process.poll() is None and started.memory() < MEMORY
