"""The reconstruction grid: which images, which numbers, which frames, and pixels of the differences."""

import numpy
import pytest
import torch

from stylex.figures.reconstructions import (
    Reconstruction,
    choose_reconstructions,
    draw_reconstructions,
    render_reconstructions,
)
from stylex.figures.style import RAISED
from tests.figures.conftest import assert_apart, corners, frames_of


def test_evenly_spaced_in_rank_and_the_worst():
    error = torch.randperm(17, generator=torch.Generator().manual_seed(0)) / 10  # 11 below the worst 6
    spaced, worst = choose_reconstructions(error)
    assert error[spaced].tolist() == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert error[worst].tolist() == pytest.approx([1.1, 1.2, 1.3, 1.4, 1.5, 1.6])


def test_few_images_are_each_shown_once():
    assert choose_reconstructions(torch.tensor([0.3, 0.1, 0.2])) == ([1, 2], [0])
    assert choose_reconstructions(torch.tensor([0.3])) == ([0], [])


def test_numbers_are_of_the_true_class_and_a_frame_says_another_decision(experiment):
    latents, rows = experiment.latents, [4, 7]
    images = render_reconstructions(experiment, rows)
    with torch.no_grad():
        again = experiment.networks.synthesis.render(latents.style_vector(torch.tensor(rows)))
        chances = experiment.classifier(again).softmax(dim=1)
    for number, (row, one) in enumerate(zip(rows, images, strict=True)):
        label = int(latents.labels[row])
        assert one.class_name == latents.class_names[label]
        assert one.before == pytest.approx(latents.logits[row].softmax(0)[label].item())
        assert one.after == pytest.approx(chances[number, label].item(), abs=1e-5)
        assert one.kept == (chances[number].argmax() == latents.logits[row].argmax())
        assert one.error == latents.reconstruction_l1[row]
        original = experiment.split.images(torch.tensor([row]))[0].permute(1, 2, 0)
        numpy.testing.assert_array_equal(one.original, original)


@pytest.mark.parametrize("channels", [1, 3])
def test_drawing(channels):
    grey, white = (numpy.full((8, 8, channels), level, numpy.float32) for level in (0.0, 0.5))
    kept, lost = (Reconstruction("ankle-boot", grey, white, 0.9, 0.2, 0.5, keeps) for keeps in (True, False))
    figure = draw_reconstructions([kept, lost], [lost])
    assert corners(figure) == ["0.90", "0.20"] * 3
    thin = "#BBBBBB"  # of differences
    assert frames_of(figure)[:6] == [None, None, thin, None, RAISED, thin]
    assert float(numpy.asarray(figure.axes[2].images[0].get_array()).mean()) == pytest.approx(0.5)
    assert "ankle-b…\n0.500" in [text.get_text() for text in figure.texts]
    assert_apart(figure)
