"""The page: light beside its figures or one file with them, accessible, with every table, caption, CSV and origin."""

import base64
import io
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pandas
import pytest
import yaml
from PIL import Image

from stylex.artifacts import read_json, read_table, save_tensors, write_json
from stylex.attfind.selection import select
from stylex.cli import main
from stylex.config import ExperimentPaths, SuitePaths, load_experiment, load_suite
from stylex.errors import ArtifactError
from stylex.evaluation.maps import maps
from stylex.evaluation.sufficiency import sufficiency
from stylex.figures.catalog import ANIMATION_NAMES, COPIES, FIGURE_NAMES, RELEASED, TRAINED
from stylex.figures.make import experiment_figures
from stylex.released.convert import convert_released
from stylex.report import render, tables
from stylex.report.attributes import how_found
from stylex.report.basic_tables import class_list
from stylex.report.captions import caption
from stylex.report.claims import UNTESTED, judge
from stylex.report.experiment import Confusion, ExperimentPart
from stylex.report.links import HOLDS, Links
from stylex.report.page import NOTES, environment, method_notes, settings
from stylex.report.pictures import Image as Shown
from stylex.report.pictures import Picture
from stylex.report.published import SOURCES as PAPERS
from stylex.report.rules import Verdict
from stylex.report.run import ARTIFACTS, OPTIONAL, Run, anchor
from stylex.report.table import Block

REPOSITORY = Path(__file__).parents[2]
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

    @property
    def ids(self) -> list[str | None]:
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]


def read(root: Path, suite: str = "demo") -> str:
    return SuitePaths(root, suite).report.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(finished: Path) -> Page:
    return Page(read(finished))


@pytest.fixture(scope="module")
def bundle(finished: Path) -> Page:
    """The same page in one file."""
    return Page(SuitePaths(finished, "demo").bundle.read_text(encoding="utf-8"))


@pytest.mark.parametrize("which", ["page", "bundle"])
def test_it_is_well_formed_has_a_language_and_loads_nothing_from_elsewhere(which: str, request: pytest.FixtureRequest):
    page = request.getfixturevalue(which)
    assert page.open == [] and page.all("html") == [{"lang": "en"}]
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action") if tag != "a" else ():
            value = attributes.get(name)
            embedded = ("data:image/png;base64,", "data:image/gif;base64,")
            allowed = embedded if which == "bundle" else "figures/"
            assert value is None or value.startswith(allowed), (tag, value[:80])
    assert page.all("script") == [{}] and not page.all("link")
    assert "@import" not in page.text and "url(" not in page.text


def test_links_lead_to_what_exists(page: Page, finished: Path):
    assert len(page.ids) == len(set(page.ids))
    links = {str(link["href"]) for link in page.all("a")}
    assert {link[1:] for link in links if link.startswith("#")} <= set(page.ids)
    files = {link for link in links if not link.startswith(("#", "gallery/"))}  # made by a stage of its own
    assert all((SuitePaths(finished, "demo").folder / link).is_file() for link in files)
    names = load_suite(finished, "demo").tables
    assert {f"tables/{name}.{suffix}" for name in names for suffix in ("csv", "md", "tex")} <= files
    assert {f"figures/mnist-{name}.pdf" for name in FIGURE_NAMES} <= files
    assert "gallery/index.html#experiment=mnist" in links


