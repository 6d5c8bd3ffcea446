"""The page in a real browser: what a person does, with the mouse, the keyboard and a phone's width."""

import json
import os
import re
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import stylex
from stylex.app.model import Attribute, top_attributes
from tests.app.conftest import DIGIT, MODEL, REPOSITORY, App, running
from tests.browsers import CONTRAST, Browser

PHONE, DESK = 360, 1280  # CSS pixels
FRAME = 0.15  # seconds, from a slider's move to the moved picture
SCREENSHOT = REPOSITORY / "docs/images/app.png"
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "Home": 36, "End": 35, "Tab": 9, "Enter": 13}
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not on PATH (apt-get install chromium)"),
]
EXPLAINER = stylex.load(MODEL)
ATTRIBUTES = top_attributes(EXPLAINER)
GIVE = """(async () => {
  const content = await (await fetch("/example/%d")).arrayBuffer();
  const carried = new DataTransfer();
  carried.items.add(new File([content.slice(0, %s)], %s));
  if (%s) {
    const zone = document.getElementById("drop");
    for (const kind of ["dragover", "drop"])
      zone.dispatchEvent(new DragEvent(kind, {bubbles: true, cancelable: true, dataTransfer: carried}));
  } else {
    const input = document.getElementById("file");
    input.files = carried.files;
    input.dispatchEvent(new Event("change", {bubbles: true}));
  }
})()"""
SLIDE = """(() => {
  const slider = document.getElementById("slider-%d");
  slider.value = %s;
  slider.dispatchEvent(new Event("input", {bubbles: true}));
})()"""
FRAMES = """(async () => {
  const slider = document.getElementById("slider-0"), picture = document.getElementById("picture-moved"), times = [];
  for (let step = 1; step <= %d; step++) {
    await new Promise(done => setTimeout(done, 80));
    const begin = performance.now();
    const moved = new Promise(done => {
      const seen = new MutationObserver(() => {
        seen.disconnect();
        picture.decode().then(() => requestAnimationFrame(done));
      });
      seen.observe(picture, {attributes: true, attributeFilter: ["src"]});
    });
    slider.value = step / %d;
    slider.dispatchEvent(new Event("input", {bubbles: true}));
    await moved;
    times.push(performance.now() - begin);
  }
  return times;
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        started.call("Network.enable")
        yield started


@pytest.fixture
def opened(browser: Browser, app: App) -> Browser:
    """The page, as it comes."""
    return open_page(browser, app.url)


def open_page(browser: Browser, url: str, width: int = DESK) -> Browser:
    browser.evaluate("onbeforeunload = null")  # Chromium forgets a navigation that comes while it runs NiceGUI's
    browser.open(url, width, 1000)
    browser.wait("window.did_handshake === true", 30)
    return browser


def text(browser: Browser, identity: str) -> str:
    return browser.evaluate(f"document.getElementById({json.dumps(identity)})?.textContent ?? ''")


def give(browser: Browser, name: str = "digit.png", number: int = 0, size: str = "undefined", drop: bool = True) -> str:
    """Drop an example's file on the page, or choose it, and return what the page says of it."""
    browser.evaluate(GIVE % (number, size, json.dumps(name), json.dumps(drop)))
    browser.wait(f"document.getElementById('status').textContent.startsWith({json.dumps(name)})")
    return text(browser, "status")


