"""A file over several connections, and what goes wrong with them: the right file at the end, or one clear line."""

import hashlib
import json
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from stylex.datasets.pins import PinnedFile
from stylex.datasets.transfer import fetch
from stylex.errors import ChecksumError, DownloadError, StorageError

BODY = bytes(range(256)) * 2000
OTHER = b"x" * len(BODY)  # another version, of the same size
FILE = PinnedFile("images.gz", len(BODY), hashlib.sha256(BODY).hexdigest())
PROBE = "bytes=0-0"
SPANS = ["bytes=0-127999", "bytes=128000-255999", "bytes=256000-383999", "bytes=384000-511999"]


@pytest.fixture
def target(tmp_path):
    return tmp_path / "raw" / FILE.name


@pytest.fixture
def get(server, target):
    """Fetch in spans, and say what is in the folder then."""

    def run():
        fetch(server.url + "images.gz", FILE, target, large=1)
        return sorted(path.name for path in target.parent.iterdir())

    return run


def asked(server):
    return [wanted for _, wanted in server.requests]


def length(wanted):
    first, last = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted).groups()
    return int(last) + 1 - int(first)


def record(target):
    return json.loads(target.with_name("images.gz.part.json").read_text())


@pytest.mark.parametrize("version", [None, '"1"', 'W/"1"', "Sat, 01 Jan 2022 00:00:00 GMT"])
def test_each_connection_fetches_its_span(server, reply, target, get, version):
    server.replies["/images.gz"] = reply(BODY, version=version)
    assert get() == ["images.gz"]
    assert target.read_bytes() == BODY
    assert asked(server)[0] == PROBE and sorted(asked(server)[1:]) == SPANS


