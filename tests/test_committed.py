"""What is committed of the suite cpu: pages that are whole without a network, numbers that its networks give again."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pandas
import pytest

from stylex.artifacts import read_table
from stylex.cli import main
from stylex.config import ExperimentPaths, GalleryPaths, SuitePaths, load_suite
from stylex.config.loading import OVERRIDES
from stylex.report.rules import Verdict
from tests.browsers import Browser

ROOT = Path(__file__).parents[1]
SUITE = load_suite(ROOT, "cpu")
PATHS, GALLERY = SuitePaths(ROOT, "cpu"), GalleryPaths(ROOT, "cpu")
EXPERIMENT = "mnist-pair"
ARTIFACTS = PATHS.folder / "artifacts"  # at their places in results/: its networks, and those that measure
TOLERANCE = 0.03  # of fractions: bfloat16 rounds otherwise on another processor
VERBS = ("encode", "effects", "attributes", "sufficiency", "explain", "ganalyze", "counterfactuals")
STAGES = ("download mnist", "prepare mnist --resolution 32", *(f"{verb} {EXPERIMENT}" for verb in VERBS))
LINKS = "[...document.querySelectorAll('a[href], img[src]')].map(each => each.href || each.src)"


def test_every_verdict_is_of_three_trainings_and_twelve_claims_have_one():
    found = read_table(PATHS.claims, ("claim", "sentence"))
    decided = found[found["verdict"].isin([Verdict.SUPPORTS, Verdict.CONTRADICTS])]
    assert len(set(decided["claim"])) >= 12
    assert SUITE.seeds == 3
    of_three = decided["sentence"].str.contains(r"^3 trainings \(|Mean of 3 seeds: ")
    assert of_three.all(), decided.loc[~of_three, ["claim", "sentence"]].to_string()


@pytest.mark.slow
def test_the_numbers_of_an_experiment_follow_from_its_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert sum(path.stat().st_size for path in ARTIFACTS.rglob("*")) < 10e6
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copytree(ARTIFACTS, tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(OVERRIDES, json.dumps({"attfind": {"protocols": ["held_out"]}}))  # half of the time
    for stage in STAGES:
        with pytest.raises(SystemExit) as ended:
            main(stage.split())
        assert not ended.value.code, stage
    paths = ExperimentPaths(tmp_path, EXPERIMENT)
    for path, keys, values in (
        (paths.sufficiency, ["method", "protocol", "target_class", "k"], ["fraction"]),
        (paths.counterfactuals, ["method", "protocol", "target_class"], ["validity", "agreement"]),
    ):
        committed = read_table(PATHS.table(path.stem, "csv"))
        committed = committed[committed["experiment"] == EXPERIMENT].set_index(keys)
        again = read_table(path).set_index(keys)
        assert len(again) > 5
        expected = committed.loc[again.index, values]  # a missing number equals a missing number alone
        pandas.testing.assert_frame_equal(again[values], expected, check_dtype=False, rtol=0, atol=TOLERANCE)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not on PATH (apt-get install chromium)")
class TestPages:
    @pytest.mark.parametrize("width", [360, 1280])
    def test_the_report_is_whole(self, browser: Browser, width: int):
        with browser.offline():
            browser.open(PATHS.report, width)  # and decodes every image
            assert_of_the_folder(browser)
        assert browser.evaluate("document.title") == SUITE.title
        assert browser.evaluate('document.querySelectorAll(".card").length') == len(SUITE.pictured)
        links = browser.evaluate(LINKS)
        files = {unquote(urlsplit(each).path) for each in links if each.startswith("file:")}
        assert len(files) > 100 and not [each for each in files if not Path(each).is_file()]
        assert browser.evaluate("document.documentElement.scrollWidth") <= width

    @pytest.mark.parametrize("name", SUITE.pictured)
    def test_the_gallery_shows_every_question(self, browser: Browser, name: str):
        with browser.offline():
            browser.open(f"{GALLERY.page.as_uri()}#experiment={name}", 1280)
            browser.wait("!document.getElementById('stage').hidden")
            assert_of_the_folder(browser)


def assert_of_the_folder(browser: Browser) -> None:
    asked = browser.asked()
    assert asked and all(url.startswith((f"{PATHS.folder.as_uri()}/", "data:")) for url in asked)
    assert browser.complaints() == []
