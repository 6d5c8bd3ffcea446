"""Kaggle's client against a loopback server: the real one where it is installed, and a stand-in that says the same."""

import json
import logging
import os
import shutil
import sys

import pytest

from stylex.artifacts import read_json
from stylex.datasets.catalog import DatasetSpec
from stylex.datasets.download import download_from_sources
from stylex.datasets.sources import KaggleDataset
from stylex.errors import ChecksumError, DownloadError, StorageError

API = "http://localhost/api/v1/datasets.DatasetApiService/"
FILES = "http://localhost/files/"
BODY = b"fundus" * 1000
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


@pytest.fixture(params=["stand-in", "real"])
def client(request, tmp_path, monkeypatch):
    """A `kaggle` on PATH that talks to the loopback server, without credentials."""
    if request.param == "real" and shutil.which("kaggle") is None:
        pytest.skip("Kaggle's client is not installed: pip install kaggle six")
    if request.param == "stand-in":
        (tmp_path / "bin").mkdir()
        script = tmp_path / "bin" / "kaggle"
        script.write_text(STAND_IN.format(python=sys.executable, api=API))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    server = request.getfixturevalue("server")
    for name in [each for each in os.environ if each.startswith("KAGGLE_") or each.lower() == "no_proxy"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
    monkeypatch.setenv("http_proxy", server.url)


@pytest.fixture
def serve(server, reply):
    def run(name, body, status=None):
        said = json.dumps({"code": status, "message": f"said {status}"}).encode()
        server.replies[f"{API}GetDatasetMetadata"] = reply(said if status else b'{"info": {}}', status=status)
        server.replies[f"{API}DownloadDataset"] = reply(said, status=status or 302, location=FILES + name)
        server.replies[FILES + name] = reply(body)

    return run


def toy(pinned):
    source = KaggleDataset("Kaggle owner/toy", "owner/toy", (pinned,))
    return DatasetSpec("toy", "Toy", ("0", "1"), 3, "CC BY 4.0", "images", (source,), access="a Kaggle account")


@pytest.mark.parametrize(("name", "asked"), [("a.csv", {"fileName": "a.csv"}), ("toy.zip", {})])
def test_file_or_the_archive_of_the_whole_dataset(server, client, serve, pin, tmp_path, name, asked, caplog):
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
def test_refusal_names_the_steps(client, serve, pin, tmp_path, status, said):
    serve("a.csv", BODY, status)
    with pytest.raises(DownloadError) as caught:
        download_from_sources(toy(pin("a.csv", BODY)), tmp_path / "raw")
    line = str(caught.value)
    assert said in line and "\n" not in line
    assert all(step in line for step in STEPS)
    assert list((tmp_path / "raw").iterdir()) == []


def test_wrong_bytes_leave_nothing(client, serve, pin, tmp_path):
    serve("a.csv", b"x" + BODY[1:])
    with pytest.raises(ChecksumError, match="a.csv from Kaggle owner/toy has sha256"):
        download_from_sources(toy(pin("a.csv", BODY)), tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []


@pytest.mark.parametrize("client", ["stand-in"], indirect=True)  # the real one tries again for a minute
def test_full_disk(client, serve, pin, small_disk):
    body = BODY * 20
    serve("a.csv", body)
    with pytest.raises(StorageError, match="No space left on device"):
        download_from_sources(toy(pin("a.csv", body)), small_disk)
    assert not (small_disk / "a.csv").exists()


def test_machine_without_the_client(pin, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(DownloadError, match="owner/toy needs Kaggle's client: `pip install kaggle six`") as caught:
        download_from_sources(toy(pin("a.csv", BODY)), tmp_path / "raw")
    assert "\n" not in str(caught.value)
    assert all(step in str(caught.value) for step in STEPS)
    assert not (tmp_path / "raw").exists()
