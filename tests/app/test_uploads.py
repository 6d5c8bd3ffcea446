"""What a real server makes of files: answers, or one clear line, within its memory, and it goes on."""

import re
import socket
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from PIL import Image

import stylex
from stylex.app import limits
from stylex.app.pictures import FORMATS, file_name
from tests.app.conftest import DIGIT, MEMORY, MODEL, App, encoded, running

LARGE = (5000, 4000)  # as many pixels as are taken
SAID = re.compile(r"digit\.png: the classifier says 3, probability (?:>0\.99|1\.00)\.")


def cut() -> bytes:
    content = encoded(Image.effect_noise((64, 64), 50))
    return content[: len(content) // 2]


def wrong_checksum() -> bytes:
    content = bytearray(encoded(Image.effect_noise((64, 64), 50)))
    content[200] ^= 255
    return bytes(content)


def huge_in_words() -> bytes:
    """A PNG of a few bytes whose header says 100,000 x 100,000 pixels."""
    header = b"IHDR" + (100_000).to_bytes(4) * 2 + bytes((8, 2, 0, 0, 0))
    chunk = len(header[4:]).to_bytes(4) + header + zlib.crc32(header).to_bytes(4)
    return b"\x89PNG\r\n\x1a\n" + chunk + encoded(Image.new("L", (4, 4)))[33:]


BAD: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "cut.png": (cut, 422, r"cut\.png cannot be read as an image: .*truncated.*"),
    "sum.png": (wrong_checksum, 422, r"sum\.png cannot be read as an image.*"),
    "40.png": (
        lambda: encoded(Image.new("1", (8000, 5000))), 422,
        r"40\.png has 8000 x 5000 pixels, more than 20 megapixels; make it smaller",
    ),
    "words.png": (huge_in_words, 422, r"words\.png has more than 20 megapixels; make it smaller"),
    "program.png": (
        lambda: Path("/bin/true").read_bytes(), 422,
        r"program\.png is no picture that can be read here; give PNG, JPEG, GIF, BMP, PGM, PPM, TIFF or WebP",
    ),
    "drawing.png": (  # for which Pillow would start Ghostscript
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 422, r"drawing\.png is no picture .*",
    ),
    "page.svg": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, r"page\.svg is no picture .*"),
    "empty.png": (lambda: b"", 422, r"empty\.png is no picture .*"),
    "long.png": (lambda: bytes(limits.UPLOAD_BYTES + 1), 413, r"long\.png: more than 10 MB; make it smaller"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_line_and_the_next_one_is_taken(app: App, name: str):
    content, status, line = BAD[name]
    page = app.page()
    answer = app.upload(content(), name, page)
    assert answer.status_code == status
    assert re.fullmatch(line, answer.text) and str(app.temporary) not in answer.text
    assert SAID.fullmatch(app.upload(DIGIT.read_bytes(), page=page).text)
    assert not list(app.temporary.rglob("*.upload")) and not app.errors


def test_bytes_are_counted_while_they_arrive(app: App):
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 50 * limits.UPLOAD_BYTES:
            sent += 1 << 16
            yield bytes(1 << 16)

    with suppress(httpx.WriteError, httpx.RemoteProtocolError):  # the server hangs up on whoever goes on
        answer = httpx.post(f"{app.root}/upload/{app.page()}", content=endless(), timeout=60)
        assert answer.status_code == 413
    assert limits.UPLOAD_BYTES <= sent < 5 * limits.UPLOAD_BYTES
    assert not list(app.temporary.rglob("*.upload"))
    assert SAID.fullmatch(app.upload(DIGIT.read_bytes()).text)


def test_an_upload_that_breaks_off_leaves_nothing(app: App):
    page, (host, _, port) = app.page(), app.root.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as half:
        half.sendall(f"POST /upload/{page} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\nabc".encode())
        until = time.monotonic() + 10
        while not list(app.temporary.rglob("*.upload")):
            assert time.monotonic() < until
    while list(app.temporary.rglob("*.upload")):
        assert time.monotonic() < until
    assert SAID.fullmatch(app.upload(DIGIT.read_bytes(), page=page).text) and not app.errors


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read_whatever_its_name(app: App, kind: str):
    with Image.open(DIGIT) as digit:
        answer = app.upload(encoded(digit.convert("RGB"), kind), "digit.txt")
    assert answer.status_code == 200 and answer.text.startswith("digit.txt: the classifier says 3")


def test_it_says_what_the_classifier_says(app: App):
    for number in range(8):
        file = MODEL / f"examples/{number}.png"
        seen = EXPLAINER.look_at(file).probabilities
        said = max(seen, key=seen.__getitem__)
        found = re.fullmatch(
            r"x: the classifier says (.*), probability (.*)\.", app.upload(file.read_bytes(), "x").text
        )
        assert found and found[1] == said
        assert abs(float(found[2].lstrip("<>")) - seen[said]) <= 0.0051 + 0.005 * found[2].startswith(">")


EXPLAINER = stylex.load(MODEL)


def test_a_page_that_is_gone_and_a_result_that_is_none(app: App):
    assert app.upload(b"", page="0").text == "this page has ended; load it again"
    for address in (f"result/{app.page()}/png", "result/0/json", "example/8", "example/-1"):
        answer = httpx.get(f"{app.root}/{address}")
        assert answer.status_code == 404 and answer.text.startswith(("there is no such", "no such"))


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("a%20b.png", "a b.png"),
        ("..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("C%3A%5Cx.png", "x.png"),
        ("%E2%80%AEgnp.exe%0Aline", "gnp.exeline"),
        ("", "image"),
        ("%FF", "\N{REPLACEMENT CHARACTER}"),
        ("x" * 300 + ".png", "x" * 69 + "…" + "x" * 6 + ".png"),
    ],
)
def test_a_name_is_one_short_line(given: str, shown: str):
    assert file_name(given) == shown


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[App]:
    """A server on which no page is open."""
    with running(tmp_path / "fresh") as started:
        yield started


