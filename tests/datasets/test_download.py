import hashlib
import logging
import shutil
from dataclasses import replace

import pytest

from stylex.artifacts import read_json
from stylex.cli import main
from stylex.datasets import download
from stylex.datasets.catalog import DATASETS, DatasetSpec, Source
from stylex.datasets.download import download_from_sources
from stylex.datasets.transfer import CACHE, PinnedFile
from stylex.errors import ChecksumError, DownloadError, StorageError

BODIES = {"a.gz": b"first" * 1000, "b.gz": b"second" * 1000}


@pytest.fixture
def spec(server, pin):
    files = tuple(pin(name, body) for name, body in BODIES.items())
    mirrors = Source("test mirrors", files, (f"{server.url}one/", f"{server.url}two/"))
    return DatasetSpec("toy", "Toy", ("0", "1"), 1, "MIT", "idx", (mirrors,))


@pytest.fixture
def serve(server, reply):
    def run(mirror, bodies=BODIES):
        server.replies |= {f"/{mirror}/{name}": reply(body) for name, body in bodies.items()}

    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "source.json"}


def test_falls_through_to_the_second_mirror(server, serve, spec, tmp_path, caplog):
    serve("two")
    download_from_sources(spec, tmp_path)
    assert contents(tmp_path) == BODIES
    assert [path for path, _ in server.requests] == ["/one/a.gz", "/two/a.gz", "/two/b.gz"]
    assert [record.levelno for record in caplog.records].count(logging.WARNING) == 1
    assert "one/a.gz answered 404" in caplog.text
    record = read_json(tmp_path / "source.json")
    assert (record["source"], record["origins"]["a.gz"]) == ("test mirrors", f"{server.url}two/a.gz")
    assert record["files"]["a.gz"]["sha256"] == spec.sources[0].files[0].sha256


def test_second_mirror_resumes_what_the_first_began(server, serve, reply, spec, tmp_path):
    serve("two")
    server.replies["/one/a.gz"] = reply(BODIES["a.gz"], sent=2000)
    download_from_sources(spec, tmp_path)
    assert server.requests[:2] == [("/one/a.gz", None), ("/two/a.gz", "bytes=2000-")]
    assert contents(tmp_path) == BODIES


