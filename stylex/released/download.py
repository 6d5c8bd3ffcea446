"""The six files of the released model, whose addresses stand in the notebook [N]: fetched once, recorded, unpacked.

Nobody has published sizes or checksums: the server is asked for both (Cloud Storage says a file's MD5 in the header
x-goog-hash), and what came first is recorded in released.json, to which every later copy must agree. Files that were
put into the folder by hand are recorded as they are.
"""

from __future__ import annotations

import base64
import logging
import re
from pathlib import Path

from stylex.artifacts import read_json, write_json
from stylex.config.paths import released_folder
from stylex.datasets.extraction import extract
from stylex.datasets.transfer import CONNECT_TIMEOUT, READ_TIMEOUT, PinnedFile, digest, fetch, verify
from stylex.errors import ArtifactError, DownloadError
from stylex.released.tensorflow_export import EFFECTS, MODELS

ADDRESS = "https://storage.googleapis.com/explaining-in-style/celeb_a_age/"
LATENTS = "dlatents.pkl"
FILES = (*(f"{model}.savedmodel.zip" for model in MODELS), LATENTS, EFFECTS)
RECORD = "released.json"
logger = logging.getLogger("stylex")


def fetch_released(root: Path, address: str = ADDRESS) -> dict[str, str]:
    """Bring all files to their folder, unless they are there, as recorded; return the sha256 of each by name."""
    folder = released_folder(root)
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {}
    for name in FILES:
        path = folder / name
        if name in record:
            known = PinnedFile(name, record[name]["size"], record[name]["sha256"])
            if path.is_file():
                verify(path, known, str(path))
            else:
                fetch(address + name, known, path)
            continue
        if not path.is_file():
            try:
                fetch(address + name, published(address, name), path)
            except DownloadError as error:
                raise type(error)(f"{error}; without a network, copy {', '.join(FILES)} to {folder}") from None
            logger.info("%s: downloaded to %s", name, folder)
        record[name] = {"size": path.stat().st_size, "sha256": digest(path, "sha256")}
        write_json(folder / RECORD, record)
    return {name: record[name]["sha256"] for name in FILES}


def published(address: str, name: str) -> PinnedFile:
    """Ask the server for the size of a file, and its MD5 if it says one; raise `DownloadError` without an answer."""
    import httpx

    timeout = httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT)
    try:
        response = httpx.head(address + name, timeout=timeout, headers={"Accept-Encoding": "identity"})
    except httpx.HTTPError as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DownloadError(f"{address}{name} cannot be read: {reason}") from None
    size = response.headers.get("Content-Length", "")
    if response.status_code != 200 or not size.isdecimal():
        raise DownloadError(f"{address}{name} answered {response.status_code}, Content-Length {size or 'none'}")
    # as in crc32c=n03x6A==,md5=Ojk9c3dhfxgoKVVHYwFbHQ==
    md5 = re.search(r"\bmd5=([A-Za-z0-9+/]{22}==)", response.headers.get("x-goog-hash", ""))
    return PinnedFile(name, int(size), md5=base64.b64decode(md5[1]).hex() if md5 else None)


def unpack(folder: Path, model: str) -> None:
    """Unpack the SavedModel of `model` beside its archive, the first time; raise `ArtifactError` for something else."""
    if not (folder / model).is_dir():
        extract(folder / f"{model}.savedmodel.zip", folder / model)
    inside = folder / model / f"{model}.savedmodel"
    if not (inside / "variables").is_dir():
        raise ArtifactError(
            f"{folder / model}: there is no {inside.name}/variables in the archive; put the published archive in its"
            " place, and delete this folder, which was made from it"
        )
