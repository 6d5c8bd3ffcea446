import hashlib
import subprocess
import sys
import threading

import pytest

from stylex.datasets.pins import PinnedFile
from stylex.datasets.transfer import LARGE, fetch
from stylex.errors import ChecksumError, DownloadError, StorageError

BODY = bytes(range(256)) * 2000
FILE = PinnedFile("images.gz", len(BODY), hashlib.sha256(BODY).hexdigest())
SPANS = ["bytes=0-127999", "bytes=128000-255999", "bytes=256000-383999", "bytes=384000-511999"]


@pytest.fixture
def target(tmp_path):
    return tmp_path / "raw" / FILE.name


def left_over(target):
    return sorted(path.name for path in target.parent.iterdir())


def test_fetches_and_leaves_nothing_else(server, reply, target):
    server.replies["/images.gz"] = reply(BODY)
    fetch(server.url + "images.gz", FILE, target)
    assert target.read_bytes() == BODY
    assert left_over(target) == ["images.gz"]
    assert server.requests == [("/images.gz", None)]


def test_resumes_with_the_missing_bytes_only(server, reply, target):
    server.replies["/images.gz"] = reply(BODY, sent=100_000)
    with pytest.raises(DownloadError, match="images.gz cannot be read"):
        fetch(server.url + "images.gz", FILE, target)
    assert left_over(target) == ["images.gz.part"]
    kept = (target.parent / "images.gz.part").stat().st_size
    assert kept == 100_000
    server.replies["/images.gz"] = reply(BODY)
    fetch(server.url + "images.gz", FILE, target)
    assert server.requests[-1] == ("/images.gz", f"bytes={kept}-")
    assert target.read_bytes() == BODY


def test_complete_part_is_not_asked_for_again(server, target):
    target.parent.mkdir()
    target.with_name("images.gz.part").write_bytes(BODY)
    fetch(server.url + "images.gz", FILE, target)
    assert server.requests == []
    assert left_over(target) == ["images.gz"]


def test_server_without_ranges_starts_over(server, reply, target):
    target.parent.mkdir()
    target.with_name("images.gz.part").write_bytes(BODY[:1000])
    server.replies["/images.gz"] = reply(BODY, ranges=False)
    fetch(server.url + "images.gz", FILE, target)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("stale", [b"x" * 1000, b"x" * len(BODY), b"x" * (len(BODY) + 5)])
def test_part_of_another_file_is_replaced(server, reply, target, stale):
    target.parent.mkdir()
    target.with_name("images.gz.part").write_bytes(stale)
    server.replies["/images.gz"] = reply(BODY)
    fetch(server.url + "images.gz", FILE, target)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("announced", [-1, 300_000, len(BODY) + 1000])
def test_truncated_download_says_how_much_came(server, reply, target, announced):
    server.replies["/images.gz"] = reply(BODY, sent=300_000, announced=announced)
    with pytest.raises(DownloadError, match=r"ended after 300000 of 512000 bytes|cannot be read: peer closed"):
        fetch(server.url + "images.gz", FILE, target)
    assert not target.exists()


@pytest.mark.parametrize("wrong", [b"x" + BODY[1:], BODY + b"more"])
def test_wrong_content_leaves_nothing(server, reply, target, wrong):
    server.replies["/images.gz"] = reply(wrong)
    with pytest.raises(ChecksumError, match=f"images.gz from http.* has sha256 .{{64}}, expected {FILE.sha256}"):
        fetch(server.url + "images.gz", FILE, target)
    assert left_over(target) == []


def test_endless_body_is_cut(server, reply, target):
    server.replies["/images.gz"] = reply(BODY * 20)
    with pytest.raises(ChecksumError):
        fetch(server.url + "images.gz", FILE, target)
    assert left_over(target) == []


def test_error_status_and_closed_port(server, target):
    with pytest.raises(DownloadError, match="answered 404 Not Found"):
        fetch(server.url + "other.gz", FILE, target)
    with pytest.raises(DownloadError, match="cannot be read"):
        fetch("http://127.0.0.1:9/images.gz", FILE, target)


