"""The first screen, and what the page says of attributes: names, what each does alone, and whether to believe it."""

import json
import re
from dataclasses import replace
from html import escape
from pathlib import Path

import pytest
import yaml

from stylex.artifacts import read_table, sha256, write_json, write_table
from stylex.attfind.records import top_attributes
from stylex.config import ExperimentPaths, SuitePaths
from stylex.errors import NamesError
from stylex.figures.catalog import ANIMATION_NAMES
from stylex.report import render
from stylex.report.answer import AGREED, AGREES, DISAGREES, UNJUDGED, asked_of, classes, quality
from stylex.report.attributes import Attributes, attributes_of
from stylex.report.experiment import experiment_part
from stylex.report.links import Links
from stylex.report.pictures import Album
from stylex.report.run import Run, load_run

LINKS = Links(["sufficiency", "counterfactuals"])


def loaded(root: Path) -> Run:
    return load_run(root, "demo")[1]


def page_of(root: Path) -> str:
    render(root, "demo")
    return SuitePaths(root, "demo").report.read_text(encoding="utf-8")


def name_attributes(root: Path, *named: tuple[int, str, bool], model: str | None = None) -> None:
    paths = ExperimentPaths(root, "mnist")
    common = {"experiment": "mnist", "model": model or sha256(paths.stylex_model)}
    entries = [common | {"style_index": index, "name": name, "favourite": star} for index, name, star in named]
    write_json(paths.names, {"format": 1, "kind": "stylex attribute names", "attributes": entries})


# What was asked


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["3", "5"], "3 and 5"),
        (["a", "b", "c"], "a, b and c"),
        ([str(number) for number in range(200)], "200 classes, 0 to 199"),
        (["rest", "3"], "3 against the rest"),
    ],
)
def test_the_classes_of_a_classifier_in_a_sentence(names, text):
    assert classes(names) == text


def test_a_suite_asks_of_each_classifier_once_and_of_many_in_a_few_words(finished: Path):
    run = loaded(finished)
    shoes = "the classifier of sneaker and ankle-boot (fashion_mnist, 32 pixels square)"
    one = replace(run, experiments={name: run.experiments[name] for name in ("mnist", "mnist-without-cst")})
    digits = "What does the classifier of 3 and 5 (mnist, 32 pixels square) look at"
    assert asked_of(one) == f"{digits}?"
    assert asked_of(run) == f"{digits}, and {shoes}?"
    digit = run.experiments["mnist"]
    many = {
        f"at-{side}": digit.model_copy(update={"dataset": digit.dataset.model_copy(update={"resolution": side})})
        for side in (8, 16, 64, 128)
    }
    more = replace(run, experiments=many, _read={(name, "latents"): run.latents("mnist") for name in many})
    assert asked_of(more).endswith("and the classifier of 3 and 5 (mnist, 64 pixels square), and 1 more?")


# What each attribute does alone


def counts(run: Run, attributes: Attributes, figure: str) -> list[tuple[int, int, int, int]]:
    table = read_table(run.paths("mnist").map_numbers).set_index(["target_class", "style_index", "direction"])
    keys = [(number, one.target_class, one.style_index, one.direction.label)
            for number, one in attributes.shown(figure).items()]  # fmt: skip
    rows = [(number, table.loc[tuple(key)]) for number, *key in keys]
    return [(number, row["flipped"], row["n"], row["agreed"]) for number, row in rows]


@pytest.mark.parametrize("figure", ["attributes", "class-attributes", "teaser", *ANIMATION_NAMES])
def test_a_caption_ends_with_what_was_measured_of_the_attributes_that_the_figure_shows(finished: Path, figure: str):
    run = loaded(finished)
    attributes = attributes_of(run, "mnist")
    found, words = counts(run, attributes, figure), attributes.words(figure)
    assert found and words.startswith("Moved alone, attribute ")
    for number, flipped, n, _ in found:
        assert re.search(
            rf"attribute {number} flips {flipped} of {n}( images)? \({100 * flipped / n:.0f} %", words, re.I
        )
    _, flipped, n, agreed = found[0]
    said = f"; an independent classifier agrees on {agreed:.0f} ({100 * agreed / n:.0f} %)."
    assert (said in words) == (flipped > 0)
    assert escape(words) in page_text(finished)


def page_text(root: Path) -> str:
    return SuitePaths(root, "demo").report.read_text(encoding="utf-8")


def test_numbers_in_captions_are_those_of_the_figure(finished: Path):
    run = loaded(finished)
    attributes = attributes_of(run, "mnist")
    merged = top_attributes(attributes.lists, 4)
    assert list(attributes.shown("attributes").values()) == merged
    assert [attributes.shown(name) for name in ANIMATION_NAMES] == [{k: one} for k, one in enumerate(merged, start=1)]
    assert list(attributes.shown("teaser").values()) == list(attributes.lists["5"])
    assert attributes.shown("history") == {} and attributes.words("history") == ""


