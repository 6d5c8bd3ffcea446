"""The reconstruction grid: which images, which numbers, which frames, and pixels of the differences."""

from dataclasses import replace

import numpy
import pytest
import torch

from stylex.figures.reconstructions import (
    Reconstruction,
    choose_reconstructions,
    draw_reconstructions,
    render_reconstructions,
)
from stylex.figures.style import COLUMN_WIDTH


def test_evenly_spaced_in_rank_and_the_worst():
    error = torch.randperm(17, generator=torch.Generator().manual_seed(0)) / 10  # 11 below the worst 6
    spaced, worst = choose_reconstructions(error)
    assert error[spaced].tolist() == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert error[worst].tolist() == pytest.approx([1.1, 1.2, 1.3, 1.4, 1.5, 1.6])


def test_few_images_are_each_shown_once():
    assert choose_reconstructions(torch.tensor([0.3, 0.1, 0.2])) == ([1, 2], [0])
    assert choose_reconstructions(torch.tensor([0.3])) == ([0], [])


def test_numbers_are_of_the_true_class_and_a_frame_says_another_decision(experiment):
    changed = experiment.latents.logits.clone()
    rows = [4, 7]
    latents = replace(experiment.latents, logits=changed)
    images = render_reconstructions(replace(experiment, latents=latents), rows)
    with torch.no_grad():
        again = experiment.networks.synthesis.render(experiment.latents.style_vector(torch.tensor(rows)))
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
    assert figure.get_size_inches()[0] == COLUMN_WIDTH
    corners = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert corners == ["0.90", "0.20"] * 3
    framed = [axes.spines["top"].get_visible() for axes in figure.axes[:6]]
    assert framed == [False, False, True, False, True, True]  # differences have a thin edge of their own
    assert float(numpy.asarray(figure.axes[2].images[0].get_array()).mean()) == pytest.approx(0.5)
    assert "ankle-b…  0.500" in [text.get_text() for text in figure.texts]
    edge = figure.bbox
    assert all(text.get_window_extent().x1 <= edge.x1 for text in figure.texts)
