"""Change of pixels against regions: by hand, and against a plain second implementation."""

import numpy
import pytest
import torch

from stylex.evaluation.intervals import bootstrap
from stylex.evaluation.regions import COLUMNS, intersection_over_union, most_changed, overlap


def test_by_hand():
    # Of 4 pixels, 2 and 1 are of the region. The first image changes by 3 + 1, 3 of it inside; the second by 4, none.
    change = torch.tensor([[[3.0, 0.0], [1.0, 0.0]], [[0.0, 2.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    region = torch.tensor([[[1, 1], [0, 0]], [[1, 0], [0, 0]], [[1, 1], [1, 1]]]).bool()
    row = overlap(change, region, seed=0)
    assert tuple(row) == COLUMNS
    assert row["inside"] == pytest.approx(3 / 8) and row["area"] == pytest.approx((4 * 0.5 + 4 * 0.25) / 8)
    # The two pixels that change most: one in the region; 1 of 3. In the second: one outside. The third does not change.
    assert row["iou"] == pytest.approx((1 / 3 + 0) / 2)
    assert row["iou_chance"] == pytest.approx((0.5 / 1.5 + 0.25 / 1.75) / 2)
    assert (row["inside_low"], row["inside_high"]) == (0.0, 0.75) and (row["iou_low"], row["iou_high"]) == (0.0, 1 / 3)


def plain(change, region):
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
    expected = dict(zip(("inside", "area", "iou", "iou_chance"), plain(change, region), strict=True))
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


def test_a_move_that_acts_exactly_in_the_region():
    region = torch.zeros(3, 4, 4).bool()
    region[:, 1:3, 2:] = True
    row = overlap(region.float() * torch.tensor([0.1, 0.5, 2.0])[:, None, None], region, seed=0)
    assert {row[name] for name in ("inside", "inside_low", "inside_high", "iou", "iou_low", "iou_high")} == {1.0}


@pytest.mark.parametrize("count", [0, 2])
def test_where_nothing_changes_nothing_is_said(count):
    row = overlap(torch.zeros(count, 4, 4), torch.ones(count, 4, 4).bool(), seed=0)
    assert row == dict.fromkeys(COLUMNS)


def test_pixels_that_do_not_change_are_never_among_those_that_change_most():
    change = torch.tensor([[0.0, 2.0, 1.0, 2.0], [0.0, 0.0, 3.0, 0.0]])
    chosen = most_changed(change, torch.tensor([1, 3]))
    assert chosen.tolist() == [[False, True, False, False], [False, False, True, False]]  # of equal ones the first
    other = torch.tensor([[True, True, False, False], [False, False, True, True]])
    assert numpy.allclose(intersection_over_union(chosen, other), [0.5, 0.5])