def test_second_run_fetches_only_what_is_damaged(server, serve, spec, tmp_path, caplog):
    serve("one")
    download_from_sources(spec, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    server.requests.clear()
    caplog.set_level(logging.INFO)
    download_from_sources(spec, tmp_path)
    assert server.requests == [] and "nothing to do" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    (tmp_path / "b.gz").write_bytes(b"damaged")
    download_from_sources(spec, tmp_path)
    assert [path for path, _ in server.requests] == ["/one/b.gz"] and contents(tmp_path) == BODIES


def test_files_put_there_by_hand_are_accepted(server, spec, tmp_path):
    for name, body in BODIES.items():
        (tmp_path / name).write_bytes(body)
    download_from_sources(spec, tmp_path)
    assert server.requests == []
    assert read_json(tmp_path / "source.json")["origins"] == dict.fromkeys(BODIES, "already there")


def test_wrong_checksum_everywhere_names_the_file_and_leaves_earlier_files(serve, spec, tmp_path):
    serve("one", {"a.gz": BODIES["a.gz"], "b.gz": b"forged" * 1000})
    with pytest.raises(ChecksumError, match=r"dataset 'toy' could not be downloaded: no mirror has b.gz: .*has sha256"):
        download_from_sources(spec, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.gz"]


def test_no_source_is_one_line_with_a_remedy(spec, tmp_path):
    with pytest.raises(DownloadError, match="check the network, or put the files into") as caught:
        download_from_sources(spec, tmp_path)
    assert not isinstance(caught.value, ChecksumError)
    assert "\n" not in str(caught.value)


def test_full_disk_is_not_mistaken_for_a_bad_mirror(server, serve, spec, pin, small_disk):
    body = b"large" * 50_000
    serve("one", {"large.gz": body})
    mirrors = replace(spec.sources[0], files=(pin("large.gz", body),))
    with pytest.raises(StorageError, match="No space left on device"):
        download_from_sources(replace(spec, sources=(mirrors,)), small_disk)
    assert len(server.requests) == 1


def test_title_and_licence_are_logged_before_the_first_request_and_recorded(serve, spec, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(DownloadError):
        download_from_sources(replace(spec, access="sign the form"), tmp_path)
    conditions, request = caplog.messages[:2]
    assert conditions == "toy: Toy. Licence: MIT. Access: sign the form"
    assert "GET" in request and "/one/a.gz" in request
    serve("one")
    download_from_sources(spec, tmp_path)
    record = read_json(tmp_path / "source.json")
    assert (record["title"], record["licence"], record["access"]) == ("Toy", "MIT", None)


def test_cache_and_no_network(server, serve, spec, tmp_path, monkeypatch, capsys):
    """Without network the line names what is missing, its size, its folder and the cache; with a cache it works."""
    monkeypatch.setitem(DATASETS, "mnist", replace(spec, name="mnist"))
    monkeypatch.chdir(tmp_path)
    assert main(["download", "--offline", "mnist"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("error: ") and line.count("\n") == 1
    for text in ("a.gz (5000 bytes), b.gz (6000 bytes) of test mirrors", "data/raw/mnist", CACHE):
        assert text in line
    assert server.requests == []
    serve("one")
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    download(tmp_path / "one", "mnist")
    server.requests.clear()
    download(tmp_path, "mnist", offline=True)
    assert server.requests == [] and contents(tmp_path / "data/raw/mnist") == BODIES
    origins = read_json(tmp_path / "data/raw/mnist/source.json")["origins"]
    assert origins == dict.fromkeys(BODIES, CACHE)


@pytest.fixture
def manual(spec):
    source = Source("the authors", spec.sources[0].files, page="https://example.org/toy", steps="sign the form")
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


def test_what_a_person_must_get_after_the_mirrors_have_failed(spec, manual, tmp_path):
    with pytest.raises(DownloadError, match="no mirror has a.gz: .*; dataset 'toy' has to be fetched by hand"):
        download_from_sources(replace(spec, sources=(*spec.sources, *manual.sources)), tmp_path)


@pytest.fixture
def unstated(server) -> DatasetSpec:
    """Pictures by hand and labels from a server; their publishers state neither sizes nor digests."""
    labels = PinnedFile("labels.csv", None, mirrors=(f"{server.url}labels/",))
    files = (PinnedFile("pictures.zip", None), labels)
    source = Source("authors", files, page="https://example.org/", steps="sign")
    return DatasetSpec("toy", "Toy", ("0", "1"), 1, "MIT", "idx", (source,))


def test_a_file_with_mirrors_of_its_own_comes_from_there(server, reply, unstated, tmp_path):
    server.replies["/labels/labels.csv"] = reply(b"label", announced=-1)
    with pytest.raises(DownloadError, match="has to be fetched by hand: missing pictures.zip; on https://example.org/"):
        download_from_sources(unstated, tmp_path)
    (tmp_path / "pictures.zip").write_bytes(b"pictures")
    with pytest.raises(DownloadError, match="labels.csv cannot be read: the server does not say how long it is"):
        download_from_sources(unstated, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pictures.zip"]
    server.replies["/labels/labels.csv"] = reply(b"label")
    download_from_sources(unstated, tmp_path)
    record = read_json(tmp_path / "source.json")
    assert contents(tmp_path) == {"labels.csv": b"label", "pictures.zip": b"pictures"}
    assert record["origins"] == {"pictures.zip": "authors", "labels.csv": f"{server.url}labels/labels.csv"}
    assert record["files"]["labels.csv"]["size"] == 5


@pytest.mark.parametrize("pins", [{}, {"size": 5}, {"size": 5, "md5": hashlib.md5(b"label").hexdigest()}])
def test_what_was_seen_is_recorded_and_must_come_again(server, reply, unstated, tmp_path, pins):
    pictures, labels = unstated.sources[0].files
    source = replace(unstated.sources[0], files=(pictures, replace(labels, **pins)))
    spec = replace(unstated, sources=(source,))
    server.replies["/labels/labels.csv"] = reply(b"label")
    (tmp_path / "pictures.zip").write_bytes(b"pictures")
    download_from_sources(spec, tmp_path)
    (tmp_path / "labels.csv").write_bytes(b"lab")
    server.replies["/labels/labels.csv"] = reply(b"other")
    expected = hashlib.sha256(b"label").hexdigest()
    with pytest.raises(ChecksumError, match=f"labels.csv from .* has sha256 .*, expected {expected}"):
        download_from_sources(spec, tmp_path)
    server.replies["/labels/labels.csv"] = reply(b"label")
    download_from_sources(spec, tmp_path)
    assert (tmp_path / "labels.csv").read_bytes() == b"label"


@pytest.mark.slow
def test_fashion_mnist_falls_through_to_debian(tmp_path):
    """Real: the Debian package, after mirrors that do not answer."""
    if shutil.which("apt-get") is None:
        pytest.skip("no apt-get on this machine")
    known = DATASETS["fashion_mnist"]
    mirrors, debian = known.sources
    dead = replace(mirrors, mirrors=("http://127.0.0.1:9/",))
    download_from_sources(replace(known, sources=(dead, debian)), tmp_path)
    assert contents(tmp_path).keys() == {file.name for file in debian.files}
    assert read_json(tmp_path / "source.json")["source"] == debian.label
