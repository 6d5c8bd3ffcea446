"""The page: one self-contained, accessible file with every table, figure and origin."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas
import pytest
from PIL import Image

from stylex.artifacts import save_tensors
from stylex.config import ExperimentPaths, SuitePaths, load_suite
from stylex.errors import ArtifactError
from stylex.figures.names import ANIMATION_NAMES, FIGURE_NAMES
from stylex.report import render
from stylex.report.claims import Run, judge
from stylex.report.experiment import ExperimentPart, Picture
from stylex.report.methods import method_notes
from stylex.report.page import environment
from stylex.report.provenance import ARTIFACTS, OPTIONAL, anchor
from stylex.report.published import SOURCES as PAPERS
from stylex.report.table import Block

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Collects elements and checks that they nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.headings: list[int] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in HEADINGS:
            self.headings.append(HEADINGS.index(tag) + 1)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def page(finished: Path) -> Page:
    return Page(SuitePaths(finished, "demo").report.read_text(encoding="utf-8"))


def test_it_is_well_formed_and_has_a_language_and_a_viewport(page: Page):
    assert page.open == []
    assert page.all("html") == [{"lang": "en"}]
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))


def test_nothing_is_loaded_from_elsewhere(page: Page):
    for tag, attributes in page.elements:
        if tag != "a":
            for name in ("src", "href", "srcset", "data", "action"):
                value = attributes.get(name)
                assert value is None or value.startswith(("data:image/png;base64,", "data:image/gif;base64,")), (
                    tag,
                    value[:80],
                )
    assert page.all("script") == [{}] and not page.all("link")
    assert "@import" not in page.text and "url(" not in page.text


def test_links_lead_to_what_exists(page: Page, finished: Path):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {str(link["href"]) for link in page.all("a")}
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    files = {link for link in links if not link.startswith("#")}
    assert all((SuitePaths(finished, "demo").folder / link).is_file() for link in files)
    names = load_suite(finished, "demo").tables
    assert {f"tables/{name}.{suffix}" for name in names for suffix in ("csv", "md", "tex")} <= files
    assert {f"figures/mnist-{name}.pdf" for name in FIGURE_NAMES} <= files


def test_a_reader_of_the_screen_finds_the_way(page: Page):
    steps = [after - before for before, after in zip(page.headings, page.headings[1:], strict=False)]
    assert page.headings[0] == 1 and page.headings.count(1) == 1 and max(steps) == 1
    assert len(page.all("main")) == len(page.all("header")) == len(page.all("nav")) == 1
    assert page.all("a")[0] == {"class": "skip", "href": "#main"}
    for attributes in (*page.all("nav"), *(each for each in page.all("div") if each.get("role") == "region")):
        assert attributes["aria-label"]
    assert all(heading.get("scope") in ("row", "col") for heading in page.all("th"))
    named = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    for _, attributes in page.elements:
        assert attributes.get("aria-labelledby") is None or attributes["aria-labelledby"] in named


def test_every_image_is_whole_with_a_text_for_those_who_do_not_see_it(page: Page, finished: Path):
    images = page.all("img")
    experiments = load_suite(finished, "demo").experiments
    assert len(images) == len(experiments) * (len(FIGURE_NAMES) + 2 * len(ANIMATION_NAMES) + 1)
    for attributes in images:
        content = base64.b64decode(str(attributes["src"]).partition("base64,")[2], validate=True)
        with Image.open(io.BytesIO(content)) as image:
            image.verify()
            assert image.format == ("GIF" if "image/gif" in str(attributes["src"]) else "PNG")
        assert len(str(attributes["alt"])) > 20
    first = SuitePaths(finished, "demo").figure("mnist", "attributes", "png").read_bytes()
    assert str(images[0]["src"]).endswith(base64.b64encode(first).decode())


def test_nothing_moves_before_a_reader_asks(page: Page, finished: Path):
    """Inside a closed <details>: whatever prefers-reduced-motion says, and without a script."""
    inside = False
    moving = []
    for tag, attributes in page.elements:
        if tag == "details":
            inside = attributes.get("class") == "motion" and "open" not in attributes
        elif tag == "figcaption":
            inside = False
        elif tag == "img" and "image/gif" in str(attributes["src"]):
            moving.append(inside)
    experiments = load_suite(finished, "demo").experiments
    assert len(moving) == len(experiments) * len(ANIMATION_NAMES) and all(moving)


def test_every_table_is_there_with_a_caption(page: Page, finished: Path):
    ids = {attributes.get("id") for attributes in page.all("section")}
    assert {f"table-{name}" for name in load_suite(finished, "demo").tables} <= ids
    notes = method_notes(finished).count("<table>")
    assert len(page.all("caption")) == len(page.all("table")) - notes > 0
    for cell in ("70.0 (63.3–75.9)", "Lang et al. 2021, Table 3", "87.5", "1.00 ± 0.20"):
        assert cell in page.text


def test_headline_confusion_matrix_and_limits_are_there(page: Page):
    assert "70.0 % of decisions on images that no search has seen flip within the top 10 attributes" in page.text
    assert "(n = 200, 95 % interval 63.3–75.9 %, shift 2): towards 3" in page.text
    assert "shift 2): towards 3 90.0 %, towards 5 50.0 %." in page.text
    assert all(str(count) in page.text for count in (197, 198))
    assert "They are not FID" in page.text and "No experiment of this suite is one of the papers' domains" in page.text


def test_a_verdict_that_wants_a_second_seed_is_shown_and_counted_as_undecided(finished: Path):
    text = SuitePaths(finished, "demo").report.read_text(encoding="utf-8")
    assert '<span class="badge undecided"><span aria-hidden="true">1</span> one seed: not decided</span>' in text
    row = text.split('<th scope="row"><a href="#claim-classifier-specific-training">')[1].split("</tr>")[0]
    assert re.findall(r'<td class="number">(\d+)</td>', row) == ["0", "0", "2"]  # for, against, undecided


def test_provenance_stands_beside_the_numbers(page: Page, finished: Path):
    origin = json.loads(ExperimentPaths(finished, "mnist").sufficiency.with_suffix(".provenance.json").read_text())
    for key in ("config_digest", "commit", "uncommitted", "python", "version_torch"):
        assert origin[key] in page.text
    assert "Uncommitted changes" in page.text
    anchors = {attributes.get("id") for attributes in page.all("tr")}
    artifacts = ("classifier", "stylex", "latents", "effects", "attributes", "subset", "sufficiency", "frechet")
    assert {f"provenance-mnist-{name}" for name in artifacts} <= anchors
    linked = [str(link["href"]) for link in page.all("a")]
    assert linked.count("#provenance-mnist-sufficiency") >= 5  # rows, the line below the table, a figure, claims


def test_each_trained_model_has_a_diagnosis_with_numbers_and_remedies(finished: Path):
    text = SuitePaths(finished, "demo").report.read_text(encoding="utf-8")
    facts = dict(re.findall(r'id="experiment-([\w-]+):title".*?<dt>Diagnosis</dt><dd>(.*?)</dd>', text, re.DOTALL))
    moves = "moves that leave the data"
    without = {"mnist-without-cst": moves, "fashion-mnist-without-cst": moves}
    with_it = f"poor reconstructions; {moves}"
    assert facts == {"mnist": with_it, "fashion-mnist": with_it} | without
    part = text.split("<summary>Diagnosis of mnist</summary>")[1].split("</details>")[0]
    assert part.count("<tr>") == 1 + 4 and 'href="#provenance-mnist-diagnosis"' in part
    row = part.split("their own image is the nearest")[1]
    assert "16.0 %" in row and "at least 50.0 %" in row and "stylex.losses.reconstruction_x" in row
    row = part.split("what AttFind")[1]
    assert "10.00" in row and "at most 4.00" in row and "stylex.training.counterfactuals" in row


def test_what_a_user_writes_is_escaped(measured: Path):
    path = measured / "config" / "suites" / "demo.yaml"
    path.write_text(path.read_text().replace("title: ", "title: <script>alert(1)</script> "))
    render(measured, "demo")
    page = Page(SuitePaths(measured, "demo").report.read_text(encoding="utf-8"))
    assert len(page.all("script")) == 1 and "<script>alert(1)</script>" in page.text


def test_a_missing_figure_is_one_clear_line_and_leaves_the_page_as_it_was(measured: Path):
    paths = SuitePaths(measured, "demo")
    before = paths.report.read_bytes()
    paths.figure("mnist", "history", "png").unlink()
    with pytest.raises(ArtifactError, match="mnist-history.png does not exist"):
        render(measured, "demo")
    assert paths.report.read_bytes() == before


def test_a_damaged_model_is_one_clear_line(measured: Path):
    model = ExperimentPaths(measured, "mnist").stylex_model
    model.write_bytes(b"not a model")
    with pytest.raises(ArtifactError, match="damaged"):
        render(measured, "demo")
    save_tensors(model, {}, {"config_digest": "feed"})
    render(measured, "demo")
    assert "feed" in SuitePaths(measured, "demo").report.read_text(encoding="utf-8")


def test_images_are_said_to_be_the_datasets_own(page: Page):
    shown, heading, _ = page.text.partition("Methods and known deviations")  # there, a loss is told of "real images"
    assert heading
    assert "real image" not in shown and "the dataset's images" in shown


def part_of(name: str) -> ExperimentPart:
    """What the page shows of an experiment, as little as there can be."""
    artifacts = artifacts_known()
    origins = pandas.DataFrame({"Artifact": artifacts})
    return ExperimentPart(
        name=name, title=name, headline="", facts=[("Seed", "0")],
        pictures=[Picture(f"figure-{name}-{each}", each, "data:,", each, each, []) for each in FIGURE_NAMES],
        confusion=None, diagnosis=None, attributes=Block("Attributes", pandas.DataFrame({"Rank": [1]})),
        origins=Block("Origins", origins), origin_ids=[anchor(name, each) for each in artifacts], versions="",
    )  # fmt: skip


def artifacts_known() -> list[str]:
    return [*ARTIFACTS, *OPTIONAL]


def test_whatever_experiments_are_called_each_place_of_the_page_has_its_own_id():
    names = [
        "mnist",
        *(f"mnist-{each}" for each in (*artifacts_known(), "title", "attributes", "subset-title")),
        "title",
    ]
    names += ["experiments", "of", "s-title", "claims"]
    parts = [part_of(name) for name in dict.fromkeys(names)]
    claims = judge(Run())
    text = ""
    for template in ("contents", "claims", "experiments", "tables", "provenance"):
        text += environment().get_template(f"{template}.j2").render(
            parts=parts, claims=claims, papers=PAPERS, tables=[], measured=[], version="0", digest="0"
        )  # fmt: skip
    ids = [attrs["id"] for _, attrs in Page(text).elements if "id" in attrs]
    assert len(ids) > 10 * len(parts) and len(ids) == len(set(ids))
    links = {attrs.get("href") for tag, attrs in Page(text).elements if tag == "a"}
    linked = {str(link)[1:] for link in links if str(link).startswith("#experiment-")}
    assert linked == {f"experiment-{part.name}" for part in parts} <= set(ids)
