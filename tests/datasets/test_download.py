import logging
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from stylex.artifacts import read_json
from stylex.datasets import download
from stylex.datasets.catalog import DATASETS, FASHION_DEBIAN, DatasetSpec
from stylex.datasets.download import download_from_sources
from stylex.datasets.pins import PinnedFile
from stylex.datasets.sources import HttpMirrors, ManualDownload
from stylex.errors import ChecksumError, ConfigError, DownloadError, StorageError

BODIES = {"a.gz": b"first" * 1000, "b.gz": b"second" * 1000}


@pytest.fixture
def spec(server, pin):
    files = tuple(pin(name, body) for name, body in BODIES.items())
    mirrors = HttpMirrors("test mirrors", (f"{server.url}one/", f"{server.url}two/"), files)
    return DatasetSpec("toy", "Toy", ("0", "1"), 1, "MIT", "idx", (mirrors,))


def serve(server, reply, mirror, bodies=BODIES):
    server.replies |= {f"/{mirror}/{name}": reply(body) for name, body in bodies.items()}


def test_falls_through_to_the_second_mirror(server, reply, spec, tmp_path, caplog):
    serve(server, reply, "two")
    download_from_sources(spec, tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in BODIES} == BODIES
    assert [path for path, _ in server.requests] == ["/one/a.gz", "/two/a.gz", "/two/b.gz"]
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1
    assert "one/a.gz answered 404" in caplog.text
    record = read_json(tmp_path / "source.json")
    assert record["source"] == "test mirrors"
    assert record["origins"]["a.gz"] == f"{server.url}two/a.gz"
    assert record["files"]["a.gz"]["sha256"] == spec.sources[0].files[0].sha256


def test_second_mirror_resumes_what_the_first_began(server, reply, spec, tmp_path):
    serve(server, reply, "two")
    server.replies["/one/a.gz"] = reply(BODIES["a.gz"], sent=2000)
    download_from_sources(spec, tmp_path)
    assert server.requests[:2] == [("/one/a.gz", None), ("/two/a.gz", "bytes=2000-")]
    assert (tmp_path / "a.gz").read_bytes() == BODIES["a.gz"]


