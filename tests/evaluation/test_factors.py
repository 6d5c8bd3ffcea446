"""Attributes against known factors, and regions: by hand, by a plain second implementation, and file by file."""

from dataclasses import replace

import numpy
import pandas
import pytest
import torch
from torch import nn

from stylex.artifacts import read_table, write_json
from stylex.attfind.effects import compute_effects
from stylex.attfind.records import Attribute, Direction, read_attributes, write_attributes
from stylex.attfind.selection import select
from stylex.config import ExperimentPaths, backbone_paths, regressor_paths
from stylex.config.base import Protocol
from stylex.datasets import download, leaves, prepare
from stylex.errors import ConfigError
from stylex.evaluation.factors import (
    OVERLAP,
    estimated,
    factors,
    intersection_over_union,
    logit_weights,
    most_changed,
    overlap,
    overlap_of,
    random_attributes,
    row_of,
)
from stylex.evaluation.intervals import bootstrap
from stylex.evaluation.maps import pixel_change
from stylex.evaluation.sufficiency import sufficiency
from stylex.latents.encode import encode
from stylex.latents.table import read_latents
from stylex.networks.stylespace import StyleSpaceLayout
from tests.builders import latents_of, save_random_network, save_random_stylex

NAMES = ("spots", "size", "angle")


class PixelsAsFactors(nn.Module):
    """A regressor: spots = 2 x pixel 0, size = pixel 0 - pixel 1, angle = 0."""

    class_names = NAMES

    def forward(self, images):
        x, y = images.flatten(1).T
        return torch.stack([2 * x, x - y, 0 * x], 1)


# Decisions 0, 1, 0. Minima (-0.5, -1), maxima (0.5, 3).
STYLES = torch.tensor([[0.0, 0.0], [0.5, 3.0], [-0.5, -1.0]])
LOGITS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])


@pytest.fixture
def change_of(fake_run):
    """Return what measures the changes of factors and pixels by an attribute, as the stage does."""
    latents = latents_of(3, styles=STYLES, reconstruction_logits=LOGITS, class_names=("healthy", "sick"))

    def measure(attribute, logits=LOGITS, **options):
        run, some = fake_run("leaves", **options), replace(latents, reconstruction_logits=logits)
        images = run.images_to_turn(some, attribute.target_class)
        base = estimated(run, PixelsAsFactors(), some.style_vector())  # pyright: ignore
        moved = estimated(run, PixelsAsFactors(), run.moved(some, images, [attribute]))  # pyright: ignore
        return moved[1] - base[1][images], pixel_change(base[0][images], moved[0])

    return measure


def attribute(target, index, direction):
    return Attribute(target, 1, index, 0, index, direction, 1.0, 1)


def test_changes_and_row_by_hand(change_of):
    # Towards sick: images 0 and 2. Coordinate 0 to its maximum 0.5: by 0.5 and 1. Spots change by 1 and 2, size by
    # 0.5 and 1, angle not at all. Means 1.5, 0.75, 0; purity 1.5 / 2.25.
    move = attribute("sick", 0, Direction.TO_MAX)
    change, pixels = change_of(move)
    assert change.tolist() == [[1.0, 0.5, 0.0], [2.0, 1.0, 0.0]]
    assert pixels.tolist() == [[[0.25]], [[0.5]]]  # the two channels of an image of one pixel
    row = row_of(move, change, NAMES, ("spots",))
    assert (row["factor"], row["cause"], row["n"], row["change"]) == ("spots", True, 2, 1.5)
    assert row["purity"] == pytest.approx(2 / 3)
    assert [row[f"change_{name}"] for name in NAMES] == [1.5, 0.75, 0.0]
    assert (row["target_class"], row["rank"], row["style_index"], row["direction"]) == ("sick", 1, 0, "to_max")


def test_shift_sign_and_batch(change_of):
    # Half way down: 0 goes to -0.5 and -1 stays; images 0 and 2.
    change, pixels = change_of(attribute("sick", 1, Direction.TO_MIN), shift=0.5, batch_size=1)
    assert change.tolist() == [[0.0, 0.5, 0.0], [0.0, 0.0, 0.0]]
    assert pixels.flatten().tolist() == [0.25, 0.0]
    row = row_of(attribute("sick", 1, Direction.TO_MIN), change, NAMES, ("spots",))
    assert (row["factor"], row["cause"], row["purity"], row["change"]) == ("size", False, 1.0, 0.25)
    change, pixels = change_of(attribute("sick", 0, Direction.TO_MAX), torch.tensor([[0.0, 1.0]]).repeat(3, 1))
    assert (change.shape, pixels.shape) == ((0, 3), (0, 1, 1))


def test_pixels_are_compared_with_the_region_of_the_factor_in_the_same_images():
    areas = {"spots": torch.zeros(3, 1, 2).bool(), "size": torch.ones(3, 1, 2).bool()}
    areas["spots"][0, 0, 0] = areas["spots"][2, 0, 1] = True
    pixels = torch.tensor([[[0.5, 0.0]], [[0.0, 1.5]]])  # of the images 2 and 0: always beside the spots
    rows = torch.tensor([2, 0])
    assert overlap_of(pixels, areas, "spots", rows, 0)["inside"] == 0
    assert overlap_of(pixels, areas, "spots", rows.flip(0), 0)["inside"] == 1
    assert overlap_of(pixels, areas, "size", rows, 0) == overlap(pixels, areas["size"][:2], 0)
    assert overlap_of(pixels, areas, None, rows, 0) == dict.fromkeys(OVERLAP)