def test_every_finding_caption_and_number_of_the_first_screen_leads_to_a_csv_or_names_its_file(finished: Path):
    text = read(finished)
    captions = re.findall(r"<caption>(.*?)</caption>", text, re.DOTALL)
    of_tables = [caption for caption in captions if 'href="tables/' in caption]
    blocks = sum(len(table.split("<caption>")) - 1 for table in re.findall(r'id="table-.*?</section>', text, re.DOTALL))
    assert len(of_tables) == blocks > len(load_suite(finished, "demo").tables)
    findings = re.findall(r"<li><span class=\"badge.*?</li>", text, re.DOTALL)
    origins = [re.findall(r'href="(.*?)"', finding) for finding in findings]
    assert len(origins) > 20 and all(links[0].startswith("#") for links in origins)
    with_csv = {links[0].rpartition("-")[2]: links[1] for links in origins if len(links) == 2}
    assert with_csv["sufficiency"] == "tables/sufficiency.csv" and with_csv["paired"] == "tables/paired.csv"
    assert with_csv["latents"] == with_csv["classifier"] == "tables/classifiers.csv"
    without = {links[0].rpartition("-")[2] for links in origins if len(links) == 1}
    assert without == {"flips", "independent", "stylex"}  # in no table
    row = text.split('id="provenance-mnist-flips"')[1].split("</tr>")[0]
    assert "results/experiments/mnist/flips.csv" in row
    assert "results/experiments/mnist/stylex/history.csv" in text and "mnist/attribute_maps.csv" in text
    cards = re.findall(r'<article class="card".*?</article>', text, re.DOTALL)
    for card in cards:
        answer = re.findall(r'<p class="answer">(.*?)</p>', card)[0]
        assert not re.search(r"\d of \d|\d %", re.sub(r"<a .*?</a>", "", answer))
        assert 'href="tables/sufficiency.csv"' in answer and 'href="tables/counterfactuals.csv"' in card
    assert {table for table in HOLDS.values() if table != "factors"} <= set(load_suite(finished, "demo").tables)


def test_a_screen_reader_finds_headings_landmarks_and_names(page: Page):
    steps = [after - before for before, after in zip(page.headings, page.headings[1:], strict=False)]
    assert page.headings[0] == 1 and page.headings.count(1) == 1 and max(steps) == 1
    assert len(page.all("main")) == len(page.all("header")) == len(page.all("nav")) == 1
    assert page.all("a")[0] == {"class": "skip", "href": "#main"}
    for attributes in (*page.all("nav"), *(each for each in page.all("div") if each.get("role") == "region")):
        assert attributes["aria-label"]
    assert all(heading.get("scope") in ("row", "col") for heading in page.all("th"))
    for _, attributes in page.elements:
        assert attributes.get("aria-labelledby") is None or attributes["aria-labelledby"] in page.ids


def test_every_image_is_whole_with_its_size_and_a_text_for_those_who_do_not_see_it(
    page: Page, bundle: Page, finished: Path
):
    images = page.all("img")
    experiments = load_suite(finished, "demo").experiments
    assert len(images) == len(experiments) * (len(TRAINED) + 2 * len(ANIMATION_NAMES) + 1)
    folder, embedded = SuitePaths(finished, "demo").folder, bundle.all("img")
    for attributes, other in zip(images, embedded, strict=True):
        content = base64.b64decode(str(other["src"]).partition("base64,")[2], validate=True)
        assert content == (folder / str(attributes["src"])).read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            assert (attributes["width"], attributes["height"]) == (str(image.width), str(image.height))
            image.verify()
            assert image.format == ("GIF" if "image/gif" in str(other["src"]) else "PNG")
        assert len(str(attributes["alt"])) > 20
    assert images[0]["src"] == "figures/mnist-teaser.png" and images[4]["src"] == "figures/mnist-attributes.png"


def test_the_suites_folder_has_all_that_the_page_shows(finished: Path):
    for name, path in COPIES.items():
        original = getattr(ExperimentPaths(finished, "mnist"), path)
        assert SuitePaths(finished, "demo").figure("mnist", name, "png").read_bytes() == original.read_bytes()


def test_nothing_moves_before_a_reader_asks(page: Page, finished: Path):
    """Inside a closed <details>: whatever prefers-reduced-motion says, and without a script."""
    inside = False
    moving = []
    for tag, attributes in page.elements:
        if tag == "details":
            inside = attributes.get("class") == "motion" and "open" not in attributes
        elif tag == "figcaption":
            inside = False
        elif tag == "img" and str(attributes["src"]).endswith(".gif"):
            moving.append(inside)
    experiments = load_suite(finished, "demo").experiments
    assert len(moving) == len(experiments) * len(ANIMATION_NAMES) and all(moving)