def test_second_run_asks_for_nothing(server, reply, spec, tmp_path, caplog):
    serve(server, reply, "one")
    download_from_sources(spec, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    server.requests.clear()
    caplog.set_level(logging.INFO)
    download_from_sources(spec, tmp_path)
    assert server.requests == []
    assert "nothing to do" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_only_a_damaged_file_is_fetched_again(server, reply, spec, tmp_path):
    serve(server, reply, "one")
    download_from_sources(spec, tmp_path)
    (tmp_path / "b.gz").write_bytes(b"damaged")
    server.requests.clear()
    download_from_sources(spec, tmp_path)
    assert [path for path, _ in server.requests] == ["/one/b.gz"]


def test_files_put_there_by_hand_are_accepted(server, spec, tmp_path):
    for name, body in BODIES.items():
        (tmp_path / name).write_bytes(body)
    download_from_sources(spec, tmp_path)
    assert server.requests == []
    assert read_json(tmp_path / "source.json")["origins"] == dict.fromkeys(BODIES, "already there")


def test_wrong_checksum_everywhere_names_the_file_and_leaves_earlier_files(server, reply, spec, tmp_path):
    serve(server, reply, "one", {"a.gz": BODIES["a.gz"], "b.gz": b"forged" * 1000})
    with pytest.raises(ChecksumError, match=r"dataset 'toy' could not be downloaded: no mirror has b.gz: .*has sha256"):
        download_from_sources(spec, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.gz"]


def test_no_source_is_one_line_with_a_remedy(spec, tmp_path):
    with pytest.raises(DownloadError, match="check the network, or put the files into") as caught:
        download_from_sources(spec, tmp_path)
    assert not isinstance(caught.value, ChecksumError)
    assert "\n" not in str(caught.value)


def test_full_disk_is_not_mistaken_for_a_bad_mirror(server, reply, pin, small_disk):
    body = b"large" * 50_000
    mirrors = HttpMirrors("test", (f"{server.url}one/", f"{server.url}two/"), (pin("large.gz", body),))
    serve(server, reply, "one", {"large.gz": body})
    with pytest.raises(StorageError, match="No space left on device"):
        download_from_sources(DatasetSpec("toy", "Toy", ("0", "1"), 1, "MIT", "idx", (mirrors,)), small_disk)
    assert len(server.requests) == 1


def test_unknown_dataset(root: Path):
    with pytest.raises(ConfigError, match="unknown dataset 'cifar'"):
        download(root, "cifar")


def test_title_and_licence_are_said_before_the_first_request_and_recorded(server, reply, spec, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(DownloadError):
        download_from_sources(replace(spec, access="sign the form"), tmp_path)
    said, asked = caplog.messages[:2]
    assert said == "toy: Toy. Licence: MIT. Access: sign the form"
    assert "GET" in asked and "/one/a.gz" in asked
    serve(server, reply, "one")
    download_from_sources(spec, tmp_path)
    record = read_json(tmp_path / "source.json")
    assert (record["title"], record["licence"], record["access"]) == ("Toy", "MIT", None)


def test_two_processes_want_the_same_set(server, reply, spec, tmp_path, race):
    go_on = threading.Event()
    serve(server, reply, "one")
    server.replies["/one/a.gz"] = reply(BODIES["a.gz"], stall=go_on)
    assert race(download_from_sources, (spec, tmp_path), go_on) == [0, 0]
    assert sorted(server.requests) == [("/one/a.gz", None), ("/one/b.gz", None)]
    assert {path.name for path in tmp_path.iterdir()} == {*BODIES, "source.json"}
    assert {name: (tmp_path / name).read_bytes() for name in BODIES} == BODIES


@pytest.fixture
def manual(spec):
    source = ManualDownload("the authors", "https://example.org/toy", "sign the form", spec.sources[0].files)
    return replace(spec, sources=(source,), access="research only")


@pytest.mark.parametrize("offline", [False, True])
def test_what_a_person_must_get_is_one_line(manual, tmp_path, offline):
    (tmp_path / "a.gz").write_bytes(BODIES["a.gz"][:100])
    with pytest.raises(DownloadError) as caught:
        download_from_sources(manual, tmp_path, offline)
    line = str(caught.value)
    assert "\n" not in line
    for text in ("a.gz (5000 bytes, what is there is not it), b.gz (6000 bytes)", "research only", str(tmp_path),
                 "on https://example.org/toy sign the form", "`stylex download toy`"):  # fmt: skip
        assert text in line


def test_what_a_person_got_is_verified_and_recorded(manual, tmp_path):
    for name, body in BODIES.items():
        (tmp_path / name).write_bytes(body)
    download_from_sources(manual, tmp_path)
    record = read_json(tmp_path / "source.json")
    assert (record["source"], record["access"]) == ("the authors", "research only")


def test_what_a_person_must_get_after_the_mirrors_have_failed(spec, manual, tmp_path):
    with pytest.raises(DownloadError, match="no mirror has a.gz: .*; dataset 'toy' has to be fetched by hand"):
        download_from_sources(replace(spec, sources=(*spec.sources, *manual.sources)), tmp_path)


@pytest.fixture
def unstated(server) -> DatasetSpec:
    """Pictures by hand and labels from a server; their publishers state neither sizes nor digests."""
    labels = PinnedFile("labels.csv", None, mirrors=(f"{server.url}labels/",))
    source = ManualDownload("authors", "https://example.org/", "sign", (PinnedFile("pictures.zip", None), labels))
    return DatasetSpec("toy", "Toy", ("0", "1"), 1, "MIT", "idx", (source,))


def test_a_file_with_mirrors_of_its_own_comes_from_there(server, reply, unstated, tmp_path):
    server.replies["/labels/labels.csv"] = reply(b"label")
    with pytest.raises(DownloadError, match="has to be fetched by hand: missing pictures.zip; on https://example.org/"):
        download_from_sources(unstated, tmp_path)
    (tmp_path / "pictures.zip").write_bytes(b"pictures")
    download_from_sources(unstated, tmp_path)
    record = read_json(tmp_path / "source.json")
    assert (tmp_path / "labels.csv").read_bytes() == b"label"
    assert record["origins"] == {"pictures.zip": "authors", "labels.csv": f"{server.url}labels/labels.csv"}
    assert record["files"]["labels.csv"]["size"] == 5


def test_what_no_publisher_states_is_recorded_and_kept_to(server, reply, unstated, tmp_path):
    server.replies["/labels/labels.csv"] = reply(b"label")
    (tmp_path / "pictures.zip").write_bytes(b"pictures")
    download_from_sources(unstated, tmp_path)
    (tmp_path / "labels.csv").write_bytes(b"lab")
    server.replies["/labels/labels.csv"] = reply(b"other")
    with pytest.raises(ChecksumError, match="labels.csv from .* has sha256"):
        download_from_sources(unstated, tmp_path)


def test_a_server_that_does_not_say_how_long_a_file_is(server, reply, unstated, tmp_path):
    server.replies["/labels/labels.csv"] = reply(b"label", announced=-1)
    (tmp_path / "pictures.zip").write_bytes(b"pictures")
    with pytest.raises(DownloadError, match="labels.csv cannot be read: the server does not say how long it is"):
        download_from_sources(unstated, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pictures.zip"]


@pytest.mark.slow
def test_fashion_mnist_falls_through_to_debian(server, tmp_path):
    """Real: the Debian package, after mirrors that do not answer."""
    if shutil.which("apt-get") is None:
        pytest.skip("no apt-get on this machine")
    known = DATASETS["fashion_mnist"]
    assert isinstance(known.sources[0], HttpMirrors)
    dead = HttpMirrors("dead mirrors", ("http://127.0.0.1:9/",), known.sources[0].files)
    spec = DatasetSpec(
        known.name, known.title, known.class_names, 1, known.licence, known.format, (dead, FASHION_DEBIAN)
    )
    download_from_sources(spec, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [*(file.name for file in FASHION_DEBIAN.files), "source.json"]
    )
    assert read_json(tmp_path / "source.json")["source"] == FASHION_DEBIAN.label