def test_opposite_changes_cancel_in_the_mean():
    row = row_of(attribute("sick", 0, Direction.TO_MAX), torch.tensor([[1.0, 0.2], [-1.0, 0.2]]), ("a", "b"), ("a",))
    assert (row["factor"], row["purity"]) == ("b", 1.0)


@pytest.mark.parametrize("change", [torch.zeros(4, 3), torch.zeros(0, 3)])
def test_a_move_that_moves_nothing_has_no_factor(change):
    row = row_of(attribute("sick", 0, Direction.TO_MAX), change, NAMES, NAMES)
    assert (row["factor"], row["purity"], row["change"], row["cause"]) == (None, None, None, False)


def test_random_moves_are_different_moves_of_each_class():
    layout = StyleSpaceLayout((3, 5))
    moves = random_attributes(("healthy", "sick"), layout, 16, torch.Generator().manual_seed(0))
    for name in ("healthy", "sick"):
        own = [(move.style_index, move.direction) for move in moves if move.target_class == name]
        assert sorted(own) == [(index, direction) for index in range(8) for direction in Direction]
    assert all((move.layer, move.channel) == layout.locate(move.style_index) for move in moves)
    again = random_attributes(("healthy", "sick"), layout, 3, torch.Generator().manual_seed(0))
    assert again == random_attributes(("healthy", "sick"), layout, 3, torch.Generator().manual_seed(0))
    assert [move.rank for move in again] == [1, 2, 3, 1, 2, 3]


def test_weights_of_a_linear_classifier_are_found():
    true = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    margin = true @ torch.tensor([2.0, -1.0, 0.0]) + 7
    logits = torch.stack([torch.full((50,), 3.0), margin + 3], 1)
    assert logit_weights(logits, true).tolist() == pytest.approx([2.0, -1.0, 0.0], abs=1e-4)