def test_tables_headline_confusion_matrix_and_limits_are_there(page: Page, finished: Path):
    ids = {attributes.get("id") for attributes in page.all("section")}
    assert {f"table-{name}" for name in load_suite(finished, "demo").tables} <= ids
    notes = method_notes(finished).count("<table>")
    assert len(page.all("caption")) == len(page.all("table")) - notes > 0
    for text in (
        "70.0 (63.3–75.9)", "Lang et al. 2021, Table 3", "87.5", "1.00 ± 0.20", "197", "198", "They are not FID",
        "70.0 % of decisions on images that no search has seen flip within the top 10 attributes",
        "(n = 200, 95 % interval 63.3–75.9 %, shift 2): towards 3 90.0 %, towards 5 50.0 %.",
        "No experiment of this suite is one of the papers' domains",
    ):  # fmt: skip
        assert text in page.text
    shown, heading, _ = page.text.partition("Methods and known deviations")  # there, a loss is told of "real images"
    assert heading and "real image" not in shown and "the dataset's images" in shown


def test_a_verdict_that_wants_a_second_seed_is_shown_and_counted_as_undecided(finished: Path):
    text = read(finished)
    assert '<span class="badge undecided"><span aria-hidden="true">1</span> one seed: not decided</span>' in text
    row = text.split('<th scope="row"><a href="#claim-classifier-specific-training">')[1].split("</tr>")[0]
    assert re.findall(r'<td class="number">(\d+)</td>', row) == ["0", "0", "2"]  # for, against, undecided


def test_every_verdict_stands_in_a_table_beside_the_page(finished: Path):
    text, rows = read(finished), read_table(SuitePaths(finished, "demo").claims)
    section = text.split('<section id="claims"')[1].split("</section>")[0]
    assert 'href="claims.csv"' in section
    for claim, part in rows.groupby("claim"):
        article = section.split(f'<article class="claim" id="claim-{claim}"')[1].split("</article>")[0]
        for verdict in (*Verdict, UNTESTED):
            assert article.count(f"</span> {verdict}</span>") == (part["verdict"] == verdict).sum(), claim
    assert len(set(rows["claim"])) == 19 and set(rows.loc[rows["verdict"] == "supports", "experiment"]) > {"mnist"}


def test_provenance_stands_beside_the_numbers(page: Page, finished: Path):
    origin = json.loads(ExperimentPaths(finished, "mnist").sufficiency.with_suffix(".provenance.json").read_text())
    for key in ("config_digest", "commit", "uncommitted", "python", "version_torch"):
        assert origin[key] in page.text
    assert "Uncommitted changes" in page.text
    anchors = {attributes.get("id") for attributes in page.all("tr")}
    artifacts = ("classifier", "stylex", "latents", "effects", "attributes", "subset", "sufficiency", "frechet", "maps")
    assert {f"provenance-mnist-{name}" for name in artifacts} <= anchors
    linked = [str(link["href"]) for link in page.all("a")]
    assert linked.count("#provenance-mnist-sufficiency") >= 5  # rows, the line below the table, a figure, claims


def test_each_trained_model_has_a_diagnosis_with_numbers_and_remedies(finished: Path):
    text = read(finished)
    facts = dict(re.findall(r'id="experiment-([\w-]+):title".*?<dt>Diagnosis</dt><dd>(.*?) <a', text, re.DOTALL))
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
    page = Page(read(measured))
    assert len(page.all("script")) == 1 and "<script>alert(1)</script>" in page.text


def test_a_missing_figure_or_damaged_model_is_one_clear_line_and_leaves_the_page_as_it_was(measured: Path):
    before, figure = read(measured), SuitePaths(measured, "demo").figure("mnist", "history", "png")
    content = figure.read_bytes()
    figure.unlink()
    with pytest.raises(ArtifactError, match="mnist-history.png does not exist"):
        render(measured, "demo")
    figure.write_bytes(content)
    model = ExperimentPaths(measured, "mnist").stylex_model
    model.write_bytes(b"not a model")
    with pytest.raises(ArtifactError, match="damaged"):
        render(measured, "demo")
    assert read(measured) == before
    save_tensors(model, {}, {"config_digest": "feed"})
    render(measured, "demo")
    assert "feed" in read(measured)


