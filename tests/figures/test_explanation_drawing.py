"""The figure of explained images: what it shows, the rule that chooses them, and the images of the steps."""

import numpy
import pandas
import pytest
import torch

from stylex.artifacts import write_table
from stylex.attfind.records import Method
from stylex.errors import ArtifactError
from stylex.figures.explanations import (
    BLOCKS,
    COLUMNS,
    IN_A_LINE,
    Tile,
    assemble,
    choose_explained,
    draw_explanations,
    images_of_steps,
    read_steps,
)
from stylex.figures.style import RAISED
from stylex.networks.stylespace import StyleVector
from stylex.networks.synthesis import Synthesis
from tests.figures.conftest import assert_apart, corners, frames_of


def record(identity="a", target="5", step=1, flipped=False, index=3, direction="to_max"):
    return {
        "id": identity, "target_class": target, "step": step, "style_index": index, "layer": 1, "channel": index,
        "direction": direction, "probability_before": 0.1 * step, "probability_after": 0.1 * step + 0.1,
        "flipped": flipped,
    }  # fmt: skip


def image(level=0.0):
    return numpy.full((16, 16, 1), level, dtype=numpy.float32)


def block(steps=2, method=Method.SUBSET):
    records = [record(step=number, flipped=number == steps) for number in range(1, steps + 1)]
    original = Tile(image(-1), "original", 0.07)
    return assemble("3", "5", original, numpy.stack([image()] * (steps + 1)), records, method)


def test_original_reconstruction_and_every_step_with_its_probability():
    figure = draw_explanations([block(steps=2)])
    assert corners(figure) == ["0.07", "0.10", "0.20", "0.30"]
    texts = [text.get_text() for text in figure.texts]
    assert texts[:3] == ["3 → 5: P(5)", "original", "reconstruction"]
    assert texts[3:5] == ["layer 1 ▲\nchannel 3"] * 2


def test_the_arrow_says_which_way():
    original, images = Tile(image(), "original", 0.1), numpy.stack([image()] * 2)
    tiles = assemble("3", "5", original, images, [record(direction="to_min")], Method.SUBSET).tiles
    assert tiles[2].caption.startswith("layer 1 ▼")


def test_only_flipped_images_are_framed():
    assert frames_of(draw_explanations([block(steps=3)])) == [None, None, None, None, RAISED]


@pytest.mark.parametrize("method", Method)
def test_many_steps_take_another_line_and_nothing_overlaps_or_leaves_the_column(method):
    figure = draw_explanations([block(steps=10, method=method), block(steps=1, method=method)])
    assert figure.texts[-1].get_text().startswith("each alone") == (method is Method.INDEPENDENT)
    assert len({round(axes.get_position().y0, 6) for axes in figure.axes}) == 3
    assert len(figure.axes) == 2 * IN_A_LINE + 3
    assert_apart(figure)


def test_for_each_target_class_the_image_that_turns_first_is_shown():
    steps = [
        record("slow", "5", 1), record("slow", "5", 2, True),
        record("fast", "5", 1, True), record("fast", "5", 2),
        record("never", "3", 1), record("neither", "3", 1),
    ]  # fmt: skip
    assert choose_explained(steps, ["3", "5", "8"]) == ["never", "fast"]
    many = [record(f"image-{number}", str(number), 1, True) for number in range(BLOCKS + 3)]
    assert choose_explained(many, [str(number) for number in range(BLOCKS + 3)]) == [
        f"image-{number}" for number in range(BLOCKS)
    ]


@pytest.mark.parametrize("method", Method)
def test_images_of_steps_keep_the_moves_of_the_steps_before_or_have_each_alone(method):
    torch.manual_seed(0)
    synthesis = Synthesis(w_plus_dim=6, channels=[5, 4], image_channels=1).eval().requires_grad_(False)
    styles = synthesis.styles(torch.randn(1, 6))
    extremes = torch.stack([styles.space[0] - 2, styles.space[0] + 1])
    steps = [record(step=1, index=3, direction="to_max"), record(step=2, index=7, direction="to_min")]
    space = styles.space.repeat(3, 1)
    space[1 if method is Method.INDEPENDENT else slice(1, None), 3] += 1.5  # shift 1.5 of a way of 1
    space[2, 7] -= 3.0  # and of a way of 2
    expected = synthesis.render(StyleVector(space, styles.to_rgb.repeat(3, 1))).permute(0, 2, 3, 1).numpy()
    images = images_of_steps(synthesis, styles, extremes, 1.5, steps, method)
    assert images.shape == (3, 8, 8, 1)
    numpy.testing.assert_allclose(images, expected, rtol=0, atol=1e-5)
    assert numpy.abs(images[1] - images[2]).max() > 1e-3


def test_steps_are_read_as_they_were_written(tmp_path):
    rows = [record("007", "5", 1), record("007", "5", 2, True, direction="to_min")]
    write_table(tmp_path / "subset.csv", pandas.DataFrame(rows), {})
    assert read_steps(tmp_path / "subset.csv") == [{**row, "probability_after": pytest.approx(row["probability_after"])}
                                                   for row in rows]  # fmt: skip
    write_table(tmp_path / "empty.csv", pandas.DataFrame(columns=list(COLUMNS)), {})
    assert read_steps(tmp_path / "empty.csv") == []


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (pandas.DataFrame([record()]).drop(columns="layer"), "no column layer"),
        (pandas.DataFrame([record(direction="up")]), "an unknown direction"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, frame, reason):
    write_table(tmp_path / "subset.csv", frame, {})
    with pytest.raises(ArtifactError, match=rf"subset\.csv is damaged \({reason}\); delete it"):
        read_steps(tmp_path / "subset.csv")