def test_overlap_by_hand():
    # Of 4 pixels, 2 and 1 are of the region. The first image changes by 3 + 1, 3 of it inside; the second by 4, none.
    change = torch.tensor([[[3.0, 0.0], [1.0, 0.0]], [[0.0, 2.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    region = torch.tensor([[[1, 1], [0, 0]], [[1, 0], [0, 0]], [[1, 1], [1, 1]]]).bool()
    row = overlap(change, region, seed=0)
    assert tuple(row) == OVERLAP
    assert row["inside"] == pytest.approx(3 / 8) and row["area"] == pytest.approx((4 * 0.5 + 4 * 0.25) / 8)
    # The two pixels that change most: one in the region; 1 of 3. In the second: one outside. The third does not change.
    assert row["iou"] == pytest.approx((1 / 3 + 0) / 2)
    assert row["iou_chance"] == pytest.approx((0.5 / 1.5 + 0.25 / 1.75) / 2)
    assert (row["inside_low"], row["inside_high"]) == (0.0, 0.75) and (row["iou_low"], row["iou_high"]) == (0.0, 1 / 3)


def plain_overlap(change, region):
    """Return inside, area, iou and chance, a pixel at a time."""
    held = total = even = 0.0
    ious, chances = [], []
    for pixels, mask in zip(change.tolist(), region.tolist(), strict=True):
        flat, inside = sum(pixels, []), sum(mask, [])
        if sum(flat) == 0:
            continue
        total += sum(flat)
        held += sum(value for value, of in zip(flat, inside, strict=True) if of)
        share = sum(inside) / len(inside)
        even += share * sum(flat)
        order = sorted(range(len(flat)), key=lambda place: -flat[place])
        top = {place for place in order[: sum(inside)] if flat[place] > 0}
        own = {place for place, of in enumerate(inside) if of}
        ious.append(len(top & own) / len(top | own))
        chances.append(share / (2 - share))
    return held / total, even / total, sum(ious) / len(ious), sum(chances) / len(chances)


def test_as_a_pixel_at_a_time():
    random = torch.Generator().manual_seed(0)
    change = (torch.rand(30, 6, 5, generator=random) - 0.4).clamp(min=0)
    region = torch.rand(30, 6, 5, generator=random) > 0.7
    change[7] = 0
    region[:, 2, 3] = True  # never empty
    row = overlap(change, region, seed=3)
    expected = dict(zip(("inside", "area", "iou", "iou_chance"), plain_overlap(change, region), strict=True))
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    some = [each for each in range(30) if each != 7]
    held = (change * region).sum((1, 2)).double()[some]
    low, high = bootstrap(held.numpy(), 3, change.sum((1, 2)).double()[some].numpy())
    assert (row["inside_low"], row["inside_high"]) == pytest.approx((low, high), rel=1e-5)
    assert low < row["inside"] < high and row["iou_low"] < row["iou"] < row["iou_high"]


def test_chance_is_what_random_pixels_have():
    random = torch.Generator().manual_seed(1)
    change = torch.rand(400, 8, 8, generator=random)
    region = torch.zeros(400, 8, 8).bool()
    region[:, :4, :5] = True
    row = overlap(change, region, seed=0)
    assert row["inside"] == pytest.approx(row["area"], abs=0.01) and row["area"] == pytest.approx(20 / 64)
    assert row["iou"] == pytest.approx(row["iou_chance"], abs=0.01)


@pytest.mark.parametrize("count", [0, 2])
def test_where_nothing_changes_nothing_is_said(count):
    row = overlap(torch.zeros(count, 4, 4), torch.ones(count, 4, 4).bool(), seed=0)
    assert row == dict.fromkeys(OVERLAP)


def test_pixels_that_do_not_change_are_never_among_those_that_change_most():
    change = torch.tensor([[0.0, 2.0, 1.0, 2.0], [0.0, 0.0, 3.0, 0.0]])
    chosen = most_changed(change, torch.tensor([1, 3]))
    assert chosen.tolist() == [[False, True, False, False], [False, False, True, False]]  # of equal ones the first
    other = torch.tensor([[True, True, False, False], [False, False, True, True]])
    assert numpy.allclose(intersection_over_union(chosen, other), [0.5, 0.5])


@pytest.fixture
def project(root, monkeypatch):
    """The experiment leaves and its twin without the classifier up to encode, on random networks and 200 images."""
    monkeypatch.setattr(leaves, "COUNT", 200)
    download(root, "leaves")
    prepare(root, "leaves", 32)
    save_random_network(ExperimentPaths(root, "leaves").classifier.model, "classifier", leaves.CLASSES, 3)
    save_random_network(backbone_paths(root, "leaves-32").model, "backbone", ("a", "b"), 3, seed=1)
    regressor = regressor_paths(root, "leaves-32")
    save_random_network(regressor.model, "regressor", leaves.FACTORS, 3, seed=2)
    statistics = {key: dict.fromkeys(leaves.FACTORS, value) for key, value in (("mean", 0.5), ("sd", 0.29))}
    write_json(regressor.metrics, statistics)
    for name in ("leaves", "leaves-without-cst"):
        save_random_stylex(root, name, channels=3)
        encode(root, name, "cpu")
    return root


def test_files_of_the_stage(project):
    paths = ExperimentPaths(project, "leaves-without-cst")
    latents = read_latents(paths.latents).under(Protocol.HELD_OUT)
    decisions = latents.reconstruction_logits[latents.measured].argmax(1).bincount(minlength=2).tolist()
    found = [Attribute(name, 1, 5, 0, 5, Direction.TO_MAX, 1.0, 1) for name in leaves.CLASSES]
    write_attributes(paths.attributes, found, {})
    write_attributes(paths.wu_2021, found, {})
    factors(project, "leaves-without-cst", "cpu")
    table = read_table(paths.factors)
    assert table["method"].value_counts().to_dict() == {"random": 2 * 64, "without_cst": 2, "wu_2021": 2}
    assert table["n"].tolist()[:4] == decisions[::-1] * 2  # a class may have no image to move: no factor then
    assert ((table["factor"] == "") == (table["n"] == 0)).all()
    same = [f"change_{name}" for name in leaves.FACTORS]
    first, second = (table[table["method"] == method].iloc[0] for method in ("without_cst", "wu_2021"))
    pandas.testing.assert_series_equal(first[same], second[same], check_names=False)
    placed = table[(table["factor"] != "") & table["inside"].notna()]
    assert len(placed) > 64 and placed["inside"].between(0, 1).all() and placed["iou"].between(0, 1).all()
    assert (placed["inside_low"] <= placed["inside"]).all() and (placed["inside"] <= placed["inside_high"]).all()
    by_factor = placed.groupby("factor")["area"].mean()  # the networks are random, the regions are not
    assert by_factor.nunique() == len(by_factor) and (by_factor < 1).all()
    fit = read_table(paths.factor_fit)
    assert fit["factor"].tolist() == list(leaves.FACTORS) and fit["cause"].tolist() == [True] * 3 + [False] * 3
    assert set(fit["n"]) == {50} and (fit["r2_images"] < 0.5).all()  # the networks are random


@pytest.mark.slow
def test_colour_goes_through_attfind_and_sufficiency(project):
    paths = ExperimentPaths(project, "leaves")
    for protocol in Protocol:
        compute_effects(project, "leaves", "cpu", protocol=protocol)
        select(project, "leaves", protocol)
    assert set(read_attributes(paths.attributes)) <= set(leaves.CLASSES)
    sufficiency(project, "leaves", "cpu")
    table = read_table(paths.sufficiency)
    assert table[table["target_class"] == "*"]["n"].unique().tolist() == [25, 50]


def test_an_experiment_without_a_regressor_says_so(root):
    with pytest.raises(ConfigError, match=r"experiment 'mnist': set evaluation\.factor_regressor"):
        factors(root, "mnist", "cpu")