def test_the_verb_writes_the_page_or_on_request_one_file(measured: Path, monkeypatch: pytest.MonkeyPatch):
    paths = SuitePaths(measured, "demo")
    before = {path: path.read_bytes() for path in (paths.report, paths.bundle)}
    monkeypatch.chdir(measured)
    for options, written in (([], paths.report), (["--self-contained"], paths.bundle)):
        for path in before:
            path.unlink(missing_ok=True)
        with pytest.raises(SystemExit) as ended:
            main(["report", "demo", *options])
        assert not ended.value.code
        assert {path: path.read_bytes() for path in before if path.is_file()} == {written: before[written]}


def test_every_configuration_is_loaded_once(measured: Path, monkeypatch: pytest.MonkeyPatch):
    loaded = Counter()

    def counted(root: Path, name: str):
        loaded[name] += 1
        return load_experiment(root, name)

    for module in ("run", "basic_tables"):
        monkeypatch.setattr(f"stylex.report.{module}.load_experiment", counted)
    monkeypatch.setattr("stylex.config.loading.load_experiment", counted)
    render(measured, "demo")
    assert loaded == dict.fromkeys(load_suite(measured, "demo").experiments, 1)


# Whatever experiments are called, each place of the page has its own id

KNOWN = [*ARTIFACTS, *OPTIONAL]
SHOWN = Shown("data:,", 1, 1)


def part_of(name: str) -> ExperimentPart:
    """What the page shows of an experiment, as little as there can be."""
    return ExperimentPart(
        name=name, title=name, headline="", facts=[("Seed", "0", "")],
        pictures=[Picture(f"figure-{name}-{each}", each, SHOWN, each, each, []) for each in FIGURE_NAMES],
        confusion=None, verdict=None, diagnosis=None, of_moves=False, notes=[], versions="",
        attributes=Block("Attributes", pandas.DataFrame({"Rank": [1]})),
        origins=Block("Origins", pandas.DataFrame({"Artifact": KNOWN})),
        origin_ids=[anchor(name, one) for one in KNOWN],
    )  # fmt: skip


def test_whatever_experiments_are_called_each_place_of_the_page_has_its_own_id():
    names = ["mnist", *(f"mnist-{each}" for each in (*KNOWN, "title", "attributes", "subset-title")), "title"]
    parts = [part_of(name) for name in dict.fromkeys([*names, "experiments", "of", "s-title", "claims"])]
    values = {"sections": ["claims.j2", "experiments.j2"], "links": Links([]), "own": False}
    values |= {
        "parts": parts,
        "every": parts,
        "claims": judge(Run(REPOSITORY, {})),
        "papers": PAPERS,
        "tables": [],
        "measured": [],
    }
    templates = [f"{name}.j2" for name in ("contents", "claims", "experiments", "tables", "provenance")]
    texts = [environment().get_template(name).render(**values, version="0", digest="0") for name in templates]
    page = Page("".join(texts))
    assert len(page.ids) > 10 * len(parts) and len(page.ids) == len(set(page.ids))
    linked = {str(link.get("href"))[1:] for link in page.all("a") if "#experiment-" in str(link.get("href"))}
    assert linked == {f"experiment-{part.name}" for part in parts} <= set(page.ids)


# Classes and mistakes, for two classes and for 200


def test_the_most_frequent_mistakes_come_first_and_right_answers_never():
    confusion = Confusion(["a", "b", "c"], [[5, 1, 0], [4, 2, 2], [0, 0, 9]])
    assert confusion.shown
    assert confusion.mistakes() == [("b", "a", 4, 0.5), ("b", "c", 2, 0.25), ("a", "b", 1, 1 / 6)]
    assert class_list([str(number) for number in range(10)]) == "0 / 1 / 2 / 3 / 4 / 5 / 6 / 7 / 8 / 9"


def test_a_classifier_of_200_classes_has_a_row_and_its_worst_mistakes(measured: Path):
    path = ExperimentPaths(measured, "mnist").classifier.metrics
    names = [f"bird {number:03d}" for number in range(200)]
    counts = [[30 if row == column else 0 for column in range(200)] for row in range(200)]
    counts[17][42] = 12
    del (metrics := read_json(path))["calibration"]
    write_json(path, metrics | {"class_names": names, "confusion_matrix": counts})
    tables(measured, "demo")
    render(measured, "demo")
    row = read_table(SuitePaths(measured, "demo").table("classifiers", "csv")).set_index("experiment").loc["mnist"]
    assert row["classes"] == "bird 000 / … / bird 199 (200 classes)" and row[["ece", "temperature"]].isna().all()
    page = read(measured)
    assert '<tr><th scope="row">bird 017</th><td>bird 042</td><td class="number">12</td>' in page
    assert "bird 018" not in page


