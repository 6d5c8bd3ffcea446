import base64
import hashlib
import os
import shutil
import subprocess
import zipfile

import pytest

from stylex.datasets.catalog import DebianPackage, PinnedFile, PypiWheel
from stylex.datasets.packages import fetch_debian, fetch_wheel
from stylex.errors import ChecksumError, DownloadError, StorageError

BODY = b"pixels" * 100


@pytest.fixture
def wheel(tmp_path, pin, monkeypatch):
    """A wheel in a folder that pip's configuration names as its only index."""
    folder = tmp_path / "index"
    folder.mkdir()
    path = folder / "toyset-1.0-py3-none-any.whl"
    members = {
        "toyset/data/toy.csv.gz": BODY,
        "toyset-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: toyset\nVersion: 1.0\n",
        "toyset-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digest = {
        name: base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
        for name, body in members.items()
    }
    record = "".join(f"{name},sha256={digest[name]},{len(body)}\n" for name, body in members.items())
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in {**members, "toyset-1.0.dist-info/RECORD": record.encode()}.items():
            archive.writestr(name, body)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    files = (pin("toy.csv.gz", BODY),)
    return PypiWheel("PyPI package toyset", "toyset==1.0", pin(path.name, path.read_bytes()), "toyset/data", files)


def wrong(file: PinnedFile) -> PinnedFile:
    return PinnedFile(file.name, file.size, "0" * 64)


def test_wheel_brings_only_the_pinned_member(wheel, tmp_path):
    fetch_wheel(wheel, tmp_path / "raw")
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["toy.csv.gz"]
    assert (tmp_path / "raw" / "toy.csv.gz").read_bytes() == BODY


def test_wheel_with_another_checksum_is_refused(wheel, tmp_path):
    source = PypiWheel(wheel.label, wheel.requirement, wrong(wheel.archive), wheel.folder, wheel.files)
    with pytest.raises(
        ChecksumError, match=rf"{wheel.archive.name} from PyPI package toyset has sha256 .* expected 000"
    ):
        fetch_wheel(source, tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []


def test_wheel_that_pip_cannot_find(wheel, tmp_path):
    source = PypiWheel(wheel.label, "toyset==2.0", wheel.archive, wheel.folder, wheel.files)
    with pytest.raises(DownloadError, match="toyset==2.0` failed: .*No matching distribution.*; check pip's config"):
        fetch_wheel(source, tmp_path / "raw")


@pytest.fixture
def debian(tmp_path, pin, monkeypatch):
    """A real package, and an `apt-get` that has it once the file `lists` exists (`update` makes it)."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("no dpkg-deb on this machine")
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/share/toy").mkdir(parents=True)
    (tree / "usr/share/toy/toy.gz").write_bytes(BODY)
    control = "Package: toy\nVersion: 1\nArchitecture: all\nMaintainer: T <t@example.org>\nDescription: toy\n"
    (tree / "DEBIAN/control").write_text(control)
    archive = tmp_path / "toy_1_all.deb"
    subprocess.run(["dpkg-deb", "--build", str(tree), str(archive)], check=True, capture_output=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "apt-get").write_text(
        f"#!/bin/sh\necho $1 >> {tmp_path}/calls\n"
        f"if [ $1 = update ]; then [ ! -f {tmp_path}/offline ] && touch {tmp_path}/lists; exit; fi\n"
        f"if [ ! -f {tmp_path}/lists ]; then echo 'E: Unable to locate package toy' >&2; exit 100; fi\n"
        f"cp {archive} .\n"
    )
    (programs / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    files = (pin("toy.gz", BODY),)
    return DebianPackage("Debian package toy", "toy", pin(archive.name, archive.read_bytes()), "usr/share/toy", files)


def test_debian_package_is_unpacked_beside(debian, tmp_path):
    (tmp_path / "lists").touch()
    fetch_debian(debian, tmp_path / "raw")
    assert [path.name for path in (tmp_path / "raw").iterdir()] == ["toy.gz"]
    assert (tmp_path / "calls").read_text().split() == ["download"]


def test_root_updates_empty_lists_once(debian, tmp_path, monkeypatch):
    monkeypatch.setattr("os.geteuid", lambda: 0)
    fetch_debian(debian, tmp_path / "raw")
    assert (tmp_path / "calls").read_text().split() == ["download", "update", "download"]
    assert (tmp_path / "raw" / "toy.gz").read_bytes() == BODY


@pytest.mark.parametrize(("user", "calls"), [(1000, 1), (0, 2)])
def test_empty_lists_that_stay_empty(debian, tmp_path, monkeypatch, user, calls):
    (tmp_path / "offline").touch()
    monkeypatch.setattr("os.geteuid", lambda: user)
    with pytest.raises(DownloadError, match="E: Unable to locate package toy; run `apt-get update`|apt-get update"):
        fetch_debian(debian, tmp_path / "raw")
    assert len((tmp_path / "calls").read_text().split()) == calls
    assert list((tmp_path / "raw").iterdir()) == []


def test_debian_package_with_another_checksum_is_refused(debian, tmp_path):
    (tmp_path / "lists").touch()
    source = DebianPackage(debian.label, debian.package, wrong(debian.archive), debian.folder, debian.files)
    with pytest.raises(ChecksumError, match="toy_1_all.deb from Debian package toy"):
        fetch_debian(source, tmp_path / "raw")


def test_machine_without_apt(tmp_path, debian, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(DownloadError, match="apt-get is not on this machine"):
        fetch_debian(debian, tmp_path / "raw")


def test_package_on_a_full_disk(wheel, small_disk, monkeypatch):
    (small_disk / "filler").write_bytes(b"x" * 65536)
    with pytest.raises(StorageError, match="No space left on device"):
        fetch_wheel(wheel, small_disk)