@pytest.mark.slow
def test_fifty_uploads_at_once_are_answered_within_the_memory(fresh: App):
    app = fresh
    pages, content = [app.page() for _ in range(50)], encoded(Image.new("L", LARGE))
    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda page: app.upload(content, "large.png", page), pages))
    found = Counter(answer.status_code for answer in answers)
    assert found.keys() <= {200, 503} and found[200] >= limits.UPLOADS
    assert all(answer.text.count("\n") == 0 and answer.text for answer in answers)
    for kind in ("PNG", "WEBP"):  # those that take most memory for a pixel
        large = encoded(Image.new("RGBA", LARGE, (9, 9, 9, 9)), kind)
        assert app.upload(large, "large", pages[0]).status_code == 200
    assert SAID.fullmatch(app.upload(DIGIT.read_bytes(), page=pages[0]).text)
    assert app.memory() < MEMORY
    assert not list(app.temporary.rglob("*.upload")) and not app.errors


def test_one_page_sends_one_file_at_a_time(app: App):
    page, content = app.page(), encoded(Image.new("RGB", LARGE))
    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda _: app.upload(content, "large.png", page), range(50)))
    found = Counter(answer.status_code for answer in answers)
    assert found.keys() == {200, 409} and found[200] >= 1
    refused = {answer.text for answer in answers if answer.status_code == 409}
    assert refused == {"the image before is still being read; try again in a moment"}


@pytest.mark.slow
def test_more_pages_than_it_takes_are_refused_in_a_line_until_some_are_given_up(fresh: App):
    app = fresh
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: httpx.get(app.root, timeout=60), range(limits.PAGES + 10)))
    assert {answer.status_code for answer in answers} == {200, 503}
    line = "64 pages are open, as many as this server takes; try again in a minute\n"
    assert {answer.text for answer in answers if answer.status_code == 503} == {line}
    assert app.memory() < MEMORY
    time.sleep(limits.PAGE_SECONDS)
    assert app.page()
