"""What the gallery shows is what AttFind moves and the classifier judges, pixel by pixel."""

import base64
import io
from itertools import product

import numpy
import pytest
import torch
from PIL import Image

from stylex.artifacts import read_table
from stylex.attfind.records import Attribute, Direction, read_attributes, write_attributes
from stylex.classifiers import load_classifier
from stylex.config import ExperimentPaths, GalleryPaths
from stylex.datasets.leaves import draw_leaves, sample_factors
from stylex.evaluation.counterfactuals import Run
from stylex.figures.attributes import top_attributes
from stylex.gallery.frames import COLUMNS, PIXELS, STEPS, Answers, Plan, chosen_images, frames, render, shown_classes
from stylex.gallery.page import gallery
from stylex.gallery.sheets import LARGEST, map_uri, sheet_uri, thumbnail_uri
from stylex.quantization import from_uint8, to_uint8
from tests.gallery.conftest import EXPERIMENTS, SUITE, content_of


def attribute(index: int, target: str = "3", direction: Direction = Direction.TO_MAX) -> Attribute:
    return Attribute(target, 1, index, 0, index, direction, 1.0, 1)


def picture(uri: str) -> Image.Image:
    kind, _, content = uri.partition(",")
    assert kind == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def cut(sheet: Image.Image, frame: int, side: int = 32) -> numpy.ndarray:
    left, top = frame % COLUMNS * side, frame // COLUMNS * side
    return numpy.asarray(sheet.convert("RGB").crop((left, top, left + side, top + side)))


def attributes_of(run: Run) -> list[Attribute]:
    return top_attributes(read_attributes(run.paths.attributes), 8)


