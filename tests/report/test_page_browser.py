"""The page in a real browser, opened from its file: it loads, fits, sorts, prints, and needs no mouse."""

import base64
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stylex.config import SuitePaths
from stylex.figures.catalog import FIGURE_NAMES
from tests.browsers import CONTRAST, Browser

PHONE, DESK = 390, 1280  # CSS pixels
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not on PATH (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def page(request: pytest.FixtureRequest) -> Path:
    """The page of a small suite; that of a real run of the demo where STYLEX_REPORT names it."""
    real = os.environ.get("STYLEX_REPORT")
    return Path(real).resolve() if real else SuitePaths(request.getfixturevalue("finished"), "demo").report


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_decodes_every_image_and_fits_the_width(browser: Browser, page: Path, width: int, scheme: str):
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.open(page, width)
    assert browser.evaluate("document.title") == "StylEx on MNIST and Fashion-MNIST"
    widths = "[...document.images].map(image => image.naturalWidth)"
    images = browser.evaluate(widths)
    assert len(images) > len(FIGURE_NAMES) and all(images)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.complaints() == []
    assert browser.evaluate(CONTRAST) == []


COLUMN = """[...document.querySelector("#table-sufficiency tbody").rows].map(row => row.cells[%d].textContent.trim())"""
HEADING = """document.querySelector("#table-sufficiency thead").rows[0].cells[%d]"""


def test_tables_sort_by_numbers_and_by_words_and_go_back(browser: Browser, page: Path):
    browser.open(page, DESK)
    column, heading = COLUMN % 9, HEADING % 9
    assert browser.evaluate(f"{heading}.textContent") == "k = 10, %"
    before = browser.evaluate(column)
    orders = []
    for _ in range(3):
        browser.evaluate(f'{heading}.querySelector("button").click()')
        orders.append((browser.evaluate(f'{heading}.getAttribute("aria-sort")'), browser.evaluate(column)))
    firsts = [[float(text.split()[0]) for text in values] for _, values in orders]
    assert [order for order, _ in orders] == ["ascending", "descending", None]
    assert firsts[0] == sorted(firsts[0]) and firsts[1] == sorted(firsts[0], reverse=True)
    assert orders[2][1] == before and firsts[0] != firsts[2]
    words, heading = COLUMN % 4, HEADING % 4
    browser.evaluate(f'{heading}.querySelector("button").click()')
    classes = browser.evaluate(words)
    assert classes == sorted(classes) and {"3", "5", "ankle-boot", "all directions", "sneaker"} == set(classes)
    assert browser.evaluate('document.getElementById("status").textContent') == "Sorted by Target class, ascending."
    assert browser.evaluate('document.querySelectorAll("[aria-sort]").length') == 1


def test_cells_without_a_number_come_last_in_both_orders(browser: Browser, page: Path):
    browser.open(page, DESK)
    browser.evaluate("""document.querySelector("#table-sufficiency tbody tr").cells[9].textContent = "–" """)
    for _ in range(2):
        browser.evaluate(f'{HEADING % 9}.querySelector("button").click()')
        assert browser.evaluate(COLUMN % 9)[-1] == "–"


FOCUSED = """(() => {
  const element = document.activeElement, box = element.getBoundingClientRect(), style = getComputedStyle(element);
  return {tag: element.tagName, text: element.textContent.trim().slice(0, 40), seen: box.width > 0 && box.left >= 0,
    outline: style.outlineStyle !== "none" && style.outlineWidth !== "0px"};
})()"""


def test_the_keyboard_reaches_everything_in_order_and_the_focus_is_seen(browser: Browser, page: Path):
    browser.open(page, DESK)
    stops = []
    for _ in range(browser.evaluate('document.querySelectorAll("nav a, .card a").length') + 6):
        browser.press("Tab", 9)
        stops.append(browser.evaluate(FOCUSED))
    assert all(stop["seen"] and stop["outline"] for stop in stops)
    texts = [stop["text"] for stop in stops]
    assert texts[:3] == ["Skip to the results", "Main results", "Claims of the papers"]
    order = [texts.index(text) for text in ("Experiments", "Tables", "Provenance", "MNIST, 3 against 5")]
    assert order[:3] == sorted(order[:3])
    sorter = next(stop for stop in stops if stop["tag"] == "BUTTON")
    assert sorter["text"] == "Claim"


def test_enter_sorts_and_the_skip_link_skips(browser: Browser, page: Path):
    browser.open(page, DESK)
    browser.press("Tab", 9)
    browser.press("Enter", 13)
    assert browser.evaluate("location.hash + document.activeElement.id") == "#mainmain"
    browser.evaluate(f'{HEADING % 4}.querySelector("button").focus()')
    browser.press("Enter", 13)
    assert browser.evaluate(f'{HEADING % 4}.getAttribute("aria-sort")') == "ascending"


def test_a_link_leads_from_a_row_to_where_its_numbers_come_from(browser: Browser, page: Path):
    browser.open(page, DESK)
    browser.evaluate("""document.querySelector("#table-sufficiency tbody a").click()""")
    row = """document.querySelector(":target")"""
    assert browser.evaluate(f"{row}.id") == "provenance-mnist-sufficiency"
    top = browser.evaluate(f"{row}.getBoundingClientRect().top")
    assert 0 <= top < 900


def test_it_prints_whole_with_folded_parts_open_and_no_table_cut(browser: Browser, page: Path):
    browser.open(page, DESK)
    printed = base64.b64decode(browser.call("Page.printToPDF", preferCSSPageSize=True)["data"])
    assert printed.startswith(b"%PDF") and printed.count(b"/Type /Page\n") > 5
    assert browser.evaluate('document.querySelectorAll("details[open]").length') == 0  # folded again afterwards
    browser.call("Emulation.setEmulatedMedia", media="print", features=[])
    browser.open(page, 700)  # A4 less its margins
    browser.evaluate('dispatchEvent(new Event("beforeprint"))')
    wide = """[...document.querySelectorAll("table")].filter(table => table.scrollWidth > 700
      || getComputedStyle(table.parentElement).overflow !== "visible").length"""
    browser.call("Emulation.setEmulatedMedia", media="print", features=[])
    assert browser.evaluate(wide) == 0
    folded = """[...document.querySelectorAll("details:not(.motion) > :not(summary, .links)")]
      .filter(part => !part.checkVisibility()).length"""
    assert browser.evaluate(folded) == 0
    browser.call("Emulation.setEmulatedMedia", media="", features=[])