def test_silent_server_times_out(server, reply, target, monkeypatch):
    monkeypatch.setattr("stylex.datasets.transfer.READ_TIMEOUT", 0.2)
    go_on = threading.Event()
    server.replies["/images.gz"] = reply(BODY, stall=go_on)
    with pytest.raises(DownloadError, match="timed out"):
        fetch(server.url + "images.gz", FILE, target)
    go_on.set()


def test_full_disk_keeps_earlier_files(server, reply, small_disk):
    (small_disk / "earlier").write_bytes(b"kept")
    server.replies["/images.gz"] = reply(BODY)
    with pytest.raises(StorageError, match="images.gz: No space left on device"):
        fetch(server.url + "images.gz", FILE, small_disk / "images.gz")
    assert (small_disk / "earlier").read_bytes() == b"kept"
    assert not (small_disk / "images.gz").exists()


def test_read_only_target(server, reply, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    server.replies["/images.gz"] = reply(BODY)
    with pytest.raises(StorageError, match="Read-only file system"):
        fetch(server.url + "images.gz", FILE, small_disk / "raw" / "images.gz")


@pytest.mark.parametrize("tenth", range(1, 10))
def test_dropped_at_a_tenth_then_resumed(server, reply, target, tenth):
    kept = len(BODY) * tenth // 10
    server.replies["/images.gz"] = [reply(BODY, sent=kept), reply(BODY)]
    with pytest.raises(DownloadError, match="cannot be read") as caught:
        fetch(server.url + "images.gz", FILE, target)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    assert left_over(target) == ["images.gz.part"]
    fetch(server.url + "images.gz", FILE, target)
    assert server.requests[-1] == ("/images.gz", f"bytes={kept}-")
    assert target.read_bytes() == BODY and left_over(target) == ["images.gz"]


def test_dropped_at_every_tenth(server, reply, target):
    server.replies["/images.gz"] = reply(BODY, sent=len(BODY) // 10)
    for _ in range(9):
        with pytest.raises(DownloadError, match="cannot be read"):
            fetch(server.url + "images.gz", FILE, target)
        assert not target.exists()
    fetch(server.url + "images.gz", FILE, target)
    assert target.read_bytes() == BODY
    assert len(server.requests) == 10


@pytest.mark.parametrize("status", [404, 503])
def test_server_that_recovers(server, reply, target, status):
    server.replies["/images.gz"] = [reply(b"later", status=status), reply(BODY)]
    with pytest.raises(DownloadError, match=f"answered {status}"):
        fetch(server.url + "images.gz", FILE, target)
    assert left_over(target) == []
    fetch(server.url + "images.gz", FILE, target)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize(("large", "requests"), [(LARGE, [None]), (1, ["bytes=0-0", *SPANS])])
def test_two_processes_want_the_same_file(server, reply, target, large, requests, race):
    """The server holds the first back until the second waits for its lock; the second then asks for nothing."""
    go_on = threading.Event()
    server.replies["/images.gz"] = reply(BODY, stall=go_on)
    assert race(fetch, (server.url + "images.gz", FILE, target, large), go_on) == [0, 0]
    assert sorted(wanted or "" for _, wanted in server.requests) == sorted(wanted or "" for wanted in requests)
    assert target.read_bytes() == BODY and left_over(target) == ["images.gz"]


def test_limit_on_the_size_of_files(server, reply, target):
    """What a quota does where nothing can be mounted: a limit of the process, met by a real write."""
    server.replies["/images.gz"] = reply(BODY)
    code = (
        "import resource, signal, sys; from pathlib import Path; from stylex.datasets.transfer import fetch\n"
        "from stylex.datasets.pins import PinnedFile\n"
        "from stylex.errors import StorageError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))\n"
        "try: fetch(sys.argv[1], PinnedFile('images.gz', int(sys.argv[2]), sys.argv[3]), Path(sys.argv[4]))\n"
        "except StorageError as error: sys.exit(str(error))"
    )
    arguments = [server.url + "images.gz", str(len(BODY)), str(FILE.sha256), str(target)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "images.gz: File too large" in done.stderr
    assert not target.exists()
