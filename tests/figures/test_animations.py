"""Attribute animations: there and back without a jump, endless, the stated time, and the still beside them."""

from dataclasses import replace

import numpy
import pytest
import torch
from PIL import Image

from stylex.attfind.records import Direction
from stylex.figures.animations import (
    EDGE,
    HEAD,
    SMALL,
    STEPS,
    _indexed,
    draw_still,
    frames,
    note_picture,
    positions,
    render_sweep,
    save_gif,
)
from stylex.figures.catalog import ANIMATION_SECONDS
from stylex.figures.style import LOWERED, RAISED
from stylex.networks.stylespace import StyleVector
from tests.figures.conftest import assert_apart, corners, frames_of


@pytest.fixture
def attribute(experiment):
    return experiment.attributes["bright"][0]


def test_the_way_is_slow_at_its_ends_and_symmetric():
    way = numpy.array(positions())
    assert way[0] == 0 and way[-1] == 1 and (numpy.diff(way) > 0).all()
    numpy.testing.assert_allclose(way + way[::-1], 1)
    assert numpy.diff(way)[0] < numpy.diff(way)[STEPS // 2] / 3


def test_a_sweep_goes_from_the_minimum_to_the_maximum(experiment, attribute):
    sweep = render_sweep(experiment, attribute, 1)
    assert sweep is not None and len(sweep.predicted) == 4
    assert sweep.images.shape[:2] == (STEPS + 1, 4)
    shift = experiment.config.attfind.shift
    rows = [
        next(row for row in range(12) if numpy.allclose(shown(experiment, row), image, atol=1e-4))
        for image in sweep.reconstructions
    ]
    assert sum(int(experiment.effects.base_logits[row].argmax()) for row in rows) == 2
    for step, extremes in ((0, experiment.latents.minima), (STEPS, experiment.latents.maxima)):
        for column, row in enumerate(rows):
            space = experiment.latents.styles[row].clone()
            space[attribute.style_index] += shift * (extremes - space)[attribute.style_index]
            numpy.testing.assert_allclose(shown(experiment, row, space), sweep.images[step, column], atol=1e-4)


@torch.no_grad()
def shown(experiment, row, space=None):
    space = experiment.latents.styles[row] if space is None else space
    image = experiment.networks.synthesis.render(StyleVector(space[None], experiment.latents.to_rgb_styles[row][None]))
    return image[0].permute(1, 2, 0).numpy()


def test_the_gif_loops_without_a_jump_in_the_time_that_is_stated(experiment, attribute, tmp_path):
    sweep = render_sweep(experiment, attribute, 1)
    assert sweep is not None
    pictures = frames(sweep)
    assert len(pictures) == 2 * STEPS
    assert all(pictures[step].tobytes() == pictures[-step].tobytes() for step in range(1, STEPS))
    for name in ("first.gif", "second.gif"):
        save_gif(tmp_path / name, pictures, "experiment mnist, config 0123")
    assert (tmp_path / "first.gif").read_bytes() == (tmp_path / "second.gif").read_bytes()
    with Image.open(tmp_path / "first.gif") as gif:
        assert gif.info["loop"] == 0 and b"config 0123" in gif.info["comment"]
        durations = []
        for number in range(gif.n_frames):
            gif.seek(number)
            durations.append(gif.info["duration"])
        assert sum(durations) / 1000 == pytest.approx(ANIMATION_SECONDS)


def test_a_frame_of_a_gif_has_the_very_pixels_that_were_classified(experiment, attribute, tmp_path):
    sweep = render_sweep(experiment, attribute, 1)
    assert sweep is not None
    pixels, channels = sweep.images.shape[2], sweep.images.shape[-1]
    # every level there is, as in trained networks' images
    sweep.images[0, 0, : 256 // pixels, :, 0] = numpy.arange(256).reshape(-1, pixels) / 127.5 - 1
    save_gif(tmp_path / "shown.gif", frames(sweep), "experiment mnist")
    bytes_of = numpy.clip(numpy.rint((sweep.images + 1) * 127.5), 0, 255).astype(int)
    with Image.open(tmp_path / "shown.gif") as gif:
        for step in range(STEPS + 1):
            gif.seek(step)
            frame = numpy.asarray(gif.convert("RGB")).astype(int)
            for column, image in enumerate(bytes_of[step]):
                left = EDGE + column * (SMALL + EDGE)
                shown = frame[HEAD : HEAD + SMALL, left : left + SMALL]
                larger = image.repeat(SMALL // pixels, axis=0).repeat(SMALL // pixels, axis=1)
                away = numpy.abs(shown - larger)
                assert away.max() == 0 if channels == 1 else away.mean() < 10  # noise in 256 colours


def test_a_palette_of_all_colours_is_exact_and_one_of_too_many_is_not_claimed_to_be():
    few = Image.fromarray(numpy.arange(256, dtype=numpy.uint8).reshape(16, 16)).convert("RGB")
    (exact,) = _indexed([few])
    assert exact.mode == "P" and exact.convert("RGB").tobytes() == few.tobytes()
    few.putpixel((0, 0), (1, 2, 3))
    few.putpixel((1, 0), (3, 2, 1))
    assert len(_indexed([few])) == 1  # levels 0 and 1 are gone
    few.putpixel((2, 0), (4, 4, 5))
    assert _indexed([few, Image.new("RGB", (1, 1), (2, 2, 2))]) == []


def test_the_still_shows_both_ends_and_the_reconstruction(experiment, attribute):
    sweep = render_sweep(experiment, attribute, 1)
    assert sweep is not None
    figure = draw_still(sweep)
    expected = [*sweep.chances[-1], *sweep.before, *sweep.chances[0]]
    assert corners(figure) == [f"{chance:.2f}" for chance in expected]
    upper, lower = (RAISED, LOWERED) if attribute.direction == Direction.TO_MAX else (LOWERED, RAISED)
    assert frames_of(figure) == [upper] * 4 + [None] * 4 + [lower] * 4
    assert_apart(figure)


def test_no_image_no_sweep(experiment, attribute):
    nothing = replace(experiment.effects, effect=torch.full_like(experiment.effects.effect, torch.nan))
    assert render_sweep(replace(experiment, effects=nothing), attribute, 1) is None


def test_a_note_is_one_frame(tmp_path):
    save_gif(tmp_path / "note.gif", [note_picture("AttFind found no attribute 4.")], "origin")
    with Image.open(tmp_path / "note.gif") as gif:
        assert getattr(gif, "n_frames", 1) == 1
