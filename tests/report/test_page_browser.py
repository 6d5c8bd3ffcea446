"""The page in a real browser: it opens, every image decodes, and it fits a phone."""

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from stylex.config import SuitePaths
from stylex.figures.names import ANIMATION_NAMES, FIGURE_NAMES

PHONE = 390  # CSS pixels
# A copy of the page measures itself in a frame of a phone's width and tells the page around it.
MEASURE = """<script>addEventListener("load", () => parent.postMessage(JSON.stringify({
  width: document.documentElement.scrollWidth, view: innerWidth,
  broken: [...document.images].filter(image => !image.complete || image.naturalWidth === 0).length,
  images: document.images.length, title: document.title}), "*"));</script></body>"""
FRAME = """<!DOCTYPE html><title>frame</title><pre id="result"></pre>
<iframe src="measured.html" width="{width}" height="800"></iframe>
<script>addEventListener("message", event => document.getElementById("result").textContent = event.data);</script>"""


class Result(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.inside, self.text = False, ""

    def handle_starttag(self, tag, attrs) -> None:
        self.inside = tag == "pre"

    def handle_data(self, data: str) -> None:
        self.text += data if self.inside else ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = False


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not on PATH (apt-get install chromium)")
@pytest.mark.parametrize("width", [PHONE, 1200])
def test_it_opens_decodes_every_image_and_fits_the_width(finished: Path, tmp_path: Path, width: int):
    page = SuitePaths(finished, "demo").report.read_text(encoding="utf-8")
    (tmp_path / "measured.html").write_text(page.replace("</body>", MEASURE), encoding="utf-8")
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(width=width), encoding="utf-8")
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1400,1000",
        f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=10000", "--dump-dom", frame.as_uri(),
    ]  # fmt: skip
    browser = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    result = Result()
    result.feed(browser.stdout)
    measured = json.loads(result.text)
    assert measured["title"] == "StylEx on MNIST and Fashion-MNIST"
    assert measured["images"] == 4 * (len(FIGURE_NAMES) + 2 * len(ANIMATION_NAMES) + 1) and measured["broken"] == 0
    assert measured["view"] == width and measured["width"] <= width