# The page's part on methods: what the notes mark, and every setting of every experiment

MARKED = """not this
<!-- report -->
## A heading
For `all` of them:

| a | b |
|---|---|
| <b>x</b> | [a link](../config) |
<!-- end report -->
nor this
"""


def test_marked_parts_alone_are_shown_with_named_tables_and_without_links_and_markup(tmp_path: Path):
    assert method_notes(tmp_path) == ""
    (tmp_path / NOTES).parent.mkdir()
    (tmp_path / NOTES).write_text(MARKED, encoding="utf-8")
    html = method_notes(tmp_path)
    assert "<h3>A heading</h3>" in html and "this" not in html
    assert 'role="region" tabindex="0" aria-label="For all of them"' in html and '<th scope="col">a</th>' in html
    assert "&lt;b&gt;x" in html and "<td>a link</td>" in html and "<a " not in html


def test_the_notes_of_the_project_are_marked():
    html = method_notes(REPOSITORY)
    assert all(f"<h3>{title}" in html for title in ("What the paper leaves open", "Where this", "Limits of what"))
    assert "Mistakes of the public" not in html and "<!--" not in html


def test_settings_have_a_row_for_each_key_and_a_column_for_each_experiment():
    block = settings({name: load_experiment(REPOSITORY, name) for name in ("mnist", "fashion-mnist")})
    rows = {row[0]: row[1:] for row in block.frame.to_numpy().tolist()}
    assert rows["dataset.classes"] == ["3, 5", "sneaker, ankle-boot"]
    assert rows["stylex.conditional_discriminator"] == ["true", "true"] and rows["published_domain"] == ["–", "–"]


# Captions: FID of Inception's features and of no others, the search that ran, whose images


@pytest.mark.parametrize(
    ("extractors", "text"),
    [
        (["backbone"], "above the curve: this is not FID."),
        (["inception"], "above the curve (FID: pytorch-fid's Inception). KID"),
        (["inception", "backbone"], "(FID: pytorch-fid's Inception): in all others it is not FID."),
    ],
)
def test_caption_of_the_curve(extractors, text):
    config = load_experiment(REPOSITORY, "mnist")
    evaluation = config.evaluation.model_copy(update={"frechet_extractors": extractors})
    assert text in caption("frechet", config.model_copy(update={"evaluation": evaluation}))[1]


@pytest.mark.parametrize("name", ["leaves", "mnist", "released-age"])
def test_captions_are_whole_and_call_no_image_real(name):
    config = load_experiment(REPOSITORY, name).model_copy(update={"title": "{title} of {x}"})
    captions = {figure: caption(figure, config) for figure in FIGURE_NAMES + ANIMATION_NAMES}
    words = " ".join(text for texts in captions.values() for text in texts)
    assert "real" not in re.findall(r"\w+", words) and "{" not in words.replace(config.title, "")
    assert "5 at the most, each moved alone on the reconstruction" in captions["independent"][1]
    assert "Each image shows all steps so far" in captions["subset"][1]


