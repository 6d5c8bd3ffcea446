"""Fetching the released files: sizes and checksums that a server says, the record, files put there by hand."""

import base64
import hashlib
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stylex.config.paths import released_folder
from stylex.errors import ChecksumError, DownloadError
from stylex.released.download import FILES, RECORD, fetch_released, published

DATA = Path(__file__).parent / "data"


class CloudStorage(SimpleHTTPRequestHandler):
    """A folder, with the header in which Cloud Storage says checksums."""

    lies = False
    asked: list[str] = []  # noqa: RUF012

    def end_headers(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.is_file():
            content = b"other" if self.lies else path.read_bytes()
            digest = base64.b64encode(hashlib.md5(content).digest()).decode()
            self.send_header("x-goog-hash", f"crc32c=AAAAAA==,md5={digest}")
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        self.asked.append(f"{self.command} {self.path}")


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    monkeypatch.delenv("STYLEX_DATA_CACHE", raising=False)
    folder = tmp_path / "bucket"
    folder.mkdir()
    for name in FILES:
        shutil.copy(DATA / name, folder / name)
    handler = type("Bucket", (CloudStorage,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    handler.address, handler.folder = f"http://127.0.0.1:{server.server_port}/", folder
    yield handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_files_are_fetched_once_and_recorded(bucket, root):
    digests = fetch_released(root, bucket.address)
    assert digests == {name: hashlib.sha256((DATA / name).read_bytes()).hexdigest() for name in FILES}
    assert sorted(path.name for path in released_folder(root).iterdir()) == sorted([*FILES, RECORD])
    assert len([line for line in bucket.asked if line.startswith("GET")]) == len(FILES)
    bucket.asked.clear()
    assert fetch_released(root, bucket.address) == digests and bucket.asked == []


def test_checksum_of_the_server_is_asked_for_and_believed(bucket, root):
    known = published(bucket.address, FILES[0])
    assert (known.size, known.md5) == (
        (DATA / FILES[0]).stat().st_size,
        hashlib.md5((DATA / FILES[0]).read_bytes()).hexdigest(),
    )
    bucket.lies = True
    with pytest.raises(ChecksumError, match=f"{FILES[0]} from .* has md5"):
        fetch_released(root, bucket.address)
    assert not (released_folder(root) / FILES[0]).exists()


def test_file_that_changed_is_not_taken_for_the_recorded_one(bucket, root):
    fetch_released(root, bucket.address)
    path = released_folder(root) / FILES[-1]
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(ChecksumError, match=f"{FILES[-1]} from .* has sha256"):
        fetch_released(root, bucket.address)
    path.unlink()
    (bucket.folder / FILES[-1]).write_bytes(b"another file")
    with pytest.raises(DownloadError):
        fetch_released(root, bucket.address)
    assert not path.exists()


def test_missing_file_is_one_line_with_the_remedy(bucket, root):
    (bucket.folder / FILES[1]).unlink()
    with pytest.raises(
        DownloadError, match=f"{FILES[1]} answered 404, .*; without a network, copy {FILES[0]}, "
    ) as error:
        fetch_released(root, bucket.address)
    assert "\n" not in str(error.value)