def chances(browser: Browser, column: int) -> dict[str, tuple[float, float]]:
    """The probabilities that a column of the table shows by class, as intervals."""
    rows = browser.evaluate(
        "[...document.querySelectorAll('.chances tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    known = {">0.99": (0.995, 1.0), "<0.01": (0.0, 0.005)}
    return {row[0]: known.get(row[column]) or (float(row[column]) - 0.005, float(row[column]) + 0.005) for row in rows}


def agrees(shown: dict[str, tuple[float, float]], computed: dict[str, float]) -> bool:
    return all(low - 1e-6 <= computed[name] <= high + 1e-6 for name, (low, high) in shown.items())


def moved(attribute: Attribute, position: float) -> dict[str, float]:
    """What Explainer.move says, by the coordinate itself."""
    towards = attribute.direction if position > 0 else {"to_min": "to_max", "to_max": "to_min"}[attribute.direction]
    return EXPLAINER.move(DIGIT, (attribute.style_index, towards), abs(position)).probabilities


def slide(browser: Browser, place: int, position: float) -> None:
    """Move a slider, and wait for what the page says of it."""
    before = browser.evaluate("document.getElementById('picture-moved').src")
    browser.evaluate(SLIDE % (place, position))
    browser.wait(f"document.getElementById('picture-moved').src !== {json.dumps(before)}")


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_can_be_read_and_loads_nothing_from_elsewhere(browser: Browser, app: App, width: int, scheme: str):
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    open_page(browser, app.url, width)
    assert browser.evaluate("document.title") == "StylEx: MNIST, 3 against 5"
    give(browser)
    browser.evaluate("document.getElementById('run').click()")
    browser.wait("document.getElementById('figure')?.naturalWidth > 0", 30)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(CONTRAST) == []
    assert browser.complaints() == []
    sent = [each["params"] for each in browser.events if each.get("method") == "Network.requestWillBeSent"]
    sockets = [each["params"]["url"] for each in browser.events if each.get("method") == "Network.webSocketCreated"]
    urls = [each["request"]["url"] for each in sent if not each["request"]["url"].startswith("data:")] + sockets
    assert len(sockets) == 1 and len(urls) > 10
    assert {url.partition("://")[2].partition("/")[0] for url in urls} == {app.root.removeprefix("http://")}
    browser.call("Emulation.setEmulatedMedia", features=[])


def test_a_file_is_dropped_or_chosen_and_a_bad_one_keeps_the_page(opened: Browser):
    assert not opened.evaluate("document.getElementById('slider-0').checkVisibility()")
    assert give(opened, "one.png").startswith("one.png: the classifier says 3, probability")
    first = opened.evaluate("document.getElementById('picture-image').src")
    assert give(opened, "two.png", 7, drop=False).startswith("two.png: the classifier says 5, probability")
    second = opened.evaluate("document.getElementById('picture-image').src")
    assert first != second
    assert "two.png" in text(opened, "status")
    assert give(opened, "cut.png", 7, size="100").startswith("cut.png cannot be read as an image: ")
    assert opened.evaluate("document.getElementById('picture-image').src") == second
    opened.evaluate("document.getElementById('file').dataset.most = 10")
    assert give(opened, "big.png") == "big.png: more than 0.00001 MB; make it smaller"


def test_an_example_shows_what_the_explainer_says(opened: Browser):
    opened.evaluate("document.querySelectorAll('.examples button')[0].click()")
    opened.wait("document.getElementById('status').textContent.startsWith('example 1: ')")
    seen = EXPLAINER.look_at(DIGIT)
    assert agrees(chances(opened, 1), seen.probabilities)
    assert agrees(chances(opened, 2), seen.reconstruction_probabilities)
    assert agrees(chances(opened, 3), seen.reconstruction_probabilities)
    assert f"{seen.l1:.3f}" in text(opened, "error") and text(opened, "doubts") == ""


def test_sliders_move_the_picture_and_the_probability_alone_and_together(opened: Browser):
    give(opened)
    for place, position in ((0, 0.42), (0, 0.44), (0, -0.5)):
        slide(opened, place, position)
        assert agrees(chances(opened, 3), moved(ATTRIBUTES[place], position))
    slide(opened, 0, 0.38)
    slide(opened, 1, 0.5)
    both = [ATTRIBUTES[0].at(0.38), ATTRIBUTES[1].at(0.5)]
    expected = EXPLAINER.move_styles(EXPLAINER.encode(DIGIT), both).probabilities
    assert agrees(chances(opened, 3), expected) and min(expected.values()) > 0.1  # neither alone does that
    said = max(expected, key=expected.__getitem__)
    assert text(opened, "answer").startswith(f"Moved: {said}, probability")
    opened.evaluate("document.getElementById('reset').click()")
    opened.wait(
        "document.getElementById('picture-moved').src === document.getElementById('picture-reconstruction').src"
    )
    assert opened.evaluate("[...document.querySelectorAll('input[type=range]')].every(each => each.value == 0)")
    assert opened.complaints() == []


def test_right_raises_the_class_that_a_slider_names():
    styles = EXPLAINER.encode(DIGIT)
    for attribute in ATTRIBUTES[:3]:
        chance = [
            EXPLAINER.move_styles(styles, [attribute.at(position)]).probabilities[attribute.target_class]
            for position in (-1, 0, 1)
        ]
        assert chance == sorted(chance)


def test_the_last_of_many_positions_is_shown(opened: Browser):
    give(opened)
    for step in range(100):
        opened.evaluate(SLIDE % (0, 1 - step / 100))
    opened.evaluate(SLIDE % (0, 0.42))
    opened.wait("document.querySelector('.slider .value').textContent === '+0.42'")
    time.sleep(0.5)
    assert agrees(chances(opened, 3), moved(ATTRIBUTES[0], 0.42))


@pytest.mark.parametrize("position", ["'none'", "NaN", "1e9", "-1e400", "''"])
def test_positions_that_no_slider_has_do_no_harm(opened: Browser, app: App, position: str):
    give(opened)
    opened.evaluate("document.getElementById('slider-0').type = 'text'")
    opened.evaluate(SLIDE % (0, position))
    opened.evaluate("document.getElementById('slider-0').type = 'range'")
    time.sleep(0.3)
    slide(opened, 0, 0.42)
    assert agrees(chances(opened, 3), moved(ATTRIBUTES[0], 0.42))
    assert not app.errors


def test_two_browsers_do_not_meet(browser: Browser, app: App, tmp_path: Path):
    with Browser(tmp_path / "other") as other:
        for each in (browser, other):
            give(open_page(each, app.url))
        slide(browser, 0, 0.2)
        slide(other, 0, 0.44)
        slide(browser, 0, 0.42)
        assert agrees(chances(browser, 3), moved(ATTRIBUTES[0], 0.42))
        assert agrees(chances(other, 3), moved(ATTRIBUTES[0], 0.44))


def test_the_keyboard_is_enough(opened: Browser):
    def press(key: str, times: int = 1) -> None:
        for _ in range(times):
            opened.press(key, KEYS[key])

    def focused() -> str:
        return opened.evaluate("document.activeElement.id || document.activeElement.ariaLabel")

    press("Tab")
    assert focused() == "file"
    press("Tab")
    opened.wait("document.activeElement.ariaLabel?.startsWith('example 1') ?? false")
    press("Enter")
    opened.wait("document.getElementById('status').textContent.startsWith('example 1: ')")
    opened.wait("document.getElementById('slider-0').checkVisibility()")
    press("Tab", 8)
    assert focused() == "slider-0"
    style = opened.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"
    press("ArrowRight", 42)
    opened.wait("document.querySelector('.slider .value').textContent === '+0.42'")
    time.sleep(0.3)
    assert agrees(chances(opened, 3), moved(ATTRIBUTES[0], 0.42))
    press("Home")
    opened.wait("document.querySelector('.slider .value').textContent === '-1.00'")
    press("Tab", len(ATTRIBUTES))
    assert focused() == "reset"
    press("Enter")
    opened.wait("document.querySelector('.slider .value').textContent === '0.00'")
    press("Tab", 3)
    assert focused() == "run"
    press("Enter")
    opened.wait("document.getElementById('figure')?.naturalWidth > 0", 30)
    press("Tab")
    assert focused() == "png"


def test_every_control_has_a_name_and_changes_are_told(opened: Browser):
    give(opened)
    opened.call("Accessibility.enable")
    nodes = opened.call("Accessibility.getFullAXTree")["nodes"]
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if "role" in node]
    sliders = [name for role, name in named if role == "slider"]
    assert len(sliders) == len(ATTRIBUTES) and sliders[0].startswith("Attribute 1: raises")
    controls = [name for role, name in named if role in ("button", "combobox", "link", "slider", "image")]
    assert all(controls)
    assert [role for role, _ in named].count("status") >= 3
    assert [role for role, _ in named].count("main") == 1


