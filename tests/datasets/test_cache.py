import hashlib
import logging
import os

import pytest

from stylex.artifacts import read_json
from stylex.cli import main
from stylex.datasets import cache, download
from stylex.datasets.catalog import DATASETS, DatasetSpec, HttpMirrors
from stylex.datasets.pins import PinnedFile
from stylex.datasets.transfer import LARGE, fetch
from stylex.errors import ChecksumError

BODY = bytes(range(256)) * 2000
MD5 = PinnedFile("images.gz", len(BODY), md5=hashlib.md5(BODY, usedforsecurity=False).hexdigest())
BARE = PinnedFile("images.gz", len(BODY))


@pytest.fixture
def shared(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def catalog(server, reply, pin, monkeypatch):
    """The catalog's set 'mnist' becomes one file on the loopback server; returns the function that changes its pin."""
    server.replies["/images.gz"] = reply(BODY)

    def use(file):
        source = HttpMirrors("test mirrors", (server.url,), (file,))
        monkeypatch.setitem(DATASETS, "mnist", DatasetSpec("mnist", "Toy", ("0", "1"), 1, "MIT", "idx", (source,)))

    use(pin("images.gz", BODY))
    return use


def entry(folder, pinned):
    (algorithm, value), *_ = pinned.digests.items()
    return folder / algorithm / value[:2] / value


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_second_project_asks_the_server_for_nothing(server, catalog, pin, shared, tmp_path, algorithm):
    pinned = pin("images.gz", BODY) if algorithm == "sha256" else MD5
    catalog(pinned)
    download(tmp_path / "one", "mnist")
    server.requests.clear()
    download(tmp_path / "two", "mnist", offline=True)
    assert server.requests == []
    file = tmp_path / "two" / "data" / "raw" / "mnist" / "images.gz"
    assert file.read_bytes() == BODY and file.samefile(entry(shared, pinned))
    assert read_json(file.with_name("source.json"))["origins"] == {"images.gz": cache.VARIABLE}


def test_wrong_file_in_the_cache_is_replaced(server, catalog, pin, shared, tmp_path, caplog):
    wrong = entry(shared, pin("images.gz", BODY))
    wrong.parent.mkdir(parents=True)
    wrong.write_bytes(b"x" + BODY[1:])
    download(tmp_path, "mnist")
    assert "is not images.gz: it is not used" in caplog.text
    assert wrong.read_bytes() == BODY
    assert (tmp_path / "data" / "raw" / "mnist" / "images.gz").read_bytes() == BODY


def test_another_file_system_gets_a_copy(server, catalog, pin, shared, small_disk, reply):
    body = BODY[:10_000]
    server.replies["/images.gz"] = reply(body)
    catalog(pin("images.gz", body))
    download(small_disk, "mnist")
    file = small_disk / "data" / "raw" / "mnist" / "images.gz"
    assert entry(shared, pin("images.gz", body)).read_bytes() == file.read_bytes() == body
    assert os.stat(file).st_nlink == 1


def test_full_cache_is_a_warning(server, catalog, monkeypatch, small_disk, tmp_path, caplog):
    monkeypatch.setenv(cache.VARIABLE, str(small_disk))
    download(tmp_path, "mnist")
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1
    assert "images.gz is not shared: cannot write" in caplog.text
    assert (tmp_path / "data" / "raw" / "mnist" / "images.gz").read_bytes() == BODY


def test_offline_names_what_is_missing_and_where_it_goes(server, catalog, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["download", "--offline", "mnist"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.count("\n") == 1
    for text in ("images.gz (512000 bytes)", "data/raw/mnist", cache.VARIABLE):
        assert text in line
    assert server.requests == []
    (tmp_path / "data" / "raw" / "mnist").mkdir(parents=True)
    (tmp_path / "data" / "raw" / "mnist" / "images.gz").write_bytes(BODY)
    download(tmp_path, "mnist", offline=True)
    assert server.requests == []


def test_md5_alone_refuses_wrong_bytes(server, reply, tmp_path):
    server.replies["/images.gz"] = reply(b"x" + BODY[1:])
    with pytest.raises(ChecksumError, match=f"has md5 .{{32}}, expected {MD5.md5}"):
        fetch(server.url + "images.gz", MD5, tmp_path / "images.gz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pinned", [BARE, MD5])
def test_what_was_seen_is_recorded_and_must_come_again(server, reply, catalog, tmp_path, pinned):
    catalog(pinned)
    file = tmp_path / "data" / "raw" / "mnist" / "images.gz"
    download(tmp_path, "mnist")
    seen = hashlib.sha256(BODY).hexdigest()
    assert read_json(file.with_name("source.json"))["files"]["images.gz"]["sha256"] == seen
    file.write_bytes(b"x" + BODY[1:])
    server.replies["/images.gz"] = reply(b"y" + BODY[1:])
    with pytest.raises(ChecksumError, match=f"expected {seen}"):
        download(tmp_path, "mnist")
    server.replies["/images.gz"] = reply(BODY)
    download(tmp_path, "mnist")
    assert file.read_bytes() == BODY


@pytest.mark.parametrize("large", [LARGE, 1])
def test_file_without_digest_is_not_continued(server, reply, tmp_path, large):
    server.replies["/images.gz"] = [reply(BODY, sent=100_000), reply(b"z" * len(BODY))]
    with pytest.raises(Exception, match="cannot be read"):
        fetch(server.url + "images.gz", BARE, tmp_path / "images.gz", large)
    fetch(server.url + "images.gz", BARE, tmp_path / "images.gz", large)
    assert [wanted for _, wanted in server.requests] == [None, None]
    assert (tmp_path / "images.gz").read_bytes() == b"z" * len(BODY)
