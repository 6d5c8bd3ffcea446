"""A loopback HTTP server that misbehaves on request, small disks, and tiny datasets in the real file formats."""

import gzip
import hashlib
import multiprocessing
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy
import pytest

from stylex.artifacts import sha256, write_json
from stylex.datasets import image_files, prepare
from stylex.datasets.transfer import PinnedFile


@dataclass
class Reply:
    """What the server does for one path."""

    body: bytes
    sent: int | None = None  # bytes of the answer that are sent before the connection is closed
    announced: int | None = None  # Content-Length that is said; -1: none
    ranges: bool = True
    status: int | None = None
    stall: threading.Event | None = None  # waited for before the body
    hold: threading.Event | None = None  # waited for before a connection is closed early
    location: str | None = None  # address that the answer sends to


@dataclass
class Server:
    url: str
    replies: dict[str, Reply | list[Reply]] = field(default_factory=dict)  # a list: one a request, the last for ever
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range or what was posted


@pytest.fixture(autouse=True)
def no_shared_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STYLEX_DATA_CACHE", raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # noqa: N802
            wanted = self.headers["Range"]
            posted = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
            state.requests.append((self.path, posted or wanted))
            reply = state.replies.get(self.path, Reply(b"not here", status=404))
            if isinstance(reply, list):
                reply = reply.pop(0) if len(reply) > 1 else reply[0]
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if reply.ranges and wanted else 0
            body = reply.body[start:]
            self.send_response(reply.status or (206 if start else 200))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(reply.body) - 1}/{len(reply.body)}")
            if reply.location:
                self.send_header("Location", reply.location)
            if reply.announced != -1:
                self.send_header("Content-Length", str(len(body) if reply.announced is None else reply.announced))
            self.end_headers()
            if reply.stall:
                reply.stall.wait(60)
            self.wfile.write(body[: reply.sent])
            if reply.hold:
                reply.hold.wait(60)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Server(f"http://127.0.0.1:{http.server_port}/")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def race() -> Callable[..., list[int | None]]:
    """Call a function in two processes, set an event once one waits for the other's lock, and return exit codes."""

    def run(function: Callable[..., object], arguments: tuple[object, ...], go_on: threading.Event) -> list[int | None]:
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=function, args=arguments) for _ in range(2)]
        for process in processes:
            process.start()
        waiting, end = {("->", str(process.pid)) for process in processes}, time.monotonic() + 60
        while not waiting & {(row[1], row[5]) for row in map(str.split, Path("/proc/locks").read_text().splitlines())}:
            assert time.monotonic() < end, "no process waits for a lock"
            time.sleep(0.05)
        go_on.set()
        for process in processes:
            process.join(60)
        return [process.exitcode for process in processes]

    return run


def pin(name: str, body: bytes) -> PinnedFile:
    return PinnedFile(name, len(body), hashlib.sha256(body).hexdigest())


def held(root: Path, *arguments: Any) -> None:
    """Prepare; the first file is read when somebody has opened the gate."""
    read, gate = image_files.read_pixels, root / "gate"

    def read_behind_the_gate(*of_file: Any) -> Any:
        gate.read_bytes()
        image_files.read_pixels = read
        return read(*of_file)

    image_files.read_pixels = read_behind_the_gate
    prepare(root, *arguments)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 KiB (mounting needs root)."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("no mount command on this machine")
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def idx(array: numpy.ndarray) -> bytes:
    """The gzipped IDX form of an array of bytes, written independently of the reader."""
    shape = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + shape + array.tobytes(), mtime=0)


def write_raw(folder: Path, files: dict[str, bytes]) -> None:
    """Write downloaded files and the record that `download` leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in files.items():
        (folder / name).write_bytes(body)
    pins = {name: {"size": len(body), "sha256": sha256(folder / name)} for name, body in files.items()}
    write_json(folder / "source.json", {"dataset": folder.name, "source": "test", "files": pins, "origins": {}})


@pytest.fixture
def garments(root: Path) -> Path:
    """A project with 100 + 20 random 'Fashion-MNIST' images as downloaded."""
    random = numpy.random.default_rng(0)
    files = {}
    for prefix, count in (("train", 100), ("t10k", 20)):
        images = random.integers(0, 256, (count, 28, 28), numpy.uint8)
        files[f"{prefix}-images-idx3-ubyte.gz"] = idx(images)
        files[f"{prefix}-labels-idx1-ubyte.gz"] = idx((numpy.arange(count) % 10).astype(numpy.uint8))
    write_raw(root / "data" / "raw" / "fashion_mnist", files)
    return root


reply_fixture = pytest.fixture(name="reply")(lambda: Reply)
pin_fixture = pytest.fixture(name="pin")(lambda: pin)
held_fixture = pytest.fixture(name="held")(lambda: held)
idx_fixture = pytest.fixture(name="idx")(lambda: idx)
write_raw_fixture = pytest.fixture(name="write_raw")(lambda: write_raw)
