"""Files over HTTP and through the shared cache: the right file at the end, or one clear line and nothing wrong."""

import hashlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from stylex.datasets.transfer import CACHE, PinnedFile, fetch
from stylex.errors import ChecksumError, DownloadError, StorageError

BODY = bytes(range(256)) * 2000
FILE = PinnedFile("images.gz", len(BODY), hashlib.sha256(BODY).hexdigest())
MD5 = PinnedFile("images.gz", len(BODY), md5=hashlib.md5(BODY, usedforsecurity=False).hexdigest())
BARE = PinnedFile("images.gz", len(BODY))
UNSIZED = PinnedFile("images.gz", None, FILE.sha256)
FETCH = """
import sys; from pathlib import Path; from stylex.datasets.transfer import PinnedFile, fetch
fetch(sys.argv[1], PinnedFile('images.gz', int(sys.argv[2]), sys.argv[3]), Path(sys.argv[4]))
"""
LIMITED = f"""
import resource, signal, sys; from stylex.errors import StorageError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
try: exec({FETCH!r})
except StorageError as error: sys.exit(str(error))
"""


@pytest.fixture
def target(tmp_path):
    return tmp_path / "raw" / FILE.name


@pytest.fixture
def get(server, target):
    """Fetch, and return the names in the folder then."""

    def run(file=FILE):
        fetch(server.url + file.name, file, target)
        assert target.read_bytes() == BODY
        return left_over(target)

    return run


def left_over(target):
    return sorted(path.name for path in target.parent.iterdir())


@pytest.mark.parametrize("file", [FILE, MD5, UNSIZED])
@pytest.mark.parametrize("kept", [*range(51_200, len(BODY), 51_200), None])
def test_dropped_at_every_tenth_then_resumed_with_the_missing_bytes_only(server, reply, target, get, file, kept):
    if kept is not None:
        server.replies["/images.gz"] = reply(BODY, sent=kept)
        with pytest.raises(DownloadError, match=r"images\.gz cannot be read") as caught:
            get(file)
        assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
        assert left_over(target) == ["images.gz.part"] and target.with_name("images.gz.part").stat().st_size == kept
    server.replies["/images.gz"] = reply(BODY)
    assert get(file) == ["images.gz"]
    assert server.requests[-1] == ("/images.gz", kept and f"bytes={kept}-")


def test_killed_and_resumed(server, reply, target, get):
    go_on, part = threading.Event(), target.with_name("images.gz.part")
    server.replies["/images.gz"] = reply(BODY, sent=300_000, hold=go_on)
    arguments = [server.url + "images.gz", str(len(BODY)), str(FILE.sha256), str(target)]
    with subprocess.Popen([sys.executable, "-c", FETCH, *arguments]) as process:
        end = time.monotonic() + 60
        while not part.is_file() or part.stat().st_size < 250_000:
            assert time.monotonic() < end and process.poll() is None, "it does not write what has come"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    go_on.set()
    kept = part.stat().st_size
    server.replies["/images.gz"] = reply(BODY)
    assert get() == ["images.gz"]
    assert server.requests[-1] == ("/images.gz", f"bytes={kept}-")


@pytest.mark.parametrize("file", [FILE, UNSIZED])
def test_complete_part_is_not_fetched_again(server, reply, target, get, file):
    target.parent.mkdir()
    target.with_name("images.gz.part").write_bytes(BODY)
    server.replies["/images.gz"] = reply(b"", status=416)
    assert get(file) == ["images.gz"]
    assert [wanted for _, wanted in server.requests] == ([] if file.size else [f"bytes={len(BODY)}-"])


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("stale", [BODY[:1000], b"x" * 1000, b"x" * len(BODY), b"x" * (len(BODY) + 5)])
def test_part_of_whatever_file_and_a_server_with_or_without_ranges(server, reply, target, get, stale, ranges):
    target.parent.mkdir()
    target.with_name("images.gz.part").write_bytes(stale)
    server.replies["/images.gz"] = reply(BODY, ranges=ranges)
    assert get() == ["images.gz"]


def test_file_without_digest_is_not_continued(server, reply, target, get):
    server.replies["/images.gz"] = [reply(b"z" * len(BODY), sent=100_000), reply(BODY)]
    with pytest.raises(DownloadError, match="cannot be read"):
        get(BARE)
    assert get(BARE) == ["images.gz"]
    assert [wanted for _, wanted in server.requests] == [None, None]