def look_the_same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether images of other batches differ by roundings alone."""
    apart = (to_uint8(a).int() - to_uint8(b).int()).abs()
    return int(apart.max()) <= 1 and float((apart > 0).float().mean()) < 0.01


def test_a_plan_has_each_slider_and_each_combination():
    plan = Plan.of([attribute(index) for index in range(6)])
    assert len(plan.moves) == 6 * COLUMNS + 3**4 and plan.together == 4
    assert plan.moves[2 * COLUMNS + STEPS + 3] == (0, 0, 3 / STEPS, 0, 0, 0)
    combined = plan.moves[6 * COLUMNS :]
    assert combined == [(*states, 0, 0) for states in product((-1, 0, 1), repeat=4)]
    assert [plan.name(frame) for frame in (0, 6 * COLUMNS - 1, 6 * COLUMNS, 6 * COLUMNS + 41)] == [
        (1, ""), (6, ""), (None, "----"), (None, "000+"),
    ]  # fmt: skip


def test_one_attribute_is_combined_with_none():
    plan = Plan.of([attribute(4)])
    assert len(plan.moves) == COLUMNS


def test_the_ends_of_a_slider_are_the_moves_of_attfind_and_its_middle_the_reconstruction(project):
    run = Run.load(project, "mnist")
    plan, latents, rows = Plan.of(attributes_of(run)), run.latents, torch.tensor([7])
    shown = render(run, plan, 7)
    middle = run.images(latents.style_vector(rows))
    for number, each in enumerate(plan.attributes):
        first = number * COLUMNS
        other = Direction(1 - each.direction)
        for frame, way in ((first + 2 * STEPS, each.direction), (first, other)):
            expected = run.images(latents.moved(rows, [(each.style_index, way)], run.config.attfind.shift))
            assert look_the_same(shown[[frame]], expected)
        assert look_the_same(shown[[first + STEPS]], middle)
    together = len(plan.attributes) * COLUMNS + plan.moves[len(plan.attributes) * COLUMNS :].index(
        (1.0, 1.0, 1.0, 1.0, *[0.0] * (len(plan.attributes) - 4))
    )
    every = run.images(latents.moved(rows, [each.move for each in plan.attributes[:4]], run.config.attfind.shift))
    assert look_the_same(shown[[together]], every) and not look_the_same(every, middle)


def test_half_the_way_is_half_the_shift(project):
    run = Run.load(project, "mnist")
    first = attributes_of(run)[0]
    half = run.latents.moved(torch.tensor([3]), [first.move], run.config.attfind.shift / 2)
    shown = render(run, Plan.of([first]), 3)[STEPS + STEPS // 2]
    assert look_the_same(shown[None], run.images(half))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_classifier_says_of_the_pixels_what_page_and_table_say(project, name):
    content, classifier = content_of(project, name), load_classifier(ExperimentPaths(project, name).classifier.model)
    table = read_table(GalleryPaths(project, SUITE).numbers(name), ("decision", "oracle", "together"))
    assert content["shown"] == [0, 1] and len(content["images"]) == 12
    for image in content["images"]:
        sheet, count = picture(image["sheet"]), len(image["decisions"])
        pixels = numpy.stack([cut(sheet, frame)[..., 0] for frame in range(count)])
        with torch.no_grad():
            chances = classifier(from_uint8(torch.from_numpy(pixels)[:, None])).softmax(dim=1)
        told = torch.tensor(image["probabilities"]) / 10_000
        assert (told - chances).abs().max() <= 2e-4
        rows = table[table["id"] == image["id"]].set_index("frame")
        assert list(rows.index) == list(range(count))
        assert numpy.abs(rows[["P(3)", "P(5)"]].to_numpy() - told.numpy()).max() <= 1e-4
        assert [content["classes"][decision] for decision in image["decisions"]] == rows["decision"].tolist()
        if content["oracle"]:
            assert [content["oracle"][answer] for answer in image["oracle"]] == rows["oracle"].tolist()
        else:
            assert image["oracle"] is None and set(rows["oracle"]) == {""}
    assert (content["oracle"] is None) == (name == "mnist-again")


def test_images_are_the_first_measured_ones_of_each_class_and_shown_as_they_are(project):
    run, content = Run.load(project, "mnist"), content_of(project, "mnist")
    measured = torch.nonzero(run.latents.measured).flatten().tolist()
    by_class = [[row for row in measured if run.latents.labels[row] == label][:6] for label in (0, 1)]
    assert [image["id"] for image in content["images"]] == [run.latents.ids[row] for row in sorted(sum(by_class, []))]
    for image in content["images"]:
        shown = numpy.asarray(picture(image["original"]).convert("L"))
        assert shown.shape == (32, 32) and shown.max() > 200 and (shown == 0).mean() > 0.5


def test_what_an_attribute_does_alone_is_what_the_maps_say(project):
    rows = read_table(ExperimentPaths(project, "mnist").map_numbers).set_index(["target_class", "style_index"])
    found = content_of(project, "mnist")["attributes"]
    for each in found[:4]:
        row = rows.loc[(each["target_class"], each["style_index"])]
        assert (each["n"], each["flipped"], each["agreed"]) == (row["n"], row["flipped"], row["agreed"])
    assert found[0]["flipped"] > 0.9 * found[0]["n"] > 0
    assert {each["number"] for each in found} == set(range(1, 9)) and all(each["map"] for each in found[:1])


def test_without_attributes_there_is_a_page_that_says_so(own):
    write_attributes(ExperimentPaths(own, "mnist").attributes, [], {})
    frames(own, SUITE, "mnist", "cpu")
    gallery(own, SUITE)
    content = content_of(own, "mnist")
    assert content["attributes"] == content["images"] == [] and content["together"] == 0
    assert read_table(GalleryPaths(own, SUITE).numbers("mnist")).empty


def test_of_many_classes_those_of_attributes_and_images_are_kept():
    names = [str(label) for label in range(40)]
    plan = Plan.of([attribute(1, "7"), attribute(2, "31")])
    answers = [Answers(torch.zeros(0), torch.zeros(0), [0] * STEPS + [label], None) for label in (5, 7)]
    assert shown_classes(plan, answers, names) == [5, 7, 31]
    assert shown_classes(Plan.of([attribute(1, "7")]), answers, names[:12]) == list(range(12))


@pytest.mark.parametrize(("side", "channels", "count"), [(32, 1, 12), (64, 3, 8), (256, 3, 4)])
def test_larger_images_are_fewer(project, side, channels, count):
    run = Run.load(project, "mnist")
    plan = Plan.of(attributes_of(run))
    dataset = run.config.dataset.model_copy(update={"resolution": side})
    run = Run(run.config.model_copy(update={"dataset": dataset}), run.paths)
    run.networks.image_channels = channels
    assert len(chosen_images(run, plan)) == count
    assert count == 4 or count * len(plan.moves) * side**2 * channels <= PIXELS


def leaf(side: int) -> torch.Tensor:
    """A drawn leaf [3, side, side] in [-1, 1]: edges, veins and spots in colour."""
    return from_uint8(torch.from_numpy(draw_leaves(sample_factors(1, 3), side))[0])


def test_small_frames_are_kept_and_large_ones_look_the_same():
    small = leaf(64)
    kept = numpy.asarray(picture(thumbnail_uri(small)))
    assert numpy.array_equal(kept, to_uint8(small).permute(1, 2, 0).numpy())
    large = leaf(256)
    shown = numpy.asarray(picture(thumbnail_uri(large))).astype(float)
    error = shown - to_uint8(large).permute(1, 2, 0).numpy()
    assert 10 * numpy.log10(255**2 / (error**2).mean()) > 36  # dB


def test_frames_above_the_largest_are_shown_smaller_one_by_one():
    frames_ = torch.stack([torch.full((3, 2 * LARGEST, 2 * LARGEST), value) for value in (-1.0, 0.0, 1.0)])
    sheet = picture(sheet_uri(frames_, 2))
    assert sheet.size == (2 * LARGEST, 2 * LARGEST)
    assert [int(cut(sheet, 0, LARGEST).mean()), int(numpy.asarray(sheet)[LARGEST + 9, 9].mean())] == [0, 255]


def test_a_map_covers_what_changes_and_nothing_else():
    change = torch.zeros(32, 32, dtype=torch.float64)
    change[4:8, 4:8] = 0.5
    pixels = numpy.asarray(picture(map_uri(change, 0.5) or ""))
    assert (pixels[4:8, 4:8, 3] == 255).all() and pixels[..., 3].sum() == 16 * 255
    assert map_uri(change * float("nan"), 0.5) is None and map_uri(change, 0.0) is None
