"""The questionnaire in a real browser: answered by keyboard alone, reloaded midway, and its CSV analysed."""

import time

import pandas
import pytest

from stylex.config import ExperimentPaths
from stylex.study.answers import analyse

pytestmark = pytest.mark.browser
FOCUS = "document.activeElement.id || document.activeElement.tagName + ' ' + (document.activeElement.value || '')"
VISIBLE = "[...document.querySelectorAll('.step')].filter(step => !step.hidden).map(step => step.id || name(step))"


def address(place, own, served):
    page = ExperimentPaths(own, "mnist").study_page
    if place == "file":
        return page.as_uri()
    folder, url = served
    (folder / "index.html").write_bytes(page.read_bytes())
    return f"{url}/index.html"


@pytest.mark.parametrize("place", ["file", "http"])
def test_a_participant_with_a_keyboard(place, own, served, browser, tmp_path):
    browser.open(address(place, own, served))
    assert browser.evaluate(VISIBLE) == ["start"]
    browser.press("Tab")
    assert browser.evaluate(FOCUS) == "next"
    browser.press("Enter")
    for number, keys in enumerate((["Space"], ["ArrowDown"], ["Space"]), start=1):  # A, B, A
        assert browser.evaluate(VISIBLE) == [f"1-{number:02d}"] and browser.evaluate(FOCUS) == "H2 "
        browser.press("Tab", *keys)
        assert browser.evaluate(FOCUS) == f"INPUT {'B' if number == 2 else 'A'}"
        if number == 2:
            before = browser.evaluate("state.participant")
            browser.reload()
            assert browser.evaluate(VISIBLE) == ["1-02"]
            kept = "[...document.querySelectorAll('input:checked')].map(input => input.name + input.value)"
            assert browser.evaluate(kept) == ["1-01A", "1-02B"] and browser.evaluate("state.participant") == before
            browser.evaluate("document.querySelector('[name=\"1-02\"]:checked').focus()")
        browser.press("Enter")
    for text in ('thicker, "upper" stroke', "=slant", ""):
        browser.press("Tab")
        browser.send("Input.insertText", text=text)
        browser.press("Enter")
    assert browser.evaluate(VISIBLE) == ["end"]
    assert "question 6" in browser.evaluate("document.getElementById('missing').textContent")
    browser.press("Tab")
    assert browser.evaluate(FOCUS) == "download"
    browser.press("Enter")
    file = downloaded(tmp_path / "downloads")
    answers = pandas.read_csv(file, dtype=str)
    assert answers["question"].tolist() == ["1-01", "1-02", "1-03", "2-01", "2-02"]
    assert answers["answer"].tolist() == ["A", "B", "A", 'thicker, "upper" stroke', "=slant"]
    assert set(answers["participant"]) == {before} and before in file.name
    people, words = analyse(ExperimentPaths(own, "mnist").study_key, [file])
    assert people["n"].tolist() == [1, 1, 1, 3] and {"slant", "stroke"} <= set(words["word"])
    assert browser.errors == []


def downloaded(folder):
    for _ in range(200):
        files = list(folder.glob("*.csv"))
        if files and files[0].stat().st_size:
            return files[0]
        time.sleep(0.05)
    raise AssertionError(f"no CSV in {list(folder.iterdir())}")


def test_every_image_moves_and_every_control_has_a_name(own, served, browser):
    browser.open(address("file", own, served))
    assert browser.evaluate("[...document.images].every(image => image.complete && image.naturalWidth === 32)")
    assert browser.evaluate("document.images.length") == 3 * 4 + 3 * 4
    browser.evaluate("go(1)")
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    named = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"] and node["role"]["value"] in ("radio", "textbox", "button", "image", "group", "heading")
    ]
    assert all(name for _, name in named)
    assert [name for role, name in named if role == "radio"] == ["A, upper right", "B, lower right"]
    assert sum(role == "image" for role, _ in named) == 4
    browser.evaluate("document.getElementById('still').click()")
    assert browser.evaluate("document.querySelectorAll('canvas').length") == 24
    assert browser.evaluate("document.getElementById('still').getAttribute('aria-pressed')") == "true"
    browser.evaluate("document.getElementById('still').click()")
    assert browser.evaluate("document.querySelectorAll('canvas').length") == 0
    assert browser.errors == []


def test_one_part_alone_and_a_browser_that_keeps_nothing(own, served, browser):
    browser.open(address("file", own, served) + "?part=2")
    assert browser.evaluate("questions.map(name)") == ["2-01", "2-02", "2-03"]
    browser.evaluate("Storage.prototype.setItem = () => { throw new Error('full') }")
    assert browser.evaluate("document.getElementById('warning').hidden")
    browser.evaluate("go(1)")
    assert not browser.evaluate("document.getElementById('warning').hidden")


def test_the_page_fits_a_phone(own, served, browser):
    browser.send("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
    browser.open(address("file", own, served))
    for step in range(browser.evaluate("steps.length")):
        browser.evaluate(f"go({step})")
        assert browser.evaluate("document.documentElement.scrollWidth") <= 390
