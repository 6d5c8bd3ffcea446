"""Published weights are taken for what they are only when every byte is right."""

import hashlib

import pytest
import torch

from stylex.artifacts import sha256
from stylex.config import weights_path
from stylex.datasets.transfer import PinnedFile
from stylex.errors import ArtifactError, ChecksumError, ConfigError, DownloadError
from stylex.pretrained import WEIGHTS, PublishedWeights, download_weights, load_weights

STATE = {"layer.weight": torch.arange(6.0).reshape(2, 3)}


@pytest.fixture
def published(serve, monkeypatch):
    """A served file of weights in torch's old format, and the catalog that knows it."""
    folder, url = serve
    path = folder / "net.pth"
    torch.save(STATE, path, _use_new_zipfile_serialization=False)
    pin = PinnedFile("net.pth", path.stat().st_size, sha256(path))
    monkeypatch.setitem(WEIGHTS, "net", PublishedWeights("Net", url, pin))
    return path


def test_downloaded_verified_and_read(published, tmp_path):
    path = download_weights(tmp_path, "net")
    assert path == tmp_path / "data" / "weights" / "net.pth" == weights_path(tmp_path, "net")
    assert torch.equal(load_weights(path, "net")["layer.weight"], STATE["layer.weight"])
    published.unlink()
    assert download_weights(tmp_path, "net") == path  # nothing to do


def test_what_is_served_instead_is_refused(published, tmp_path):
    published.write_bytes(published.read_bytes()[:-1] + b"x")
    with pytest.raises(ChecksumError, match="has sha256 .* without a network, copy net.pth to .*net.pth"):
        download_weights(tmp_path, "net")
    assert not weights_path(tmp_path, "net").exists()


def test_no_server(published, tmp_path):
    published.unlink()
    with pytest.raises(DownloadError, match="answered 404.*without a network, copy net.pth to"):
        download_weights(tmp_path, "net")


def test_other_weights_have_no_name(published, tmp_path):
    other = tmp_path / "other.pth"
    with pytest.raises(ArtifactError, match="does not exist; run `stylex weights net`, or copy net.pth there"):
        load_weights(other, "net")
    torch.save({"layer.weight": torch.zeros(2, 3)}, other)
    with pytest.raises(ArtifactError, match="is not net.pth: its sha256 is .*; replace it"):
        load_weights(other, "net")


class Opener:
    """Unpickled freely, it would open a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_nothing_is_executed_even_when_the_checksum_is_right(published, tmp_path, monkeypatch):
    torch.save(Opener(tmp_path / "opened"), published, _use_new_zipfile_serialization=False)
    body = published.read_bytes()
    pin = PinnedFile("net.pth", len(body), hashlib.sha256(body).hexdigest())
    monkeypatch.setitem(WEIGHTS, "net", PublishedWeights("Net", "", pin))
    with pytest.raises(ArtifactError, match="cannot be read by this PyTorch"):
        load_weights(published, "net")
    assert not (tmp_path / "opened").exists()


def test_unknown_weights(tmp_path):
    with pytest.raises(ConfigError, match="unknown weights 'inceptoin'; did you mean 'inception'"):
        download_weights(tmp_path, "inceptoin")


@pytest.mark.parametrize("name", WEIGHTS)
def test_published_names_hold_the_beginning_of_the_checksum(name):
    file = WEIGHTS[name].file
    assert len(file.sha256) == 64 and f"-{file.sha256[:8]}.pth" in file.name
    assert WEIGHTS[name].folder.startswith("https://") and WEIGHTS[name].folder.endswith("/")


def test_a_given_file_may_lie_anywhere(tmp_path):
    assert weights_path(tmp_path, "inception", "mine/a.pth") == tmp_path / "mine/a.pth"
    assert weights_path(tmp_path, "inception", str(tmp_path / "b.pth")) == tmp_path / "b.pth"