def test_without_an_oracle_or_an_image_a_caption_says_no_more_than_was_measured(measured: Path):
    path = ExperimentPaths(measured, "mnist").map_numbers
    origin = json.loads(path.with_suffix(".provenance.json").read_text())
    table = read_table(path)
    write_table(path, table.assign(agreed=None, flipped=2, n=3), origin)
    words = attributes_of(loaded(measured), "mnist").words("attribute-1")
    assert words == "Moved alone, attribute 1 flips 2 of 3 images (67 %)."
    write_table(path, table.assign(n=0, flipped=0, agreed=0), origin)
    assert attributes_of(loaded(measured), "mnist").words("attributes") == ""


# Names


def test_names_stand_in_the_table_in_captions_and_in_the_answer_and_are_escaped(measured: Path):
    mine = [one.style_index for one in attributes_of(loaded(measured), "mnist").lists["5"]]
    name_attributes(
        measured, (mine[0], "<b>open & top</b>", True), (mine[1], "", True), (mine[2], "loop $x$ | y", False)
    )
    text = page_of(measured)
    assert "<b>open" not in text
    table = text.split("<summary>All attributes of mnist</summary>")[1].split("</details>")[0]
    assert '<th scope="col">Name</th>' in table and "★: a favourite" in table
    assert "★ &lt;b&gt;open &amp; top&lt;/b&gt;" in table and "<td>★</td>" in table and "<td>loop $x$ | y</td>" in table
    answer = text.split('id="answer-mnist"')[1].split("</article>")[0]
    assert "Attribute 1 “&lt;b&gt;open &amp; top&lt;/b&gt;” (layer" in answer
    figure = text.split('id="figure-mnist-teaser"')[1].split("</figure>")[0]
    assert "Names given by people: attribute 1 “&lt;b&gt;open &amp; top&lt;/b&gt;”, attribute 3 “loop" in figure
    others = text.split("<summary>All attributes of fashion-mnist</summary>")[1].split("</details>")[0]
    assert '<th scope="col">Name</th>' not in others


def test_names_of_another_training_are_told_of_and_not_used(measured: Path):
    name_attributes(measured, (10, "open top", True), model="0" * 64)
    text = page_of(measured)
    assert "open top" not in text
    assert "1 names in results/experiments/mnist/names.json are of another training and are not used" in text
    ExperimentPaths(measured, "mnist").names.write_text("{")
    with pytest.raises(NamesError, match=r"mnist/names\.json is not JSON"):
        render(measured, "demo")


# Whether to believe it


def judged(root: Path, **changes):
    """Return the verdict of an experiment whose training is good, whose counterfactuals are changed."""
    paths = ExperimentPaths(root, "mnist")
    table = read_table(paths.counterfactuals)
    write_table(paths.counterfactuals, table.assign(frechet_ratio=1.0, **changes), {})
    diagnosis = read_table(paths.diagnosis)
    good = diagnosis["measure"] != "own_nearest" if "bad" not in changes else diagnosis["measure"] != ""
    write_table(
        paths.diagnosis, diagnosis[good], json.loads(paths.diagnosis.with_suffix(".provenance.json").read_text())
    )
    run = loaded(root)
    part = experiment_part(run, "mnist", Album(SuitePaths(root, "demo")), attributes_of(run, "mnist"), LINKS, True)
    return quality(run, part, LINKS)


@pytest.mark.parametrize(
    ("changes", "kind", "verdict", "reason"),
    [
        ({"agreement": AGREED}, "supports", AGREES, ">80 % of 80</a> counterfactuals."),
        ({"agreement": AGREED - 0.01}, "contradicts", DISAGREES, ">79 % of 80</a> counterfactuals."),
        ({"agreement": 1.0, "bad": 1}, "contradicts", "poor reconstructions", ">100 % of 80</a>"),
        ({"agreement": 0.0, "bad": 1}, "contradicts", f"poor reconstructions; {DISAGREES}", ">0 % of 80</a>"),
        ({"agreement": None}, "untested", UNJUDGED, "No independent classifier was asked."),
        ({"agreement": None, "bad": 1}, "contradicts", "poor reconstructions", "No independent classifier was asked."),
    ],
)
def test_the_verdict_is_of_the_diagnosis_and_of_the_independent_classifier(measured, changes, kind, verdict, reason):
    found = judged(measured, **changes)
    assert (found.kind, found.verdict) == (kind, verdict)
    assert reason in found.reason and 'href="#provenance-mnist-diagnosis"' in found.reason


# The order of the page


def test_claims_come_first_but_in_a_suite_of_ones_own_images(measured: Path):
    text = page_text(measured)
    assert text.index('id="results"') < text.index('id="claims"') < text.index('id="experiments"')
    dataset = {"title": "Photos", "layout": "folders", "folder": "photos", "licence": "mine", "channels": 1}
    for name in ("mnist", "fashion_mnist"):  # in place of the built-in ones
        path = measured / f"config/datasets/{name}.yaml"
        path.write_text(yaml.safe_dump(dataset | {"classes": ["a", "b"]}))
    text = page_of(measured)
    assert text.index('id="results"') < text.index('id="experiments"') < text.index('id="claims"')
    contents = text.split("<nav")[1].split("</nav>")[0]
    assert contents.index("#experiments") < contents.index("#claims")