@pytest.mark.parametrize("method", ["subset", "independent"])
def test_a_search_gives_what_the_explainer_saves(opened: Browser, tmp_path: Path, method: str):
    give(opened)
    opened.evaluate(f"document.getElementById('method').value = '{method}'")
    assert opened.evaluate("[...document.getElementById('target').options].map(each => each.value)") == ["5"]
    opened.evaluate("document.getElementById('run').click()")
    opened.wait("document.getElementById('figure')?.naturalWidth > 0", 30)
    expected = EXPLAINER.explain(DIGIT, "5", method)
    expected.save(tmp_path / "saved.png")
    assert text(opened, "told") == expected.summary().splitlines()[0].replace(str(DIGIT), "digit.png")
    assert opened.evaluate("document.querySelectorAll('.steps tbody tr').length") == len(expected.steps)
    read = "(async () => %s)()"
    numbers = opened.evaluate(read % "(await fetch(document.getElementById('json').href)).json()")
    saved = json.loads((tmp_path / "saved.json").read_text())
    assert numbers.pop("provenance").keys() == saved.pop("provenance").keys()
    assert numbers == saved | {"image": "digit.png"}
    size = opened.evaluate(read % "(await (await fetch(document.getElementById('png').href)).blob()).size")
    assert size == pytest.approx((tmp_path / "saved.png").stat().st_size, rel=0.02)
    assert opened.evaluate("document.getElementById('png').download") == f"digit-{method}.png"
    assert opened.evaluate("document.getElementById('progress').checkVisibility()") is False


