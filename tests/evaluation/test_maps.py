"""Where attributes act: maps against images one at a time, a generator that changes a known block, and the files."""

from dataclasses import replace
from math import isnan, nan

import numpy
import pytest
import torch
from torch import nn

from stylex.artifacts import load_tensors, read_json, read_table
from stylex.attfind.records import Attribute, Direction, map_name, mapped, read_maps, write_attributes
from stylex.config.base import Protocol
from stylex.errors import ArtifactError
from stylex.evaluation.counterfactuals import Run
from stylex.evaluation.maps import COLUMNS, maps, mean_change, numbers, smallest_area
from stylex.latents.table import read_latents, write_latents
from stylex.networks.model import load_stylex
from stylex.quantization import quantized
from tests.builders import latents_of

IMAGES = 12


@pytest.fixture
def run(root, small_experiment) -> Run:
    """An experiment on a small random network, with latents that spread and attributes of both classes."""
    run = small_experiment(root, evaluation={"figure_attributes": 2, "batch_size": 3})
    random = torch.Generator().manual_seed(0)
    logits, w = torch.randn(IMAGES, 2, generator=random), 3 * torch.randn(IMAGES, 8, generator=random)
    styles = run.networks.synthesis.styles(run.networks.w_plus(w, logits))
    columns = {"styles": styles.space, "to_rgb_styles": styles.to_rgb, "reconstruction_logits": logits}
    latents = latents_of(IMAGES, labels=torch.arange(IMAGES) % 2, logits=logits, w=w, **columns)
    write_latents(run.paths.latents, latents)
    found = [move("3", 1, 4), move("3", 2, 20, Direction.TO_MIN), move("3", 3, 30), move("5", 1, 4, Direction.TO_MIN)]
    write_attributes(run.paths.attributes, found, {})
    return run


def move(target: str, rank: int, index: int, direction: Direction = Direction.TO_MAX) -> Attribute:
    return Attribute(target, rank, index, 0, index, direction, 1.0, 1)


def plain_map(run: Run, attribute: Attribute) -> numpy.ndarray:
    """Render an image at a time, and take the mean of the differences of what two PNG files would hold."""
    latents = read_latents(run.paths.latents).under(Protocol.HELD_OUT)
    synthesis = load_stylex(run.paths.stylex_model).synthesis
    synthesis.quantized = False  # levels are made here
    target, differences = latents.class_names.index(attribute.target_class), []
    extreme = latents.styles[latents.searched][:, attribute.style_index]
    extreme = extreme.max() if attribute.direction == Direction.TO_MAX else extreme.min()
    for row in range(IMAGES):
        if not latents.measured[row] or latents.reconstruction_logits[row].argmax() == target:
            continue
        styles = latents.style_vector(torch.tensor([row]))
        moved = styles.space.clone()
        moved[0, attribute.style_index] += run.config.attfind.shift * (extreme - moved[0, attribute.style_index])
        with torch.no_grad():
            images = [synthesis.render(styles._replace(space=space))[0] for space in (styles.space, moved)]
        before, after = (numpy.clip(numpy.rint((each.numpy() + 1) * 127.5), 0, 255) for each in images)
        differences.append(numpy.abs(after - before).mean(axis=0) / 127.5)
    assert differences
    return numpy.mean(differences, axis=0)


def test_a_map_is_the_mean_over_images_rendered_one_at_a_time(run, root):
    maps(root, "mnist", "cpu")
    files = [run.paths.maps, run.paths.map_numbers]
    moves = [move("3", 1, 4), move("3", 2, 20, Direction.TO_MIN), move("5", 1, 4, Direction.TO_MIN)]
    assert set(load_tensors(run.paths.maps)[0]) == {"4 to_max 3", "20 to_min 3", "4 to_min 5"}  # two of a class
    table = read_table(run.paths.map_numbers)
    assert tuple(table) == COLUMNS and table["style_index"].tolist() == [4, 20, 4]
    assert table["target_class"].tolist() == ["3", "3", "5"] and set(table["protocol"]) == {"held_out"}
    for row, each, attribute in zip(table.to_dict("records"), read_maps(run.paths.maps, moves), moves, strict=True):
        expected = plain_map(run, attribute)
        assert each.shape == (32, 32) and 0 < each.max() <= 2
        away = numpy.abs(each.numpy() - expected)  # rendered in another batch, a pixel may be rounded to the next level
        assert away.max() < 2 / 255 and (away < 1e-4).mean() > 0.99
        assert row["mean_change"] == pytest.approx(expected.mean(), rel=1e-3)
    latents = run.latents
    decided = latents.reconstruction_logits[latents.measured].argmax(1).bincount(minlength=2).tolist()
    assert table["n"].tolist() == [decided[1], decided[1], decided[0]] and sum(decided) == IMAGES // 2
    digest = run.config.digest()
    assert load_tensors(run.paths.maps)[1]["config_digest"] == digest
    assert read_json(run.paths.map_numbers.with_suffix(".provenance.json"))["config_digest"] == digest
    with pytest.raises(ArtifactError, match=r"attribute_maps\.safetensors has no map of the move '4 to_min 3'; run"):
        read_maps(run.paths.maps, [move("3", 1, 4, Direction.TO_MIN)])
    before = [path.read_bytes() for path in files]
    maps(root, "mnist", "cpu")
    assert [path.read_bytes() for path in files] == before


