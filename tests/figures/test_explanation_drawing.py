"""The figure of explained images: its pixels, the rule that chooses them, and the images of the steps."""

import io

import numpy
import pandas
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from stylex.artifacts import write_table
from stylex.attfind.records import Method
from stylex.errors import ArtifactError
from stylex.figures.attributes import RAISED
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
    save_explanation,
)
from stylex.figures.style import COLUMN_WIDTH, DPI
from stylex.networks.stylespace import StyleVector
from stylex.networks.synthesis import Synthesis


def record(identity="a", target="5", step=1, flipped=False, index=3, direction="to_max"):
    return {
        "id": identity, "target_class": target, "step": step, "style_index": index, "layer": 1, "channel": index,
        "direction": direction, "probability_before": 0.1 * step, "probability_after": 0.1 * step + 0.1,
        "flipped": flipped,
    }  # fmt: skip


def image(level=0.0, channels=1):
    return numpy.full((16, 16, channels), level, dtype=numpy.float32)


def block(steps=2, channels=1, method=Method.SUBSET):
    records = [record(step=number, flipped=number == steps) for number in range(1, steps + 1)]
    original = Tile(image(-1, channels), "original", 0.07)
    return assemble("3", "5", original, numpy.stack([image(0.0, channels)] * (steps + 1)), records, method)


def pixels(figure: Figure) -> numpy.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return numpy.asarray(Image.open(buffer).convert("RGB"))


def framed(figure: Figure) -> list[bool]:
    """Whether the colour of a flip goes all the way round each image."""
    raster, found = pixels(figure), []
    wanted = numpy.round(numpy.array(to_rgb(RAISED)) * 255)
    height, width = raster.shape[:2]
    for axes in figure.axes:
        box = axes.get_position()
        top, bottom, left, right = (1 - box.y1) * height, (1 - box.y0) * height, box.x0 * width, box.x1 * width
        area = raster[round(top) - 4 : round(bottom) + 4, round(left) - 4 : round(right) + 4]
        coloured = (numpy.abs(area - wanted).max(axis=2) <= 2).any
        sides = area[:12, 40:-40], area[-12:, 40:-40], area[40:-40, :12], area[40:-40, -12:]
        seen = [bool((numpy.abs(side - wanted).max(axis=2) <= 2).any()) for side in sides]
        assert all(seen) or not coloured(), "a frame has four sides"
        found.append(all(seen))
    return found


def test_original_reconstruction_and_every_step_with_its_probability():
    figure = draw_explanations([block(steps=2)])
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["0.07", "0.10", "0.20", "0.30"]
    texts = [text.get_text() for text in figure.texts]
    assert texts[:3] == ["3 → 5: P(5)", "original", "reconstruction"]
    assert texts[3:5] == ["layer 1 ▲\nchannel 3"] * 2


def test_the_arrow_says_which_way():
    original, images = Tile(image(), "original", 0.1), numpy.stack([image()] * 2)
    tiles = assemble("3", "5", original, images, [record(direction="to_min")], Method.SUBSET).tiles
    assert tiles[2].caption.startswith("layer 1 ▼")


def test_only_flipped_images_are_framed():
    assert framed(draw_explanations([block(steps=3)])) == [False, False, False, False, True]


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_show_black_and_grey(channels):
    figure = draw_explanations([block(steps=1, channels=channels)])
    raster = pixels(figure)
    for axes, grey in zip(figure.axes, (0, 128, 128), strict=True):
        box = axes.get_position()
        row, column = (1 - (box.y0 + box.y1) / 2) * raster.shape[0], (box.x0 + box.x1) / 2 * raster.shape[1]
        assert numpy.abs(raster[round(row), round(column)].astype(int) - grey).max() <= 1


@pytest.mark.parametrize("method", Method)
def test_many_steps_take_another_line_and_nothing_overlaps_or_leaves_the_column(method):
    figure = draw_explanations([block(steps=10, method=method), block(steps=1, method=method)])
    assert figure.texts[-1].get_text().startswith("each alone") == (method is Method.INDEPENDENT)
    assert figure.get_size_inches()[0] == COLUMN_WIDTH
    assert len({round(axes.get_position().y0, 6) for axes in figure.axes}) == 3
    assert len(figure.axes) == 2 * IN_A_LINE + 3
    boxes = [axes.get_window_extent() for axes in figure.axes]
    boxes += [text.get_window_extent() for text in figure.texts]
    edge = figure.bbox
    for number, one in enumerate(boxes):
        assert one.x0 >= edge.x0 and one.x1 <= edge.x1 and one.y0 >= edge.y0 and one.y1 <= edge.y1
        for other in boxes[number + 1 :]:
            apart = one.x1 <= other.x0 or other.x1 <= one.x0 or one.y1 <= other.y0 or other.y1 <= one.y0
            assert apart, (one, other)


def test_no_explanation_is_an_error():
    with pytest.raises(ValueError, match="no explanation"):
        draw_explanations([])


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


def test_two_runs_write_the_same_bytes_and_the_provenance_is_inside(tmp_path):
    for name in ("first.png", "second.png"):
        save_explanation(tmp_path / name, block(), "experiment mnist, config 0123")
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    with Image.open(tmp_path / "first.png") as written:
        assert written.info["Description"] == "experiment mnist, config 0123"
        assert written.size[0] == round(COLUMN_WIDTH * DPI)
