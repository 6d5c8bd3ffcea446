"""Fetch pinned files of a Kaggle dataset with Kaggle's own command, https://github.com/Kaggle/kaggle-api.

The client is no dependency: it is asked for when a dataset needs it. It knows the user's credentials, retries, and
continues an interrupted file by itself. Public files may come without credentials, so that only it can say whether some
are missing. It can be pointed at a server of one's own by KAGGLE_API_ENVIRONMENT=LOCALHOST and `http_proxy`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

from stylex.artifacts import atomic_path, storage_errors
from stylex.datasets import cache
from stylex.datasets.locks import locked
from stylex.datasets.pins import PinnedFile, is_present, verify
from stylex.datasets.sources import KaggleDataset
from stylex.errors import ChecksumError, DownloadError, StorageError
from stylex.progress import progress

INTERVAL = 1.0  # seconds between two looks at how much has come
INSTALL = "pip install kaggle six"  # six: kaggle 2.2.5 imports it and does not require it


def fetch_kaggle(source: KaggleDataset, folder: Path) -> None:
    """Bring the files of `source` to `folder`; <dataset name>.zip is the archive of the whole dataset.

    Two processes that want the same dataset wait for each other. Raises `DownloadError` with the steps to take when the
    client is missing or refused, `ChecksumError` when a file is not the pinned one, `StorageError` when the folder
    cannot be written.
    """
    client, workspace = _client(source), folder / ".kaggle"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".kaggle.part"):
            workspace.mkdir(exist_ok=True)
            try:
                for file in source.files:
                    if not is_present(folder / file.name, file) and not cache.take(file, folder / file.name):
                        _fetch(client, source, file, workspace)
            finally:
                if not any(workspace.iterdir()):  # else the client goes on with what is there
                    workspace.rmdir()


def _fetch(client: str, source: KaggleDataset, file: PinnedFile, workspace: Path) -> None:
    command = [client, "datasets", "download", source.dataset, "--path", ".", "--quiet"]
    if file.name != f"{source.dataset.partition('/')[2]}.zip":
        command += ["--file", file.name, "--unzip"]  # Kaggle wraps some files in an archive of their own
    _run(command, source, file, workspace)
    came, target = workspace / file.name, workspace.parent / file.name
    if not came.is_file():
        raise DownloadError(
            f"{source.label} has no {file.name}: got {sorted(path.name for path in workspace.iterdir())}"
        )
    try:
        verify(came, file, source.label)
    except ChecksumError:
        came.unlink()
        raise
    with atomic_path(target) as temporary:
        os.replace(came, temporary)
    cache.keep(file, target)


def _client(source: KaggleDataset) -> str:
    """Return the client's command, from this Python's environment or from PATH."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    client = shutil.which("kaggle", path=os.pathsep.join(places))
    if client is None:
        raise DownloadError(f"{source.label} needs Kaggle's client: `{INSTALL}`, then {_steps(source)}")
    return client


def _steps(source: KaggleDataset) -> str:
    return (
        "log in at https://www.kaggle.com, create an API token at https://www.kaggle.com/settings/api, put it into"
        " KAGGLE_API_TOKEN or the file ~/.kaggle/access_token (an older token: KAGGLE_USERNAME and KAGGLE_KEY, or"
        f" ~/.kaggle/kaggle.json), accept the terms at https://www.kaggle.com/datasets/{source.dataset}, run again"
    )


def _run(command: list[str], source: KaggleDataset, file: PinnedFile, workspace: Path) -> None:
    """Run the client, showing how much has come; raise `DownloadError` with what it said when it fails."""
    with (
        tempfile.TemporaryFile("w+") as said,
        tempfile.TemporaryFile("w+") as errors,
        progress(f"download {file.name}", file.size, "bytes") as counter,
        subprocess.Popen(command, cwd=workspace, stdin=subprocess.DEVNULL, stdout=said, stderr=errors) as client,
    ):
        while client.returncode is None:
            with suppress(subprocess.TimeoutExpired):
                client.wait(INTERVAL)
            with suppress(FileNotFoundError):  # the client removes what it has unpacked
                counter.advance(sum(path.stat().st_size for path in workspace.iterdir()) - counter.done)
        if client.returncode:
            reason = _reason(errors) or _reason(said) or f"exit code {client.returncode}"
            if os.strerror(28) in reason:
                raise StorageError(f"cannot write {workspace.parent}: {os.strerror(28)}; free some space")
            raise DownloadError(f"Kaggle's client could not fetch {source.label}: {reason}; {_steps(source)}")


def _reason(stream: IO[str]) -> str:
    """Return the line that says why: the first that is no warning, or the last of a traceback."""
    stream.seek(0)
    lines = [line.strip() for line in stream if line.strip() and not line.startswith("Warning")]
    return lines[-1 if lines[0].startswith("Traceback") else 0] if lines else ""
