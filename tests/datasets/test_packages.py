"""Programs that fetch: pip, npm, apt-get with a real package, and Kaggle's client or a stand-in that says the same."""

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest

from stylex.artifacts import read_json
from stylex.datasets.catalog import DatasetSpec, Source
from stylex.datasets.download import download_from_sources
from stylex.datasets.packages import fetch_npm, fetch_package
from stylex.errors import ChecksumError, DownloadError, StorageError
from tests.builders import tgz

BODY = b"fundus" * 1000
API = "http://localhost/api/v1/datasets.DatasetApiService/"
FILES = "http://localhost/files/"
STEPS = (
    "https://www.kaggle.com/settings/api", "KAGGLE_API_TOKEN", "KAGGLE_USERNAME and KAGGLE_KEY", "kaggle.json",
    "https://www.kaggle.com/datasets/owner/toy",
)  # fmt: skip
# What the client of version 2.2.5 does and says.
STAND_IN = """#!{python}
import argparse, json, os, sys, urllib.error, urllib.request
parser = argparse.ArgumentParser()
for name in ("group", "verb", "dataset"):
    parser.add_argument(name)
parser.add_argument("--path"), parser.add_argument("--file")
parser.add_argument("--quiet", action="store_true"), parser.add_argument("--unzip", action="store_true")
asked = parser.parse_args()
owner, slug = asked.dataset.split("/")
content = {{"ownerSlug": owner, "datasetSlug": slug}} | ({{"fileName": asked.file}} if asked.file else {{}})
request = urllib.request.Request("{api}DownloadDataset", json.dumps(content).encode())
try:
    answer = urllib.request.urlopen(request)
except urllib.error.HTTPError as error:
    if error.code == 401:
        print("Authentication required to call the Kaggle API.\\n\\nFirst, you will need a Kaggle account.")
    else:
        print(json.load(error)["message"] + "\\n\\nYou don't have access to this resource.", file=sys.stderr)
    sys.exit(1)
print("Dataset URL: https://www.kaggle.com/datasets/" + asked.dataset)
with open(os.path.join(asked.path, asked.file or slug + ".zip"), "wb") as file:
    file.write(answer.read())
"""
APT = """#!/bin/sh
echo $1 >> {folder}/calls
if [ $1 = update ]; then [ ! -f {folder}/offline ] && touch {folder}/lists; exit; fi
if [ ! -f {folder}/lists ]; then echo 'E: Unable to locate package toy' >&2; exit 100; fi
cp {archive} .
"""


