"""The figure of top attributes is a pure function of arrays: its pixels are checked."""

import numpy
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from stylex.config import SuitePaths
from stylex.figures.attributes import LOWERED, MAP_COLOURS, RAISED, AttributeRow, Pair, draw_attributes, largest_change
from stylex.figures.style import COLUMN_WIDTH, DPI, save
from tests.figures.conftest import around, assert_apart, corners, frames_of, pixels


def image(level: float, channels: int = 1) -> numpy.ndarray:
    return numpy.full((32, 32, channels), level, dtype=numpy.float32)


def pair(class_name: str, raises: bool, channels: int = 1) -> Pair:
    before, after = (0.03, 0.81) if raises else (0.97, 0.22)
    return Pair(class_name, raises, image(-1, channels), image(0, channels), before, after)


def change(level: float = 0.25, side: int = 32) -> numpy.ndarray:
    """A map whose left half changes by `level`, the right half not."""
    each = numpy.zeros((side, side), dtype=numpy.float32)
    each[:, : side // 2] = level
    return each


def row(number: int = 1, first: str = "4", second: str = "9", level: float = 0.25) -> AttributeRow:
    return AttributeRow(number, "9", "layer 3\nchannel 5", (pair(first, True), pair(second, False)), change(level))


def share(raster: numpy.ndarray, colour: str) -> float:
    wanted = numpy.round(numpy.array(to_rgb(colour)) * 255)
    return float((numpy.abs(raster - wanted).max(axis=2) <= 2).mean())


def test_only_counterfactuals_are_framed_all_round_and_the_colour_tells_the_direction():
    figure = draw_attributes([row()])
    assert frames_of(figure)[:4] == [None, RAISED, None, LOWERED]
    raster = pixels(figure)
    reconstruction, raised, second, lowered = (around(raster, axes) for axes in figure.axes[:4])
    assert share(reconstruction, RAISED) == share(reconstruction, LOWERED) == share(second, RAISED) == 0
    assert share(raised, LOWERED) == share(lowered, RAISED) == 0
    for framed, colour in ((raised, RAISED), (lowered, LOWERED)):
        middle = framed.shape[0] // 2
        for edge in (framed[:12, middle], framed[-12:, middle], framed[middle, :12], framed[middle, -12:]):
            assert share(edge[None], colour) > 0.3


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("level", "grey"), [(-1, 0), (0, 128), (1, 255), (3, 255), (-3, 0)])
def test_pixels_show_the_range_from_black_to_white_and_clamp_beyond(channels: int, level: float, grey: int):
    plain = Pair("4", True, image(level, channels), image(0, channels), 0.0, 1.0)
    figure = draw_attributes([AttributeRow(1, "9", "", (plain, plain), change())])
    shown = around(pixels(figure), figure.axes[0], margin=-5)
    assert numpy.abs(shown[shown.shape[0] // 2, shown.shape[1] // 2].astype(int) - grey).max() <= 1


def test_probabilities_are_printed_in_the_top_left_corner():
    figure = draw_attributes([row()])
    assert corners(figure) == ["0.03", "0.81", "0.97", "0.22"]
    texts = [axes.texts[0] for axes in figure.axes if axes.texts]
    assert all(text.get_position()[0] < 0.1 and text.get_position()[1] > 0.9 for text in texts)


def test_one_heading_a_column_when_the_classes_agree_and_one_a_block_otherwise():
    same = [text.get_text() for text in draw_attributes([row(1), row(2)]).texts]
    assert same.count("classified 4") == same.count("classified 9") == 1
    mixed = [text.get_text() for text in draw_attributes([row(1, "4"), row(2, "7")]).texts]
    assert "classified 9" not in mixed and mixed.count("9") == 2 and mixed.count("7") == 1


def test_a_long_class_name_stays_left_of_the_images():
    one = AttributeRow(1, "a-class-with-a-very-long-name", "layer 11\nchannel 512", (pair("4", True), None), change())
    figure = draw_attributes([one])
    edge = figure.axes[0].get_window_extent().x0
    ends = [text.get_window_extent().x1 for text in figure.texts if text.get_text().startswith(("P(", "layer", "Att"))]
    assert len(ends) == 3 and max(ends) <= edge


def colour(value: float) -> numpy.ndarray:
    return numpy.round(255 * numpy.array(MAP_COLOURS(value)[:3]))


def test_all_maps_have_one_scale_from_no_change_to_the_largest():
    figure = draw_attributes([row(1, level=0.5), row(2, level=0.125)])
    raster = pixels(figure)
    for number, level in ((4, 1.0), (9, 0.25)):  # behind the four images of a row
        shown = around(raster, figure.axes[number], margin=-5).astype(int)
        middle, width = shown.shape[0] // 2, shown.shape[1]
        assert numpy.abs(shown[middle, width // 8] - colour(level)).max() <= 2
        assert numpy.abs(shown[middle, -width // 8] - colour(0.0)).max() <= 2
    assert largest_change([row(level=0.5), row(level=0.125)]) == 0.5


def test_the_scale_is_drawn_below_the_maps_and_says_its_ends():
    figure = draw_attributes([row(level=0.51)])
    bar = figure.axes[-1]
    assert [label.get_text() for label in bar.get_xticklabels()] == ["0", "0.51"]
    assert [text.get_text() for text in figure.texts].count("mean |x′ − x|, pixels in [−1, 1]") == 1
    raster, box = pixels(figure), bar.get_position()
    line = raster[round((1 - (box.y0 + box.y1) / 2) * raster.shape[0])].astype(int)
    ends = line[round(box.x0 * raster.shape[1]) + 1], line[round(box.x1 * raster.shape[1]) - 2]
    assert numpy.abs(ends[0] - colour(0.0)).max() <= 8 and numpy.abs(ends[1] - colour(1.0)).max() <= 8
    figure.draw_without_rendering()  # with the dots per inch of the figure again
    labels = [label.get_window_extent() for label in bar.get_xticklabels()]
    assert min(each.y0 for each in labels) >= 0 and labels[0].x1 < labels[1].x0
    assert labels[1].x1 <= bar.get_window_extent().x1 + 1 and box.y1 < figure.axes[4].get_position().y0


def test_a_map_without_change_is_black():
    one = AttributeRow(1, "9", "", (pair("4", True), None), change(0.0))
    assert largest_change([one]) == 1.0
    figure = draw_attributes([one])
    assert numpy.abs(around(pixels(figure), figure.axes[4], margin=-5) - colour(0.0)).max() <= 1


def test_a_block_or_a_map_without_an_image_says_so():
    figure = draw_attributes([AttributeRow(1, "9", "", (pair("4", True), None), change(numpy.nan))])
    assert corners(figure)[2:] == ["no image"] * 2 and not figure.axes[2].images and not figure.axes[4].images


def test_headings_stand_apart():
    assert_apart(draw_attributes([row()]))
    assert_apart(draw_attributes([row(1, "4"), row(2, "7")]))


def test_two_runs_write_the_same_bytes_and_the_provenance_is_inside(tmp_path):
    first, second = SuitePaths(tmp_path, "first"), SuitePaths(tmp_path, "second")
    for paths in (first, second):
        save(draw_attributes([row()]), paths, "mnist", "attributes", "experiment mnist, config 0123")
    for suffix in ("png", "pdf"):
        content = first.figure("mnist", "attributes", suffix).read_bytes()
        assert content == second.figure("mnist", "attributes", suffix).read_bytes()
    with Image.open(first.figure("mnist", "attributes", "png")) as written:
        assert written.info["Description"] == "experiment mnist, config 0123"
        assert written.size[0] == round(COLUMN_WIDTH * DPI)
    assert b"CreationDate" not in content and content.startswith(b"%PDF")