def test_a_class_with_nothing_to_move_has_a_map_of_nothing(run, root):
    decided = torch.tensor([[1.0, 0.0]]).repeat(IMAGES, 1)
    write_latents(run.paths.latents, replace(read_latents(run.paths.latents), reconstruction_logits=decided))
    maps(root, "mnist", "cpu")
    table = read_table(run.paths.map_numbers).set_index("target_class")
    assert table.loc["3", "n"].tolist() == [0, 0] and table.loc["5", "n"] == IMAGES // 2
    assert table.loc["3", ["mean_change", "area_90", "centre_x", "centre_y"]].isna().all(axis=None)
    assert read_maps(run.paths.maps, [move("3", 1, 4)])[0].isnan().all()
    write_attributes(run.paths.attributes, [], {})
    maps(root, "mnist", "cpu")
    assert load_tensors(run.paths.maps)[0] == {} and tuple(read_table(run.paths.map_numbers)) == COLUMNS


class Block(nn.Module):
    """A generator of grey images: coordinate 0 is the level of rows 2 and 3, columns 4 to 7; coordinate 1 of all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def render(self, styles):
        images = styles.space[:, 1, None, None, None].repeat(1, self.channels, 32, 32)
        images[:, 0, 2:4, 4:8] += styles.space[:, 0, None, None]
        return quantized(images)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_block_that_a_coordinate_changes_is_found(fake_run, channels):
    styles = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.25, 0.0], [0.5, 0.5]])
    latents, run = latents_of(4, styles=styles), fake_run(synthesis=Block(channels), shift=1.0)
    # To its maximum 0.5, from 0, 0.25 and 0.5: by 0.25 on average, in one channel.
    found = mean_change(run, latents, torch.tensor([0, 2, 3]), move("5", 1, 0))
    expected = numpy.zeros((32, 32))
    expected[2:4, 4:8] = 0.25 / channels
    assert numpy.abs(found.numpy() - expected).max() < 1 / 127.5
    assert not found[expected == 0].any()
    row = numbers(found)
    assert row["area_90"] == 8 / 1024 and row["mean_change"] == pytest.approx(0.25 / channels * 8 / 1024, abs=1e-4)
    assert (row["centre_x"], row["centre_y"]) == pytest.approx((6 / 32, 3 / 32))
    everywhere = numbers(mean_change(run, latents, torch.tensor([0, 2]), move("5", 1, 1)))
    assert (everywhere["centre_x"], everywhere["centre_y"]) == pytest.approx((0.5, 0.5), abs=1e-3)
    assert everywhere["mean_change"] == pytest.approx(0.5, abs=1 / 127.5)
    assert everywhere["area_90"] == pytest.approx(0.9, abs=1 / 1024)


def test_the_smallest_area_by_hand():
    each = torch.tensor([[6.0, 0.0, 1.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    areas = [smallest_area(each, part) for part in (0.5, 0.6, 0.61, 0.9, 1.0)]
    assert areas == pytest.approx([1 / 9, 1 / 9, 2 / 9, 3 / 9, 4 / 9])
    assert smallest_area(torch.full((10, 10), 0.1, dtype=torch.float64), 0.9) == 0.9


@pytest.mark.parametrize("value", [0.0, nan])
def test_what_changes_nothing_lies_nowhere(value):
    row = numbers(torch.full((4, 4), value, dtype=torch.float64))
    assert isnan(row["mean_change"]) == isnan(value)
    assert all(isnan(row[name]) for name in ("area_90", "centre_x", "centre_y"))


def test_all_that_a_figure_may_show_has_a_map():
    both = [move("3", 1, 7), move("3", 2, 7, Direction.TO_MIN), move("3", 3, 8), move("3", 4, 9)]
    assert mapped(both, 2) == both[:3] and mapped(both, 1) == both[:2] and mapped(both, 9) == both
    assert map_name(both[1]) == "7 to_min 3"