@pytest.mark.parametrize(
    ("options", "released", "merged", "texts"),
    [
        ({}, None, False, ["Algorithm 1 of Lang et al. 2021 (threshold", "against all other classes)", "every move",
                           "no earlier attribute explained"]),
        ({"engine": "screened", "confidence": 0.9}, None, False, ["Algorithm 1", "(confidence 90 %)"]),
        ({"algorithm": "notebook"}, None, True, ["find_significant_styles of the authors'", "over all images"]),
        ({"algorithm": "notebook"}, None, False, ["find_significant_styles of", "no earlier attribute explained"]),
        ({"algorithm": "image_fraction", "against": "3"}, None, False,
         ["find_significant_styles_image_fraction of the authors' notebook", "against the class 3)",
          "that the move raises"]),
        ({"algorithm": "notebook"}, "effects", True, ["that its authors measured and released"]),
        ({"algorithm": "notebook"}, "latents", True, ["of every move on every image"]),
    ],
)  # fmt: skip
def test_the_search_that_ran_is_named(options, released, merged, texts):
    config = load_experiment(REPOSITORY, "mnist")
    attfind = config.attfind.model_copy(update={"engine": "exhaustive", "threshold": 0.5, **options})
    text = how_found(config.model_copy(update={"attfind": attfind, "released": released}), merged)
    assert all(each in text for each in texts) and "0.5 logits" in text
    assert ("Algorithm 1" in text) == (attfind.algorithm == "paper")


# Suites with a released model: what it has not is left out

TABLES = ["classifiers", "samples", "sufficiency", "seeds", "paired", "subset", "frechet", "user_study"]


def write_suite(root: Path, name: str, experiments: list[str], asked: list[str]) -> SuitePaths:
    """Make tables and report of a suite; figures of the trained experiments are those of the suite demo."""
    content = {"title": "A mixture", "experiments": experiments, "tables": asked}
    (root / f"config/suites/{name}.yaml").write_text(yaml.safe_dump(content))
    paths = SuitePaths(root, name)
    (paths.folder / "figures").mkdir(parents=True)
    for figure in (SuitePaths(root, "demo").folder / "figures").iterdir():
        (paths.folder / "figures" / figure.name).hardlink_to(figure)
    experiment_figures(root, name, "tiny", "cpu")
    tables(root, name)
    render(root, name)
    return paths


def test_a_released_model_has_its_part_in_a_mixed_suite_and_a_report_alone(measured: Path, add_released):
    add_released(measured, attfind={"threshold": 0.001})
    convert_released(measured, "tiny", "cpu")
    select(measured, "tiny")
    sufficiency(measured, "tiny", "cpu")
    maps(measured, "tiny", "cpu")
    paths = write_suite(measured, "mixed", ["mnist", "tiny", "mnist-without-cst"], TABLES)
    found = {name: read_table(paths.table(name, "csv"), ("experiment",)) for name in TABLES if name != "seeds"}
    rows = {name: set(frame["experiment"]) - {""} for name, frame in found.items() if "experiment" in frame}
    trained = {"mnist", "mnist-without-cst"}
    assert rows.pop("sufficiency") == trained | {"tiny"}
    assert rows == dict.fromkeys(("classifiers", "samples", "subset", "frechet", "user_study"), trained)
    assert set(read_json(paths.metrics("tiny"))) == {"sufficiency"}
    assert {"accuracy", "frechet_distance"} < set(read_json(paths.metrics("mnist")))

    page = read(measured, "mixed")
    figures = ("teaser", "comparison", "reconstructions", "history", "samples", *RELEASED, *ANIMATION_NAMES)
    tiny, mnist = ({name for name in figures if f'id="figure-{one}-{name}"' in page} for one in ("tiny", "mnist"))
    assert tiny == {*RELEASED, *ANIMATION_NAMES} < mnist
    artifacts = ("classifier", "stylex", "latents", "effects", "attributes", "sufficiency")
    for text in (
        'aria-label="Confusion matrix of mnist"', "released, of which no accuracy is published", "Diagnosis of mnist",
        "converted, not trained here", "as figure 2 of van de Geijn et al. 2022 shows them",
        "first among the images whose reconstruction is decided as the image itself",
        *(f'id="provenance-tiny-{artifact}"' for artifact in artifacts),
    ):  # fmt: skip
        assert text in page
    absent = ("Confusion matrix of tiny", "Diagnosis of tiny", "provenance-tiny-subset", "provenance-tiny-diagnosis")
    assert not any(text in page for text in absent)

    write_suite(measured, "alone", ["tiny"], ["sufficiency"])
    page = read(measured, "alone")
    assert 'id="figure-tiny-attributes"' in page and 'id="confusion"' not in page and "#confusion" not in page
    assert "The lists of both classes are merged, and the mean effect is over all images." in page
    assert "on the effects that its authors measured and released." in page