@pytest.mark.parametrize("tenth", range(1, 10))
def test_dropped_at_a_tenth_then_resumed(server, reply, target, get, tenth):
    server.replies["/images.gz"] = reply(BODY, cut=len(BODY) * tenth // 10)
    with pytest.raises(DownloadError, match="cannot be read") as caught:
        get()
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    assert not target.exists()
    missing = sum(end - position for position, end in record(target))
    server.replies["/images.gz"] = reply(BODY)
    server.requests.clear()
    assert get() == ["images.gz"]
    assert target.read_bytes() == BODY
    assert sum(map(length, asked(server)[1:])) == missing < len(BODY)


def test_every_connection_dropped_after_a_tenth(server, reply, target, get):
    server.replies["/images.gz"] = reply(BODY, sent=len(BODY) // 10)
    for _ in range(12):  # three answers a span
        try:
            assert get() == ["images.gz"]
            break
        except DownloadError:
            assert not target.exists()
    assert target.read_bytes() == BODY


def test_killed_halfway_then_resumed_with_the_missing_bytes_only(server, reply, target, get):
    go_on = threading.Event()
    server.replies["/images.gz"] = reply(BODY, sent=64_000, hold=go_on)
    code = (
        "import sys; from pathlib import Path; from stylex.datasets.transfer import fetch\n"
        "from stylex.datasets.pins import PinnedFile\n"
        "fetch(sys.argv[1], PinnedFile('images.gz', int(sys.argv[2]), sys.argv[3]), Path(sys.argv[4]), 1)"
    )
    arguments = [server.url + "images.gz", str(len(BODY)), str(FILE.sha256), str(target)]
    halves = [[start + 64_000, start + 128_000] for start in range(0, len(BODY), 128_000)]
    with subprocess.Popen([sys.executable, "-c", code, *arguments]) as process:
        end = time.monotonic() + 60
        while not target.with_name("images.gz.part.json").is_file() or record(target) != halves:
            assert time.monotonic() < end and process.poll() is None, "it does not record what it has"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    go_on.set()
    assert process.returncode == -signal.SIGKILL and not target.exists()
    server.replies["/images.gz"] = reply(BODY)
    server.requests.clear()
    assert get() == ["images.gz"]
    assert target.read_bytes() == BODY
    assert sorted(asked(server)[1:]) == sorted(f"bytes={position}-{end - 1}" for position, end in halves)


def test_beginning_of_the_file_is_continued_in_spans(server, reply, target, get):
    target.parent.mkdir()
    target.with_name("images.gz.part").write_bytes(BODY[:112_000])
    server.replies["/images.gz"] = reply(BODY)
    assert get() == ["images.gz"]
    assert target.read_bytes() == BODY
    assert sorted(asked(server)[1:])[0] == "bytes=112000-211999"
    assert sum(map(length, asked(server)[1:])) == 400_000


@pytest.mark.parametrize("content", ["", "[[0, 5, 7]]", "[[0, 600000]]", "[]", "[[128000, 512000]]"])
@pytest.mark.parametrize("size", [0, len(BODY)])
def test_record_that_is_wrong(server, reply, target, get, content, size):
    target.parent.mkdir()
    target.with_name("images.gz.part").write_bytes(bytes(size))
    target.with_name("images.gz.part.json").write_text(content)
    server.replies["/images.gz"] = reply(BODY)
    assert get() == ["images.gz"]
    assert target.read_bytes() == BODY


def test_server_that_refuses_one_of_several_connections(server, reply, target, get):
    server.replies["/images.gz"] = [reply(BODY), reply(b"", status=503), reply(BODY)]
    assert get() == ["images.gz"]
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("probed", [{"ranges": False}, {"total": len(BODY) + 1}, {}])
def test_server_that_sends_the_whole_file(server, reply, target, get, probed):
    server.replies["/images.gz"] = [reply(BODY, **probed), reply(BODY, ranges=False)]
    assert get() == ["images.gz"]
    assert target.read_bytes() == BODY
    assert asked(server)[0] == PROBE and asked(server)[-1] is None


@pytest.mark.parametrize(
    "versions", [('"1"', '"2"'), ("Sat, 01 Jan 2022 00:00:00 GMT", "Sun, 02 Jan 2022 00:00:00 GMT")]
)
def test_file_that_is_replaced_between_spans(server, reply, target, get, versions):
    old, new = versions
    server.replies["/images.gz"] = [reply(OTHER, version=old), reply(OTHER, version=old), reply(BODY, version=new)]
    assert get() == ["images.gz"]
    assert target.read_bytes() == BODY
    assert asked(server)[-1] is None


def test_mixture_of_versions_that_nothing_tells_apart(server, reply, target, get):
    server.replies["/images.gz"] = [reply(OTHER), reply(OTHER), reply(BODY)]
    assert get() == ["images.gz"]
    assert target.read_bytes() == BODY
    assert sorted(asked(server)[1:-1]) == SPANS and asked(server)[-1] is None


@pytest.mark.parametrize(
    "lies", [{"announced": 100}, {"cut": 90_000, "announced": -1}, {"cut": 90_000, "announced": 200_000}]
)
def test_wrong_length_of_a_span(server, reply, target, get, lies):
    server.replies["/images.gz"] = [reply(BODY), reply(BODY, **lies)]
    with pytest.raises(DownloadError, match=r"ended after \d+ of 512000 bytes|cannot be read: peer closed") as caught:
        get()
    assert "\n" not in str(caught.value) and not target.exists()


def test_wrong_bytes_leave_nothing(server, reply, target, get):
    server.replies["/images.gz"] = reply(OTHER)
    with pytest.raises(ChecksumError, match=f"images.gz from http.* has sha256 .{{64}}, expected {FILE.sha256}"):
        get()
    assert list(target.parent.iterdir()) == []
    assert asked(server)[-1] is None


def test_closed_port_and_error_status_keep_what_has_come(server, reply, target, get):
    server.replies["/images.gz"] = reply(BODY, cut=300_000)
    with pytest.raises(DownloadError, match="cannot be read"):
        get()
    before = record(target)
    server.replies["/images.gz"] = reply(b"", status=404)
    with pytest.raises(DownloadError, match="answered 404"):
        get()
    with pytest.raises(DownloadError, match="cannot be read"):
        fetch("http://127.0.0.1:9/images.gz", FILE, target, large=1)
    assert record(target) == before


def test_full_disk(server, reply, small_disk):
    (small_disk / "earlier").write_bytes(b"kept")
    server.replies["/images.gz"] = reply(BODY)
    with pytest.raises(StorageError, match=r"images.gz.*: No space left on device") as caught:
        fetch(server.url + "images.gz", FILE, small_disk / "images.gz", large=1)
    assert "\n" not in str(caught.value)
    assert (small_disk / "earlier").read_bytes() == b"kept"
    assert not (small_disk / "images.gz").exists()
