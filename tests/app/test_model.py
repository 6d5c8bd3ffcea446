"""What the app computes, without a page: the same as the Python API, and an experiment as well as an export."""

import json
import math
from dataclasses import replace

import numpy
import pytest

import stylex
from stylex.app.model import Model, pictures_of, read_model
from stylex.app.work import StoppedError
from stylex.errors import ArtifactError
from stylex.figures.attributes import top_attributes
from tests.api.conftest import NAME, project  # noqa: F401, a fixture
from tests.app.conftest import DIGIT, MODEL


@pytest.fixture(scope="module")
def model() -> Model:
    return read_model(MODEL, "", "cpu")


def test_the_attributes_are_those_of_the_figure(model: Model):
    by_class: dict[str, list] = {}
    for each in model.explainer._source.attributes():
        by_class.setdefault(each.target_class, []).append(each)
    expected = top_attributes(by_class, 8)
    found = [
        (each.style_index, each.direction, each.target_class, each.layer, each.channel) for each in model.attributes
    ]
    assert found == [
        (each.style_index, each.direction.label, each.target_class, each.layer, each.channel) for each in expected
    ]
    assert [each.number for each in model.attributes] == list(range(1, 9))


def test_a_frame_is_what_move_says(model: Model):
    seen = model.look_at(DIGIT, "digit.png")
    first, none = model.attributes[0], [0.0] * 7
    expected = model.explainer.move(DIGIT, (first.style_index, first.direction), 0.42)
    frame = model.frame(seen, [0.42, *none])
    assert frame.probabilities == expected.probabilities
    assert numpy.array_equal(frame.image, expected.image)
    still = model.frame(seen, [0.0] * 8)
    assert still.probabilities == pytest.approx(seen.reconstruction_probabilities)
    assert numpy.array_equal(still.image, pictures_of(seen)[1])


@pytest.mark.parametrize("method", ["subset", "independent"])
def test_a_search_tells_how_far_it_is_and_can_be_ended(model: Model, method):
    seen = model.look_at(DIGIT, "digit.png")
    parts: list[float] = []
    found = model.search(seen, "a digit.png", method, "5", parts.append)
    assert parts == sorted(parts) and parts[0] > 0 and parts[-1] <= 1
    assert json.loads(found.numbers)["image"] == "a digit.png" and found.name == f"a digit-{method}"
    assert found.figure.startswith(b"\x89PNG") and found.summary.startswith(f"a digit.png: 3 to 5, {method}: ")
    plain = model.explainer.explain(DIGIT, "5", method)
    assert json.loads(found.numbers)["steps"] == plain.content()["steps"]

    def stop(part: float) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        model.search(seen, "digit.png", method, "5", stop)


def test_an_unknown_target_and_the_class_that_decides_are_named(model: Model):
    seen = model.look_at(DIGIT, "digit.png")
    with pytest.raises(ArtifactError, match=r"^digit\.png: the classifier already says '3'"):
        model.search(seen, "digit.png", "subset", "3", lambda part: None)


def test_doubts(model: Model):
    seen = model.look_at(DIGIT, "digit.png")
    assert model.doubts(seen) == []
    other = seen._replace(reconstruction_probabilities={"3": 0.2, "5": 0.8})
    (line,) = model.doubts(other)
    assert line.startswith("The classifier decides the reconstruction differently: 5 instead of 3.")
    (line,) = model.doubts(seen._replace(reconstruction=-seen.image))
    assert line.startswith("The reconstruction is poor: its error is ") and "0.069 on average" in line
    assert replace(model, usual_error=math.nan).doubts(seen) == []


def test_of_many_classes_the_likely_ones_are_shown(model: Model):
    seen = model.look_at(DIGIT, "digit.png")
    assert model.shown_classes(seen) == ["3", "5"]


@pytest.mark.slow
def test_an_experiment_is_explained_as_well(project, monkeypatch):  # noqa: F811
    monkeypatch.chdir(project)
    found = read_model(None, NAME, "cpu")
    assert found.title == "MNIST, 3 against 5" and found.examples == ()
    assert found.attributes or found.missing
    assert 0 < found.usual_error < 2
    seen = found.look_at(DIGIT, "digit.png")
    assert found.frame(seen, [0.0] * len(found.attributes)).probabilities == pytest.approx(
        seen.reconstruction_probabilities
    )
    assert isinstance(found.explainer, stylex.Explainer)
