"""The comparison: images chosen by rule, each column what its heading says, and the number of each image its own."""

from dataclasses import replace

import numpy
import pytest
import torch

from stylex.artifacts import save_tensors
from stylex.attfind.records import Direction
from stylex.errors import ArtifactError
from stylex.figures.comparison import (
    Cell,
    ComparedImage,
    choose_compared,
    comparison_figure,
    draw_comparison,
    read_direction,
    render_compared,
)
from stylex.figures.style import LOWERED, RAISED
from stylex.networks.stylespace import StyleVector
from tests.figures.conftest import assert_apart, frames_of


def test_images_nearest_the_median_error_of_their_side(experiment):
    decided = torch.tensor([0] * 5 + [1] * 7)
    logits = torch.eye(2)[decided]
    labels = decided.clone()
    labels[2] = 1  # not classified rightly: left out, though its error is the median
    error = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    latents = replace(
        experiment.latents, labels=labels, logits=logits, reconstruction_logits=logits, reconstruction_l1=error
    )
    assert choose_compared(latents, 1) == ([1, 0], [8, 7])  # of an even number the lower median
    one_sided = replace(latents, reconstruction_logits=torch.eye(2)[torch.ones(12, dtype=torch.long)])
    assert choose_compared(one_sided, 1)[0] == []


def test_columns(experiment):
    rows = render_compared(experiment)
    others, targets = choose_compared(experiment.latents, 1)
    assert [row.is_target for row in rows] == [False] * len(others) + [True] * len(targets)
    assert all((row.predicted == "bright") == row.is_target and len(row.tiles) == 7 for row in rows)
    theta, reach = read_direction(experiment)
    for row, place in zip(rows, others + targets, strict=True):
        image, chance, _ = row.tiles[0]
        numpy.testing.assert_array_equal(image, experiment.originals([place])[0])
        assert chance == pytest.approx(experiment.latents.logits[place].softmax(0)[1].item())
        assert row.tiles[1].probability is None and row.tiles[1].image.shape[2] == 3
        w, logits = experiment.latents.w[place : place + 1], experiment.latents.logits[place : place + 1]
        for column, alpha in ((2, -reach), (3, reach)):
            styles = experiment.networks.synthesis.styles(experiment.networks.w_plus(w + alpha * theta, logits))
            assert_shows(experiment, row.tiles[column], styles)
        for column, attribute in enumerate(experiment.attributes["bright"][:3], start=4):
            to_max = (attribute.direction == Direction.TO_MAX) != row.is_target
            extremes = experiment.latents.maxima if to_max else experiment.latents.minima
            space = experiment.latents.styles[place : place + 1].clone()
            start = space[0, attribute.style_index].clone()
            shift = experiment.config.attfind.shift
            space[0, attribute.style_index] = start + shift * (extremes[attribute.style_index] - start)
            assert_shows(experiment, row.tiles[column], StyleVector(space, experiment.latents.to_rgb_styles[[place]]))


@torch.no_grad()
def assert_shows(experiment, tile, styles):
    image = experiment.networks.synthesis.render(styles)
    numpy.testing.assert_allclose(tile.image, image[0].permute(1, 2, 0).numpy(), atol=1e-4)
    assert tile.probability == pytest.approx(experiment.classifier(image).softmax(1)[0, 1].item(), abs=1e-4)


def test_frames_say_what_was_meant(experiment):
    rows = render_compared(experiment)
    figure = draw_comparison(rows, "bright", 3.0)
    ends = [[None, None, LOWERED, RAISED] + [LOWERED if row.is_target else RAISED] * 3 for row in rows]
    assert frames_of(figure) == [colour for row in ends for colour in row]
    assert_apart(figure)


def test_other_classes_are_named_when_they_are_one():
    image = numpy.zeros((8, 8, 3), numpy.float32)
    rows = [ComparedImage(name, name == "2", (Cell(image, 0.5),) * 5) for name in ("0", "0", "2")]
    assert "classified 0: P(2)" in [text.get_text() for text in draw_comparison(rows, "2", 1.0).texts]
    rows[0] = ComparedImage("1", False, rows[0].tiles)
    texts = [text.get_text() for text in draw_comparison(rows, "2", 1.0).texts]
    assert "several classes: P(2)" in texts and "classified 2: P(2)" in texts


def test_without_attributes_the_figure_says_so(experiment):
    rows = render_compared(replace(experiment, attributes={"dull": experiment.attributes["dull"]}))
    assert all(len(row.tiles) == 4 for row in rows)
    texts = [text.get_text() for text in draw_comparison(rows, "bright", 3.0).texts]
    assert texts.count("AttFind found no attribute") == len(rows)


@pytest.mark.parametrize(("width", "name"), [(3, "bright"), (None, "dull")])
def test_a_foreign_direction_is_named(experiment, width, name):
    theta = torch.zeros(width or experiment.latents.w.shape[1])
    save_tensors(experiment.paths.ganalyze, {"theta": theta}, {"target_class": name, "reach": "1.0"})
    with pytest.raises(ArtifactError, match=r"ganalyze\.safetensors holds no direction of 64 numbers towards bright"):
        read_direction(experiment)


@pytest.mark.parametrize("maps", [True, False])
def test_heat_is_called_what_it_is(experiment, monkeypatch, maps):
    if not maps:  # as of a user's own transformer
        monkeypatch.setattr(type(experiment.classifier), "last_maps", None)
    texts = [text.get_text() for text in comparison_figure(experiment).texts]
    assert ("Grad-CAM" in texts, "gradient" in texts) == (maps, not maps)