@pytest.fixture
def wheel(tmp_path, pin, monkeypatch):
    """A wheel in a folder that pip's configuration names as its only index."""
    path = tmp_path / "index" / "toyset-1.0-py3-none-any.whl"
    path.parent.mkdir()
    members = {
        "toyset/data/toy.gz": BODY,
        "toyset-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: toyset\nVersion: 1.0\n",
        "toyset-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    archive, files = pin(path.name, path.read_bytes()), (pin("toy.gz", BODY),)
    return Source("PyPI package toyset", files, pip="toyset==1.0", archive=archive, folder="toyset/data")


@pytest.fixture
def debian(tmp_path, pin, monkeypatch):
    """A real package, and an `apt-get` that has it once the file `lists` exists (`update` makes it)."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("no dpkg-deb on this machine")
    tree, archive, program = tmp_path / "tree", tmp_path / "toy_1_all.deb", tmp_path / "bin/apt-get"
    for folder in (tree / "DEBIAN", tree / "usr/share/toy", program.parent):
        folder.mkdir(parents=True)
    (tree / "usr/share/toy/toy.gz").write_bytes(BODY)
    control = "Package: toy\nVersion: 1\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: toy\n"
    (tree / "DEBIAN/control").write_text(control)
    subprocess.run(["dpkg-deb", "--build", str(tree), str(archive)], check=True, capture_output=True)
    program.write_text(APT.format(folder=tmp_path, archive=archive))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    (tmp_path / "lists").touch()
    files, pinned = (pin("toy.gz", BODY),), pin(archive.name, archive.read_bytes())
    return Source("Debian package toy", files, apt="toy", archive=pinned, folder="usr/share/toy")


@pytest.mark.parametrize("kind", ["wheel", "debian"])
def test_a_package_brings_only_the_pinned_member_and_must_be_the_pinned_one(request, tmp_path, kind):
    source, folder = request.getfixturevalue(kind), tmp_path / "raw"
    fetch_package(source, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"toy.gz": BODY}
    (folder / "toy.gz").unlink()
    with pytest.raises(
        ChecksumError, match=rf"{source.archive.name} from {source.label} has sha256 .*, expected 0{{64}}:"
    ):
        fetch_package(replace(source, archive=replace(source.archive, sha256="0" * 64)), folder)
    assert list(folder.iterdir()) == []


def test_wheel_that_pip_cannot_find(wheel, tmp_path):
    with pytest.raises(DownloadError, match=r"toyset==2.0` failed: ERROR: .*toyset==2.0 .*; check pip's config") as at:
        fetch_package(replace(wheel, pip="toyset==2.0"), tmp_path / "raw")
    assert "\n" not in str(at.value)


@pytest.mark.parametrize(
    ("user", "offline", "calls"),
    [(0, False, ["download", "update", "download"]), (0, True, ["download", "update"]), (1000, True, ["download"])],
)
def test_root_updates_empty_lists_once(debian, tmp_path, monkeypatch, user, offline, calls):
    (tmp_path / "lists").unlink()
    if offline:
        (tmp_path / "offline").touch()
    monkeypatch.setattr("os.geteuid", lambda: user)
    if offline:
        with pytest.raises(DownloadError, match="E: Unable to locate package toy; run `apt-get update`|apt-get update"):
            fetch_package(debian, tmp_path / "raw")
    else:
        fetch_package(debian, tmp_path / "raw")
    assert (tmp_path / "calls").read_text().split() == calls
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ([] if offline else ["toy.gz"])


def test_machine_without_apt(tmp_path, debian, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(DownloadError, match="apt-get is not on this machine"):
        fetch_package(debian, tmp_path / "raw")


@pytest.fixture
def npm(tmp_path, server, reply, pin, monkeypatch):
    """Two packages on a loopback server that npm's configuration names as its registry."""
    if shutil.which("npm") is None:
        pytest.skip("no npm on this machine")
    pins = []
    for name in ("toy-a", "toy-b"):
        body = tgz({"package/package.json": json.dumps({"name": name, "version": "1.0.0"}).encode(), "package/t": BODY})
        dist = {"tarball": f"{server.url}{name}.tgz", "shasum": hashlib.sha1(body).hexdigest()}
        versions = {"1.0.0": {"name": name, "version": "1.0.0", "dist": dist}}
        about = {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": versions}
        server.replies[f"/{name}"] = reply(json.dumps(about).encode())
        server.replies[f"/{name}.tgz"] = reply(body)
        pins.append(pin(f"{name}-1.0.0.tgz", body))
    for key, value in {"registry": server.url, "cache": tmp_path / "cache", "fetch_retries": 0}.items():
        monkeypatch.setenv(f"npm_config_{key}", str(value))
    return Source("npm packages toy-a and toy-b", tuple(pins), npm=("toy-a@1.0.0", "toy-b@1.0.0"))


def test_npm_brings_each_package_and_only_what_is_missing(npm, server, tmp_path):
    folder = tmp_path / "raw"
    spec = DatasetSpec("toy", "Toy", ("0", "1"), 3, "MIT", "images", (npm,))
    download_from_sources(spec, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["source.json", "toy-a-1.0.0.tgz", "toy-b-1.0.0.tgz"]
    (folder / "toy-b-1.0.0.tgz").unlink()
    server.requests.clear()
    download_from_sources(spec, folder)
    assert "/toy-a" not in {path for path, _ in server.requests}
    assert read_json(folder / "source.json")["files"]["toy-b-1.0.0.tgz"]["sha256"] == npm.files[1].sha256


def test_npm_package_that_is_not_the_pinned_one(npm, tmp_path):
    other = replace(npm.files[1], sha256="0" * 64)
    with pytest.raises(ChecksumError, match=r"toy-b-1.0.0.tgz from npm packages .* has sha256 .*, expected 0{64}:"):
        fetch_npm(replace(npm, files=(npm.files[0], other)), tmp_path / "raw")
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["toy-a-1.0.0.tgz"]


@pytest.mark.parametrize(
    ("package", "reason"),
    [("toy-c@1.0.0", "404 Not Found"), ("toy-a@2.0.0", "No matching version found for toy-a@2.0.0")],
)
def test_npm_package_that_is_refused(npm, tmp_path, package, reason):
    with pytest.raises(DownloadError) as caught:
        fetch_npm(replace(npm, npm=(package, "toy-b@1.0.0")), tmp_path / "raw")
    line = str(caught.value)
    assert f"{package}` failed: npm error" in line and reason in line and "\n" not in line
    assert line.endswith("; check the network and npm's configuration with `npm config list`")
    assert list((tmp_path / "raw").iterdir()) == []


def test_registry_that_does_not_answer(npm, tmp_path, monkeypatch):
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    with pytest.raises(DownloadError, match="failed: npm error FetchError: .*ECONNREFUSED .*`npm config list`"):
        fetch_npm(npm, tmp_path / "raw")


def test_npm_on_a_full_disk(npm, small_disk):
    (small_disk / "filler").write_bytes(b"x" * 65536)
    with pytest.raises(StorageError, match="No space left on device"):
        fetch_npm(npm, small_disk)


def test_machine_without_npm(tmp_path, pin, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    source = Source("npm package toy", (pin("toy-1.tgz", BODY),), npm=("toy@1",))
    spec = DatasetSpec("toy", "Toy", ("0", "1"), 3, "MIT", "images", (source,))
    with pytest.raises(DownloadError) as caught:
        download_from_sources(spec, tmp_path / "raw")
    line = str(caught.value)
    assert "npm package toy needs npm: install Node.js, which has it" in line and "\n" not in line
    assert "or put the files into" in line


def test_package_on_a_full_disk(wheel, small_disk):
    (small_disk / "filler").write_bytes(b"x" * 65536)
    with pytest.raises(StorageError, match="No space left on device"):
        fetch_package(wheel, small_disk)


@pytest.fixture(params=["stand-in", "real"])
def kaggle(request, tmp_path, monkeypatch):
    """A `kaggle` on PATH that talks to the loopback server, without credentials."""
    if request.param == "real" and shutil.which("kaggle") is None:
        pytest.skip("Kaggle's client is not installed: pip install kaggle six")
    if request.param == "stand-in":
        script = tmp_path / "bin" / "kaggle"
        script.parent.mkdir()
        script.write_text(STAND_IN.format(python=sys.executable, api=API))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    for name in [each for each in os.environ if each.startswith("KAGGLE_") or each.lower() == "no_proxy"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("http_proxy", request.getfixturevalue("server").url)


@pytest.fixture
def serve(server, reply):
    def run(name, body, status=None):
        text = json.dumps({"code": status, "message": f"said {status}"}).encode()
        server.replies[f"{API}GetDatasetMetadata"] = reply(text if status else b'{"info": {}}', status=status)
        server.replies[f"{API}DownloadDataset"] = reply(text, status=status or 302, location=FILES + name)
        server.replies[FILES + name] = reply(body)

    return run


def toy(pinned):
    source = Source("Kaggle owner/toy", (pinned,), kaggle="owner/toy")
    return DatasetSpec("toy", "Toy", ("0", "1"), 3, "CC BY 4.0", "images", (source,), access="a Kaggle account")


@pytest.mark.parametrize(("name", "asked"), [("a.csv", {"fileName": "a.csv"}), ("toy.zip", {})])
def test_kaggle_file_or_the_archive_of_the_whole_dataset(server, kaggle, serve, pin, tmp_path, name, asked, caplog):
    caplog.set_level(logging.INFO)
    serve(name, BODY)
    download_from_sources(toy(pin(name, BODY)), tmp_path / "raw")
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == sorted([name, "source.json"])
    assert (tmp_path / "raw" / name).read_bytes() == BODY
    posted = next(text for path, text in server.requests if path.endswith("DownloadDataset"))
    assert json.loads(posted) == {"ownerSlug": "owner", "datasetSlug": "toy"} | asked
    assert read_json(tmp_path / "raw" / "source.json")["access"] == "a Kaggle account"
    assert caplog.messages[0] == "toy: Toy. Licence: CC BY 4.0. Access: a Kaggle account"


@pytest.mark.parametrize(("status", "said"), [(401, "Authentication required"), (403, "403"), (404, "404")])
def test_refusal_of_kaggle_names_the_steps(kaggle, serve, pin, tmp_path, status, said):
    serve("a.csv", BODY, status)
    with pytest.raises(DownloadError) as caught:
        download_from_sources(toy(pin("a.csv", BODY)), tmp_path / "raw")
    line = str(caught.value)
    assert said in line and "\n" not in line and all(step in line for step in STEPS)
    assert list((tmp_path / "raw").iterdir()) == []


def test_wrong_bytes_from_kaggle_leave_nothing(kaggle, serve, pin, tmp_path):
    serve("a.csv", b"x" + BODY[1:])
    with pytest.raises(ChecksumError, match="a.csv from Kaggle owner/toy has sha256"):
        download_from_sources(toy(pin("a.csv", BODY)), tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []


@pytest.mark.parametrize("kaggle", ["stand-in"], indirect=True)  # the real one tries again for a minute
def test_kaggle_on_a_full_disk(kaggle, serve, pin, small_disk):
    serve("a.csv", BODY * 20)
    with pytest.raises(StorageError, match="No space left on device"):
        download_from_sources(toy(pin("a.csv", BODY * 20)), small_disk)
    assert not (small_disk / "a.csv").exists()


def test_machine_without_kaggle(pin, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(DownloadError, match="owner/toy needs Kaggle's client: `pip install kaggle six`") as caught:
        download_from_sources(toy(pin("a.csv", BODY)), tmp_path / "raw")
    line = str(caught.value)
    assert "\n" not in line and all(step in line for step in STEPS)
    assert not (tmp_path / "raw").exists()