@pytest.mark.parametrize("file", [FILE, MD5])
@pytest.mark.parametrize("wrong", [b"x" + BODY[1:], BODY + b"more", BODY * 20])
def test_wrong_content_leaves_nothing(server, reply, target, file, wrong):
    server.replies["/images.gz"] = reply(wrong)
    (algorithm, expected), *_ = file.digests.items()
    with pytest.raises(ChecksumError, match=rf"images.gz from http.* has {algorithm} \w+, expected {expected}"):
        fetch(server.url + "images.gz", file, target)
    assert left_over(target) == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            {"sent": 300_000, "announced": -1},
            "ended after 300000 of 512000 bytes: the download is truncated; run again",
        ),
        ({"sent": 300_000, "announced": 300_000}, "ended after 300000 of 512000 bytes"),
        ({"sent": 300_000, "announced": len(BODY) + 1000}, "cannot be read: peer closed"),
        ({"status": 404}, "answered 404 Not Found"),
        ({"status": 503}, "answered 503"),
    ],
)
def test_server_that_fails_is_one_line_and_may_recover(server, reply, target, get, answer, message):
    server.replies["/images.gz"] = [reply(BODY, **answer), reply(BODY)]
    with pytest.raises(DownloadError, match=message) as caught:
        get()
    assert "\n" not in str(caught.value) and not target.exists()
    assert get() == ["images.gz"]


def test_closed_port_and_silent_server(server, reply, target, get, monkeypatch):
    with pytest.raises(DownloadError, match="cannot be read"):
        fetch("http://127.0.0.1:9/images.gz", FILE, target)
    monkeypatch.setattr("stylex.datasets.transfer.READ_TIMEOUT", 0.2)
    go_on = threading.Event()
    server.replies["/images.gz"] = reply(BODY, stall=go_on)
    with pytest.raises(DownloadError, match="timed out"):
        get()
    go_on.set()


def test_two_processes_want_the_same_file(server, reply, target, race):
    """The server holds the first back until the second waits for its lock; the second then asks for nothing."""
    go_on = threading.Event()
    server.replies["/images.gz"] = reply(BODY, stall=go_on)
    assert race(fetch, (server.url + "images.gz", FILE, target), go_on) == [0, 0]
    assert server.requests == [("/images.gz", None)]
    assert target.read_bytes() == BODY and left_over(target) == ["images.gz"]


@pytest.mark.parametrize(
    ("place", "options", "message"),
    [("images.gz", None, "images.gz: No space left on device"), ("raw/images.gz", "remount,ro", "Read-only file")],
)
def test_full_or_read_only_disk_keeps_earlier_files(server, reply, small_disk, place, options, message):
    (small_disk / "earlier").write_bytes(b"kept")
    if options:
        subprocess.run(["mount", "-o", options, str(small_disk)], check=True)
    server.replies["/images.gz"] = reply(BODY)
    with pytest.raises(StorageError, match=message):
        fetch(server.url + "images.gz", FILE, small_disk / place)
    assert (small_disk / "earlier").read_bytes() == b"kept" and not (small_disk / place).exists()


def test_limit_on_the_size_of_files(server, reply, target):
    """What a quota does where nothing can be mounted: a limit of the process, met by a real write."""
    server.replies["/images.gz"] = reply(BODY)
    arguments = [server.url + "images.gz", str(len(BODY)), str(FILE.sha256), str(target)]
    done = subprocess.run([sys.executable, "-c", LIMITED, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not target.exists()
    assert done.stderr.count("\n") == 1 and "images.gz: File too large" in done.stderr


@pytest.fixture
def shared(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def entry(folder, pinned):
    (algorithm, value), *_ = pinned.digests.items()
    return folder / algorithm / value[:2] / value


@pytest.mark.parametrize("file", [FILE, MD5])
def test_second_project_gets_a_link_and_asks_the_server_for_nothing(server, reply, get, shared, tmp_path, file):
    server.replies["/images.gz"] = reply(BODY)
    get(file)
    server.requests.clear()
    assert fetch(server.url, file, tmp_path / "two") == CACHE
    assert server.requests == [] and (tmp_path / "two").samefile(entry(shared, file))


def test_wrong_file_in_the_cache_is_replaced(server, reply, get, shared, caplog):
    wrong = entry(shared, FILE)
    wrong.parent.mkdir(parents=True)
    wrong.write_bytes(b"x" + BODY[1:])
    server.replies["/images.gz"] = reply(BODY)
    get()
    assert "is not images.gz: it is not used" in caplog.text and wrong.read_bytes() == BODY


def test_another_file_system_gets_a_copy(server, reply, pin, shared, small_disk):
    body = BODY[:10_000]
    server.replies["/images.gz"] = reply(body)
    fetch(server.url + "images.gz", pin("images.gz", body), small_disk / "images.gz")
    assert entry(shared, pin("images.gz", body)).read_bytes() == (small_disk / "images.gz").read_bytes() == body
    assert os.stat(small_disk / "images.gz").st_nlink == 1


def test_full_cache_is_a_warning(server, reply, get, monkeypatch, small_disk, caplog):
    monkeypatch.setenv(CACHE, str(small_disk))
    server.replies["/images.gz"] = reply(BODY)
    get()
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1
    assert "images.gz is not shared: cannot write" in caplog.text
