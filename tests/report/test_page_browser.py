"""The page in a real browser, opened from its file: it loads little, fits, sorts, prints whole, and needs no mouse."""

import base64
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image

from stylex.config import SuitePaths
from stylex.figures.catalog import FIGURE_NAMES
from tests.browsers import BOX, CONTRAST, Browser

NARROW, PHONE, DESK = 360, 390, 1280  # CSS pixels
SCREEN = 900
LIGHT = 3_000_000  # bytes of what is fetched before a figure is opened
SCREENSHOT = Path(__file__).parents[2] / "docs/images/report.png"
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


def opened(browser: Browser, page: Path, width: int) -> list[Path]:
    """Open a page and look at it for a moment; return the files that it asked for, itself the first."""
    browser.call("Network.enable")
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=SCREEN, deviceScaleFactor=1, mobile=False)
    browser.call("Page.navigate", url="about:blank")
    browser.events.clear()
    browser.call("Page.navigate", url=page.as_uri())
    browser.wait('location.href.startsWith("file:") && document.readyState === "complete"')
    browser.evaluate("new Promise(done => setTimeout(done, 300)).then(() => true)")
    return asked(browser)


def asked(browser: Browser) -> list[Path]:
    """Return the files that were asked for, and anything that is no file."""
    events = [each["params"] for each in browser.events if each.get("method") == "Network.requestWillBeSent"]
    addresses = [event["request"]["url"] for event in events]
    return [Path(unquote(each.removeprefix("file://"))) for each in addresses if not each.startswith("data:")]


@pytest.mark.parametrize("width", [NARROW, PHONE, DESK])
def test_no_figure_but_those_of_the_first_screen_is_fetched_before_it_is_looked_at(
    browser: Browser, page: Path, width: int
):
    files = opened(browser, page, width)
    shown = browser.evaluate('[...document.querySelectorAll(".card img")].map(image => image.getAttribute("src"))')
    assert files[0] == page and {*files[1:]} <= {page.parent / each for each in shown}
    assert len(files) > 1 and sum(path.stat().st_size for path in files) < LIGHT
    browser.events.clear()
    figure = """document.querySelector("figure.attribute-1")"""
    browser.evaluate(f"{figure}.scrollIntoView()")
    browser.wait(f'{figure}.querySelector("img").naturalWidth > 0')
    assert not [path for path in asked(browser) if path.suffix == ".gif"]
    browser.events.clear()
    browser.evaluate(f'{figure}.querySelector("summary").click()')
    browser.wait(f'{figure}.querySelector("details img").naturalWidth > 0')
    assert [path.suffix for path in asked(browser)].count(".gif") == 1
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.complaints() == []


def test_nothing_jumps_when_a_picture_arrives(browser: Browser, page: Path):
    opened(browser, page, DESK)
    place = """[...document.querySelectorAll("figure > img")].map(image => image.getBoundingClientRect().height)"""
    before = browser.evaluate(place)
    browser.evaluate("""Promise.all([...document.querySelectorAll("figure > img")].map(image => {
      image.loading = "eager"; return image.decode(); })).then(() => true)""")
    assert browser.evaluate(place) == before and min(before) > 50


def test_the_page_in_one_file_asks_for_no_other(browser: Browser, page: Path):
    bundle = SuitePaths(Path(), "demo").bundle
    assert opened(browser, page.with_name(bundle.name), DESK) == [page.with_name(bundle.name)]
    assert browser.evaluate("[...document.images].every(image => image.src.startsWith('data:'))")


def test_the_first_screen_has_question_picture_answer_and_verdict_of_each_experiment(browser: Browser, page: Path):
    opened(browser, page, DESK)
    parts = (
        "h1",
        ".asked",
        *(f".card:nth-child({at}) {each}" for at in (1, 2) for each in ("img", ".answer", ".badge")),
    )
    for part in parts:
        box = browser.evaluate(BOX % json.dumps(part))
        assert box["height"] > 0 and box["y"] + box["height"] <= SCREEN, (part, box)
    opened(browser, page, NARROW)
    tops = [browser.evaluate(BOX % json.dumps(part))["y"] for part in parts]
    assert tops == sorted(tops)
    texts = browser.evaluate('[...document.querySelectorAll(".badge")].slice(0, 1).map(each => each.textContent)')
    assert texts[0].strip()


@pytest.mark.skipif("STYLEX_SCREENSHOTS" not in os.environ, reason="STYLEX_SCREENSHOTS=1 renews the picture of docs")
def test_the_picture_of_the_documentation_is_the_first_screen(browser: Browser, page: Path):
    assert "STYLEX_REPORT" in os.environ, "the picture is of a real run: STYLEX_REPORT=results/demo/index.html"
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    browser.call("Emulation.setScrollbarsHidden", hidden=True)
    opened(browser, page, DESK)
    taken = browser.screenshot()
    browser.call("Emulation.setScrollbarsHidden", hidden=False)
    taken.quantize(128, dither=Image.Dither.NONE).save(SCREENSHOT, optimize=True)
    assert taken.size == (DESK, SCREEN)


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
    assert orders[2][1] == before and (firsts[0] != firsts[2] or len({*firsts[0]}) == 1)
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
    opened(browser, page, DESK)  # no figure has been fetched yet
    printed = base64.b64decode(browser.call("Page.printToPDF", preferCSSPageSize=True)["data"])
    figures = browser.evaluate('document.querySelectorAll("figure > img").length')
    assert len(re.findall(rb"/Subtype ?/Image", printed)) >= figures
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
