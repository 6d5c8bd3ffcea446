"""The teaser shows the image that its rule names, and the classifier's answer to what is shown."""

from dataclasses import replace

import numpy
import pytest
import torch

from stylex.attfind.records import Direction
from stylex.figures.explanations import Tile, choose_teaser, draw_teaser, render_teaser
from stylex.networks.stylespace import StyleVector
from tests.figures.conftest import assert_apart


def settled(experiment, decided, errors=None):
    """The same images with given decisions of their reconstructions, which are right."""
    decided = torch.tensor(decided)
    logits = 4.0 * torch.eye(2)[decided]
    error = torch.tensor(errors) if errors is not None else torch.full((len(decided),), 0.1)
    latents = replace(
        experiment.latents, labels=decided, logits=logits, reconstruction_logits=logits, reconstruction_l1=error
    )
    effects = replace(experiment.effects, base_logits=logits, effect=torch.zeros_like(experiment.effects.effect))
    return latents, effects


def test_the_mean_over_attributes_decides(experiment):
    latents, effects = settled(experiment, [0] * 6 + [1] * 6)
    attributes = experiment.attributes["bright"][:2]
    first, second = ((one.direction, one.style_index) for one in attributes)
    effects.effect[1, first[0], first[1], 1] = 9.0  # one attribute alone does much on image 1
    effects.effect[5, first[0], first[1], 1] = 9.0
    effects.effect[5, second[0], second[1], 1] = 4.5
    for attribute in (first, second):
        effects.effect[3, attribute[0], attribute[1], 1] = 5.0  # no attribute does as little on image 3
        effects.effect[8, attribute[0], attribute[1], 1] = 9.0  # image 8 is of the class already
    assert choose_teaser(attributes, effects, latents, 1) == 5


def test_faithful_images_come_first_and_what_was_not_measured_counts_as_no_change(experiment):
    latents, effects = settled(experiment, [0] * 11 + [1], errors=[0.9] + [0.1] * 11)
    attributes = experiment.attributes["bright"][:1]
    way, index = attributes[0].direction, attributes[0].style_index
    effects.effect[0, way, index, 1] = 9.0  # rebuilt badly
    effects.effect[4, way, index, 1] = 1.0
    effects.effect[5, way, index] = torch.nan
    assert choose_teaser(attributes, effects, latents, 1) == 4


def test_nothing_to_show(experiment):
    latents, effects = settled(experiment, [1] * 12)
    assert choose_teaser(experiment.attributes["bright"], effects, latents, 1) is None
    latents, effects = settled(experiment, [0] * 12)
    assert choose_teaser([], effects, latents, 1) is None
    assert render_teaser(replace(experiment, attributes={"dull": experiment.attributes["dull"]})) is None


def test_tiles_hold_what_their_captions_say(experiment):
    found = render_teaser(experiment)
    assert found is not None
    heading, tiles = found
    assert heading == "Classified dull. What would raise P(bright)?"
    assert [tile.caption.split("\n")[0] for tile in tiles] == [
        "image", "reconstruction", *(f"attribute {rank}" for rank in range(1, 6)), "all 5 together"
    ]  # fmt: skip
    row = next(row for row in range(12) if numpy.array_equal(experiment.originals([row])[0], tiles[0].image))
    space = experiment.latents.styles[row : row + 1].clone()
    for attribute in experiment.attributes["bright"][:5]:
        extremes = experiment.latents.maxima if attribute.direction == Direction.TO_MAX else experiment.latents.minima
        start = experiment.latents.styles[row, attribute.style_index]
        shift = experiment.config.attfind.shift
        space[0, attribute.style_index] = start + shift * (extremes[attribute.style_index] - start)
    image = experiment.networks.synthesis.render(StyleVector(space, experiment.latents.to_rgb_styles[row : row + 1]))
    numpy.testing.assert_allclose(tiles[-1].image, image[0].permute(1, 2, 0).numpy(), atol=1e-5)
    assert tiles[-1].probability == pytest.approx(experiment.classifier(image).softmax(1)[0, 1].item(), abs=1e-5)


def test_bars_are_as_long_as_the_probabilities():
    tiles = [Tile(numpy.zeros((8, 8, 1), numpy.float32), str(number), 0.1 * number) for number in range(8)]
    figure = draw_teaser("heading", tiles)
    widths = [axes.patches[0].get_width() for axes in figure.axes if axes.patches]
    assert widths == pytest.approx([0.1 * number for number in range(8)])
    assert_apart(figure)