def test_a_search_that_cannot_be_is_one_line(opened: Browser):
    give(opened)
    opened.evaluate("document.getElementById('target').options[0].value = '3'")
    opened.evaluate("document.getElementById('run').click()")
    opened.wait("document.getElementById('told').textContent.startsWith('digit.png')", 30)
    assert text(opened, "told") == "digit.png: the classifier already says '3'; choose another target"


def test_doubts_are_told(opened: Browser):
    opened.evaluate("""(async () => {
      const canvas = new OffscreenCanvas(32, 32), draw = canvas.getContext("2d"), carried = new DataTransfer();
      for (let i = 0; i < 32; i += 2) { draw.fillStyle = i % 4 ? "#fff" : "#000"; draw.fillRect(0, i, 32, 2); }
      carried.items.add(new File([await canvas.convertToBlob()], "stripes.png"));
      document.getElementById("drop").dispatchEvent(
        new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: carried}));
    })()""")
    opened.wait("document.getElementById('status').textContent.startsWith('stripes.png: ')")
    assert "The reconstruction is poor: its error is" in text(opened, "doubts")


def test_a_frame_comes_in_time(browser: Browser, app: App):
    give(open_page(browser, app.url))
    medians = []
    for _ in range(3):
        medians.append(statistics.median(browser.evaluate(FRAMES % (25, 25))) / 1000)
    assert min(medians) < FRAME


def test_with_the_token_the_page_works_and_without_it_says_so(browser: Browser, tmp_path: Path):
    with running(tmp_path / "token", "--token", "a-token-of-ones-own") as app:
        browser.evaluate("onbeforeunload = null")
        browser.open(app.root, DESK)
        assert "a token is needed" in browser.evaluate("document.body.textContent")
        browser.call("Page.navigate", url=app.url)
        browser.wait("location.search === '' && window.did_handshake === true", 30)
        assert give(browser).startswith("digit.png: the classifier says 3")
        slide(browser, 0, 0.2)
        assert "token" not in browser.evaluate("document.cookie")


def test_a_picture_of_it(browser: Browser, app: App, tmp_path: Path):
    """It goes to docs/images where STYLEX_SCREENSHOTS is set."""
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    give(open_page(browser, app.url, 1100), "digit.png")
    slide(browser, 0, 0.43)
    browser.evaluate("document.activeElement.blur()")
    file = tmp_path / "app.png"
    picture = browser.screenshot()
    picture.quantize(64).save(file, optimize=True)
    assert picture.size == (1100, 1000) and file.stat().st_size < 200_000
    if os.environ.get("STYLEX_SCREENSHOTS"):
        shutil.copy(file, SCREENSHOT)
    assert re.fullmatch(r"Moved: [35], probability .*", text(browser, "answer"))
