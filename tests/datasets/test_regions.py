"""The regions of drawn leaves, by hand: which pixels a factor touches, and which it does not."""

import numpy
import pytest

from stylex.datasets.leaves import BROWN, FACTORS, draw_leaves, sample_factors
from stylex.datasets.regions import STEPS, THRESHOLD, regions

SIDE = 64
LEVEL = dict.fromkeys(FACTORS, 0.5) | {"spots": 0.0, "curl": 0.0}


def rows(**factors):
    """Return factors [1, 6] of an upright leaf without spots and curl, but for what is said."""
    values = LEVEL | factors
    return numpy.array([[values[name] for name in FACTORS]])


def drawn(**factors):
    """Return the image [H, W, 3], int."""
    return draw_leaves(rows(**factors), SIDE)[0].transpose(1, 2, 0).astype(int)


def region(name, **factors):
    return regions(rows(**factors), SIDE)[name][0]


def coverage(factors):
    """Return the share of each pixel [N, H, W] that the leaves cover: the rest takes the ground's shade with it."""
    ground = factors[:, [FACTORS.index("background")]]
    black, white = (
        draw_leaves(
            numpy.where(numpy.arange(len(FACTORS)) == FACTORS.index("background"), shade + 0 * ground, factors), SIDE
        )
        for shade in (0.0, 1.0)
    )
    return 1 - (white[:, 0].astype(int) - black[:, 0]) / 185  # of SHADE, 40 to 225


def test_the_ground_is_what_the_leaf_does_not_cover_and_the_blade_what_it_does():
    factors = sample_factors(20, 1)
    factors[:, FACTORS.index("spots")] = 0
    found, covered = regions(factors, SIDE), coverage(factors)
    assert not found["background"][covered >= 1].any() and found["yellowing"][covered >= 1].all()
    assert found["background"][covered <= 0].all() and not found["yellowing"][covered <= 0].any()
    assert (found["background"] | found["yellowing"]).all()  # both on the rim, and nothing between


def test_spots_lie_within_the_leaf_where_they_are_at_their_largest():
    factors = sample_factors(20, 2)
    factors[:, FACTORS.index("spots")] = 1
    found = regions(factors, SIDE)["spots"]
    assert not found[coverage(factors) <= 0].any()
    for image, mask in zip(draw_leaves(factors, SIDE), found, strict=True):
        brown = (image == numpy.array(BROWN)[:, None, None]).all(axis=0)
        assert brown.sum() > 20 and mask[brown].all() and mask.sum() < 2.5 * brown.sum()


def test_a_blade_keeps_its_colour_below_a_spot():
    brown = (drawn(spots=1.0) == BROWN).all(axis=2)
    assert not region("yellowing", spots=1.0)[brown].any() and region("yellowing")[brown].all()


@pytest.mark.parametrize("name", ["curl", "size", "angle"])
def test_the_shape_acts_where_leaves_differ(name):
    """At every pixel in which two images of the range differ."""
    found = region(name)
    for value in numpy.linspace(0, 1, STEPS):
        differs = numpy.abs(drawn(**{name: value}) - drawn()).max(axis=2) > THRESHOLD
        assert found[differs].all()
    assert not found[[0, 0, -1, -1], [0, -1, 0, -1]].any()


def test_size_leaves_the_smallest_leaf_and_the_outside_of_the_largest_alone():
    found, inner, outer = region("size"), coverage(rows(size=0.0))[0], coverage(rows(size=1.0))[0]
    rim = numpy.abs(numpy.arange(SIDE) - SIDE / 2 + 0.5) > 3  # without the midrib, whose width grows
    assert not found[:, rim][inner[:, rim] >= 1].any() and not found[outer <= 0].any()
    assert found[:, rim][((inner <= 0) & (outer >= 1))[:, rim]].all()


def test_an_angle_sweeps_both_sides_alike():
    found = region("angle")
    assert (found == found[:, ::-1]).mean() > 0.97 and found[:, : SIDE // 2].any()


@pytest.mark.parametrize("name", FACTORS)
def test_a_region_does_not_depend_on_the_value_of_its_own_factor_and_does_on_others(name):
    other = "angle" if name == "size" else "size"
    assert numpy.array_equal(region(name, **{name: 0.3}), region(name, **{name: 0.8}))
    assert not numpy.array_equal(region(name, **{other: 0.3}), region(name, **{other: 0.8}))


def test_each_image_has_regions_of_its_own_none_of_them_empty():
    factors = sample_factors(5, 3)
    together = regions(factors, 32)
    assert list(together) == list(FACTORS)
    for name, masks in together.items():
        assert masks.shape == (5, 32, 32) and masks.any(axis=(1, 2)).all() and not masks.all()
        assert numpy.array_equal(masks[3], regions(factors[3:4], 32)[name][0])
