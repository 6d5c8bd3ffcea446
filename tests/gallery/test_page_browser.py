"""The gallery in a real browser, opened from its file: what moves, what is kept, and that nothing is fetched."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy
import pandas
import pytest
from PIL import Image

from stylex.artifacts import read_table
from stylex.config import GalleryPaths
from stylex.gallery.page import gallery
from stylex.names import import_names
from tests.browsers import CONTRAST, Browser, downloaded
from tests.gallery.conftest import SUITE, TITLE, content_of
from tests.gallery.test_frames import cut, picture

PHONE, DESK = 360, 1280  # CSS pixels
ARROWS = {"ArrowLeft": 37, "ArrowRight": 39, "ArrowDown": 40}
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not on PATH (apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def page(project: Path, browser: Browser) -> Path:
    """The page, of which the browser keeps no names."""
    page = GalleryPaths(project, SUITE).page
    show(browser, page)
    browser.evaluate("localStorage.clear()")
    return page


def show(browser: Browser, page: Path, state: str = "", width: int = DESK) -> None:
    browser.open(f"{page.as_uri()}#{state}", width)
    browser.wait("!document.getElementById('stage').hidden")


def text(browser: Browser, name: str) -> str:
    return browser.evaluate(f"document.getElementById('{name}').textContent")


def pixels(browser: Browser, selector: str = "#moved") -> numpy.ndarray:
    """Return what a canvas shows, uint8 [H, W, 3]."""
    canvas = f"document.querySelector({json.dumps(selector)})"
    size = browser.evaluate(f"{canvas}.width")
    data = browser.evaluate(f"[...{canvas}.getContext('2d').getImageData(0, 0, {size}, {size}).data]")
    return numpy.array(data, numpy.uint8).reshape(size, size, 4)[..., :3]


def frame_of(root: Path, image: int, frame: int) -> numpy.ndarray:
    return cut(picture(content_of(root, "mnist")["images"][image - 1]["sheet"]), frame)


def rows_of(root: Path, image: int) -> pandas.DataFrame:
    table = read_table(GalleryPaths(root, SUITE).numbers("mnist"), ("decision", "oracle", "together"))
    return table[table["id"] == content_of(root, "mnist")["images"][image - 1]["id"]]


def slide(browser: Browser, step: int) -> None:
    browser.evaluate(f"""(() => {{ const slider = document.getElementById("slider");
      slider.value = {step}; slider.dispatchEvent(new Event("input")); }})()""")


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["one", "attributes", "images", "together"])
def test_each_view_fits_and_can_be_read(browser: Browser, page: Path, width: int, scheme: str, view: str):
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    show(browser, page, f"view={view}&image=2&at=1&overlay=mean", width)
    slide(browser, 3)
    assert browser.evaluate("document.querySelector('h1').textContent") == TITLE
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(CONTRAST) == []
    assert browser.complaints() == []


def test_the_slider_moves_the_image_and_the_probability_of_the_table(browser: Browser, page: Path, project: Path):
    show(browser, page, "experiment=mnist&image=2&attribute=1")
    target = content_of(project, "mnist")["attributes"][0]["target_class"]
    rows = rows_of(project, 2).query("attribute == 1").set_index("position")
    seen = set()
    for step in (-8, -3, 0, 4, 5, 8):
        slide(browser, step)
        row, shown = rows.loc[step / 8], pixels(browser)
        assert numpy.array_equal(shown, frame_of(project, 2, step + 8))
        seen.add(shown.tobytes())
        before = rows.loc[0.0, f"P({target})"]
        assert text(browser, "answer") == (
            f"P({target}) = {row[f'P({target})']:.2f}, before {before:.2f}. Decided {row['decision']}."
            f" An independent classifier: {row['oracle']}."
        )
        circle = browser.evaluate("""(() => { const now = document.querySelector("#curve .now");
          return [now.getAttribute("cx"), now.getAttribute("cy")].map(Number); })()""")
        assert circle == pytest.approx([34 + 276 * (step + 8) / 16, 8 + 84 * (1 - row[f"P({target})"])], abs=0.02)
    assert len(seen) >= 4
    assert rows.loc[1.0, "decision"] == target != rows.loc[0.0, "decision"]


def test_the_screen_shows_the_very_pixels_enlarged(browser: Browser, page: Path, project: Path):
    show(browser, page, "experiment=mnist&image=2&attribute=1&at=1")
    browser.evaluate(
        "document.getElementById('moved').style = 'position: fixed; left: 0; top: 0; width: 320px; border-radius: 0'"
    )
    shown = browser.screenshot("#moved")
    enlarged = Image.fromarray(frame_of(project, 2, 16)).resize((320, 320), Image.Resampling.NEAREST)
    assert numpy.array_equal(numpy.asarray(shown.crop((0, 0, 320, 320))), numpy.asarray(enlarged))


def test_keys_alone_reach_and_move_everything(browser: Browser, page: Path, project: Path):
    show(browser, page, "experiment=mnist&image=1")
    stops, moved = [], False
    focused = """(() => {
      const at = document.activeElement, style = getComputedStyle(at.closest("#images label") ?? at);
      return {name: at.id || at.name || at.textContent.trim().slice(0, 20), seen: style.outlineStyle !== "none"};
    })()"""
    while not stops or stops[-1]["name"] != "export":
        browser.press("Tab", 9)
        stop = browser.evaluate(focused)
        stops.append(stop)
        if stop["name"] == "slider":
            for _ in range(8):
                browser.press("ArrowRight", ARROWS["ArrowRight"])
            moved = True
            assert "at=1" in browser.evaluate("location.hash")
            assert numpy.array_equal(pixels(browser), frame_of(project, 1, 16))
        if stop["name"] == "image":
            browser.press("ArrowRight", ARROWS["ArrowRight"])
            assert "image=2" in browser.evaluate("location.hash")
    names = [stop["name"] for stop in stops]
    order = [
        "Skip to the images",
        "experiment",
        "view",
        "slider",
        "play",
        "reset",
        "overlay",
        "class",
        "image",
        "export",
    ]
    assert moved and [name for name in names if name in order][: len(order)] == order
    assert all(stop["seen"] for stop in stops if stop["name"] in order)


def test_a_screen_reader_is_told_what_moves(browser: Browser, page: Path):
    show(browser, page, "experiment=mnist&image=2&attribute=1&at=1")
    tree = browser.call("Accessibility.getFullAXTree")["nodes"]
    slider = next(node for node in tree if node.get("role", {}).get("value") == "slider")
    assert slider["name"]["value"] == "Attribute 1, from its lowest to its highest"
    told = browser.evaluate("document.getElementById('slider').ariaValueText")
    assert told.startswith("1.00: P(") and "Decided" in told
    images = [node["name"]["value"] for node in tree if node.get("role", {}).get("value") in ("image", "img")]
    assert any(name.startswith("Attribute 1 at 1.00. P(") for name in images)
    assert browser.evaluate("document.getElementById('answer').ariaLive") == "polite"


def test_attributes_together_are_the_combinations_of_the_table(browser: Browser, page: Path, project: Path):
    show(browser, page, "experiment=mnist&view=together&image=3")
    rows = rows_of(project, 3).reset_index(drop=True)
    for states in ("+00-", "----", "0+0+"):
        for place, state in enumerate(states):
            browser.evaluate(
                f"""document.querySelectorAll('input[name="together-{place}"]')["-0+".indexOf("{state}")].click()"""
            )
        row = rows[rows["together"] == states].iloc[0]
        assert numpy.array_equal(pixels(browser), frame_of(project, 3, int(row["frame"])))
        assert f"Decided {row['decision']}" in text(browser, "answer")
        bars = browser.evaluate("[...document.querySelectorAll('#bars li')].map(bar => bar.lastChild.textContent)")
        assert bars == [f"{row[f'P({name})']:.2f}" for name in ("3", "5")]
    browser.evaluate("document.getElementById('reset').click()")
    assert numpy.array_equal(pixels(browser), frame_of(project, 3, 8))


@pytest.mark.parametrize("view", ["attributes", "images"])
def test_side_by_side_all_move_with_one_slider(browser: Browser, page: Path, project: Path, view: str):
    show(browser, page, f"experiment=mnist&view={view}&image=4&attribute=2")
    slide(browser, 8)
    content = content_of(project, "mnist")
    count = len(content["attributes" if view == "attributes" else "images"])
    tiles = "[...document.querySelectorAll('.tile')]"
    assert browser.evaluate(f"{tiles}.length") == count
    for number in (1, count):
        selector = f".tile:nth-of-type({number}) canvas"
        image, attribute = (4, number) if view == "attributes" else (number, 2)
        assert numpy.array_equal(pixels(browser, selector), frame_of(project, image, attribute * 17 - 1))
    turned = browser.evaluate(f"{tiles}.map(tile => tile.classList.contains('turned'))")
    pairs = [(4, number) if view == "attributes" else (number, 2) for number in range(1, count + 1)]
    decided = [content["images"][image - 1]["decisions"] for image, _ in pairs]
    assert turned == [each[attribute * 17 - 1] != each[8] for each, (_, attribute) in zip(decided, pairs, strict=True)]
    browser.evaluate(f"{tiles}.at(-1).click()")
    assert "view=one" in browser.evaluate("location.hash")


def test_overlays_show_where_it_acts_and_what_has_changed(browser: Browser, page: Path, project: Path):
    show(browser, page, "experiment=mnist&image=2&attribute=1&at=1&overlay=difference")
    after, before = (frame_of(project, 2, frame).astype(int) for frame in (16, 8))
    assert numpy.array_equal(pixels(browser), numpy.abs(after - before))
    browser.evaluate("""(() => { const choice = document.getElementById("overlay");
      choice.value = "mean"; choice.dispatchEvent(new Event("change")); })()""")
    shown, covered = pixels(browser), numpy.asarray(picture(content_of(project, "mnist")["attributes"][0]["map"]))
    assert numpy.array_equal(shown[covered[..., 3] == 0], after[covered[..., 3] == 0])
    most = numpy.unravel_index(covered[..., 3].argmax(), (32, 32))
    assert numpy.abs(shown[most].astype(int) - covered[most][:3]).max() <= 3
    assert "of 2 at the most" in text(browser, "scale")


def test_a_link_leads_to_the_same_state(browser: Browser, page: Path):
    show(browser, page, "experiment=mnist&image=5&attribute=3&at=-0.5&overlay=mean&class=3")
    link, answer = browser.evaluate("location.href"), text(browser, "answer")
    assert "P(3)" in answer and "image=5" in link
    show(browser, page, "")
    browser.open(link, DESK)
    browser.wait("!document.getElementById('stage').hidden")
    assert text(browser, "answer") == answer and browser.evaluate("location.href") == link
    assert browser.evaluate("document.getElementById('overlay').value") == "mean"


@pytest.mark.parametrize(
    "state", ["image=99&attribute=-4&at=7&view=no", "experiment=x&together=???&class=9&at=b", "%%%"]
)
def test_a_damaged_link_leads_to_something(browser: Browser, page: Path, state: str):
    show(browser, page, state)
    assert text(browser, "answer").startswith("P(") and browser.complaints() == []


def test_another_experiment_is_loaded_when_it_is_chosen(browser: Browser, page: Path):
    show(browser, page, "experiment=mnist&image=2&at=1")
    assert browser.evaluate("[...document.scripts].filter(each => each.src).length") == 1
    browser.evaluate("""(() => { const choice = document.getElementById("experiment");
      choice.value = "mnist-again"; choice.dispatchEvent(new Event("change")); })()""")
    browser.wait("location.hash.includes('experiment=mnist-again') && document.getElementById('busy').hidden")
    assert "independent" not in text(browser, "answer")
    assert browser.evaluate("document.getElementById('csv').getAttribute('href')") == "mnist-again.csv"


def test_names_are_kept_exported_taken_into_the_project_and_imported(browser: Browser, page: Path, own: Path, tmp_path):
    show(browser, page, "experiment=mnist")
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    type_name(browser, 1, " closed <b>bow</b> ")
    browser.evaluate("document.querySelectorAll('.star')[2].click()")
    browser.call("Page.reload")
    browser.wait("document.readyState === 'complete' && !document.getElementById('stage').hidden")
    assert names(browser)[0] == "closed <b>bow</b>" and text(browser, "what") == "closed <b>bow</b>"
    assert browser.evaluate("document.querySelectorAll('.star')[2].ariaPressed") == "true"
    browser.evaluate("document.getElementById('export').click()")
    file = downloaded(tmp_path / "names.json")
    found = content_of(own, "mnist")["attributes"]
    told = {found[0]["style_index"]: ("closed <b>bow</b>", False), found[2]["style_index"]: ("", True)}
    taken = import_names(own, file)["mnist"]
    assert {index: (name.text, name.favourite) for index, name in taken.items()} == told
    browser.evaluate("localStorage.clear()")
    gallery(own, SUITE)
    show(browser, GalleryPaths(own, SUITE).page, "experiment=mnist")
    assert names(browser)[0] == "closed <b>bow</b>"  # what the project has
    show(browser, page, "experiment=mnist")
    assert not any(names(browser))
    give_file(browser, file)
    browser.wait("document.getElementById('status').textContent !== ''")
    assert text(browser, "status") == "2 names imported." and names(browser)[0] == "closed <b>bow</b>"
    show(browser, page, "experiment=mnist&view=attributes&favourites=1")
    assert browser.evaluate("document.querySelectorAll('.tile').length") == 1


def type_name(browser: Browser, number: int, name: str) -> None:
    browser.evaluate(f"document.querySelectorAll('#attributes .name')[{number - 1}].focus()")
    browser.call("Input.insertText", text=name)


def names(browser: Browser) -> list[str]:
    return browser.evaluate("[...document.querySelectorAll('#attributes .name')].map(field => field.value)")


def give_file(browser: Browser, file: Path) -> None:
    document = browser.call("DOM.getDocument")["root"]["nodeId"]
    field = browser.call("DOM.querySelector", nodeId=document, selector="#import")["nodeId"]
    browser.call("DOM.setFileInputFiles", files=[str(file)], nodeId=field)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "This is no JSON file"),
        ("[]", "These are no names of attributes"),
        ('{"kind": "stylex attribute names", "format": 9, "attributes": []}', "newer version"),
        ('{"kind": "stylex attribute names", "format": 1, "attributes": [{"name": 3}]}', "nothing was imported"),
        (
            '{"kind": "stylex attribute names", "format": 1, "attributes": [{"experiment": "mnist", "model": "0",'
            ' "style_index": 1, "name": "x", "favourite": true}]}',
            "0 names imported; 1 left out",
        ),
    ],
)  # fmt: skip
def test_what_is_no_file_of_names_changes_nothing(browser: Browser, page: Path, tmp_path: Path, content, message):
    show(browser, page, "experiment=mnist")
    (tmp_path / "given.json").write_text(content)
    give_file(browser, tmp_path / "given.json")
    browser.wait("document.getElementById('status').textContent !== ''")
    assert message in text(browser, "status")
    assert not any(names(browser)) and browser.evaluate("localStorage.length") == 0


def test_nothing_is_fetched_and_a_missing_file_is_said(browser: Browser, own: Path):
    page = GalleryPaths(own, SUITE).page
    with browser.offline():
        show(browser, page, "experiment=mnist&view=images&at=1")
        asked = browser.asked()
    folder = page.parent.as_uri()
    assert asked and all(url.startswith((f"{folder}/", "data:")) for url in asked)
    GalleryPaths(own, SUITE).frames("mnist").unlink()
    browser.open(f"{page.as_uri()}#experiment=mnist", DESK)
    browser.wait("document.getElementById('status').textContent !== ''")
    assert "mnist.js is not beside this page" in text(browser, "status")


def test_it_plays_and_stops_where_it_is_touched(browser: Browser, page: Path):
    show(browser, page, "experiment=mnist&image=2")
    browser.evaluate("document.getElementById('play').click()")
    browser.wait("document.getElementById('slider').value >= 3")
    slide(browser, -2)
    time.sleep(0.4)
    assert browser.evaluate("document.getElementById('slider').value") == "-2"
    assert text(browser, "play") == "Play"


def test_an_experiment_without_attributes_says_so(browser: Browser, own: Path):
    frames = GalleryPaths(own, SUITE).frames("mnist")
    content = content_of(own, "mnist") | {"attributes": [], "images": [], "together": 0}
    frames.write_text(f"gallery.add({json.dumps(content)});\n")
    show(browser, GalleryPaths(own, SUITE).page, "experiment=mnist")
    assert browser.evaluate("document.getElementById('none').checkVisibility()")
    assert not browser.evaluate("document.getElementById('works').checkVisibility()")
    assert browser.complaints() == []


REAL = os.environ.get("STYLEX_REPORT")


@pytest.mark.skipif(not REAL, reason="STYLEX_REPORT names no report of a real run of the demo")
def test_that_of_the_demo_is_small_and_quick_and_is_pictured_for_the_docs(browser: Browser):
    page = Path(REAL or "").resolve().parent / "gallery/index.html"
    size = sum(file.stat().st_size for file in page.parent.iterdir())
    took = []
    for _ in range(5):
        begun = time.monotonic()
        show(browser, page, "experiment=fashion-mnist&image=1&attribute=1&at=0.75")
        took.append(time.monotonic() - begun)
    assert size < 15e6 and sorted(took)[2] < 2, (size, took)
    if os.environ.get("STYLEX_SCREENSHOTS"):
        folder = Path(__file__).parents[2] / "docs/images"
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
        browser.open(f"{page.as_uri()}#experiment=fashion-mnist&image=1&attribute=1&at=0.75", 1100, 1000)
        browser.wait("!document.getElementById('stage').hidden")
        browser.screenshot().save(folder / "gallery.png", optimize=True)
