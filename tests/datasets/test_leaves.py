"""The drawn leaves: factors are independent, the label is a function of three, a factor changes what it should."""

import numpy
import pytest

from stylex.artifacts import read_json
from stylex.config import DatasetConfig, DatasetPaths
from stylex.datasets import download, leaves, load_split, prepare
from stylex.datasets.factors import Factors, by_halves, read_factors
from stylex.datasets.leaves import FACTORS, draw_leaf, draw_leaves, labels_of, regions, sample_factors
from stylex.errors import ArtifactError, ConfigError

SIDE = 64
PLAIN = dict.fromkeys(FACTORS, 0.5) | {"spots": 0.0, "curl": 0.0}


def pixels(resolution=SIDE, **factors):
    """Return [H, W, 3] float64 of one leaf."""
    return numpy.asarray(draw_leaf(PLAIN | factors, resolution), float)


def leaf_pixels(image):
    """Return which pixels are not of the grey background."""
    return numpy.ptp(image, axis=2) > 8


@pytest.fixture
def few(root, monkeypatch):
    """A project with the first 200 leaves, prepared at 16x16."""
    monkeypatch.setattr(leaves, "COUNT", 200)
    download(root, "leaves")
    prepare(root, "leaves", 16)
    return root


def test_factors_are_uniform_and_independent():
    factors = sample_factors(leaves.COUNT, leaves.SEEDS["leaves"])
    correlations = numpy.corrcoef(factors.T) - numpy.eye(len(FACTORS))
    assert numpy.abs(correlations).max() < 4 / leaves.COUNT**0.5  # four standard errors
    assert all(map(is_uniform, factors.T))


def is_uniform(factor):
    counts = numpy.histogram(factor, bins=10, range=(0, 1))[0]
    return counts.sum() == leaves.COUNT and abs(counts - leaves.COUNT / 10).max() < 5 * (0.09 * leaves.COUNT) ** 0.5


def test_the_first_factors_do_not_depend_on_how_many_there_are():
    assert numpy.array_equal(sample_factors(10, 3), sample_factors(1000, 3)[:10])
    assert not numpy.array_equal(sample_factors(10, 3), sample_factors(10, 4))


def test_the_label_is_the_sum_of_three_factors_above_one_and_a_half():
    rows = {
        (0.5, 0.5, 0.5, 1, 1, 1): 0,  # not above
        (0.51, 0.5, 0.5, 0, 0, 0): 1,
        (1, 0.49, 0, 1, 1, 1): 0,
        (0, 0.6, 0.91, 0, 0, 0): 1,
    }
    assert labels_of(numpy.array(list(rows), float)).tolist() == list(rows.values())
    factors = sample_factors(leaves.COUNT, leaves.SEEDS["leaves"])
    labels = labels_of(factors)
    assert numpy.array_equal(labels, factors[:, :3].sum(1) > 1.5)
    assert abs(labels.mean() - 0.5) < 4 * 0.5 / leaves.COUNT**0.5


def test_the_planted_bias_is_of_the_background_alone():
    seed, agreement = leaves.SEEDS["leaves-biased"], leaves.AGREEMENT["leaves-biased"]
    biased, fair = sample_factors(leaves.COUNT, seed, agreement), sample_factors(leaves.COUNT, seed)
    assert numpy.array_equal(biased[:, :5], fair[:, :5])
    agrees = (biased[:, 5] < 0.5) == labels_of(biased)
    assert abs(agrees.mean() - 0.95) < 4 * (0.95 * 0.05 / leaves.COUNT) ** 0.5
    assert is_uniform(biased[:, 5])


@pytest.mark.parametrize("resolution", [32, 64])
def test_the_same_factors_give_the_same_bytes(resolution):
    factors = sample_factors(5, 0)
    images = draw_leaves(factors, resolution)
    assert images.shape == (5, 3, resolution, resolution) and images.dtype == numpy.uint8
    assert images.tobytes() == draw_leaves(factors, resolution).tobytes()
    assert draw_leaves(factors[2:3], resolution).tobytes() == images[2:3].tobytes()


def test_a_resolution_is_the_other_one_seen_from_farther_away():
    large, small = draw_leaves(sample_factors(20, 1), 64), draw_leaves(sample_factors(20, 1), 32)
    averaged = large.reshape(20, 3, 32, 2, 32, 2).mean((3, 5))
    assert numpy.abs(averaged - small).mean() < 4  # of 255


def test_background_is_the_shade_of_the_corners():
    for shade, expected in ((0.0, 40), (0.5, 132), (1.0, 225)):
        image = pixels(background=shade)
        assert set(image[[0, 0, -1, -1], [0, -1, 0, -1]].flatten()) == {expected}


def test_yellowing_mixes_green_and_yellow():
    place = (32, 38)  # in the blade, beside the midrib
    for amount in (0.0, 0.25, 1.0):
        green, yellow = numpy.array(leaves.GREEN), numpy.array(leaves.YELLOW)
        assert numpy.abs(pixels(yellowing=amount)[place] - (green + amount * (yellow - green))).max() <= 0.5


def test_the_area_of_the_spots_grows_with_the_factor():
    def brown(amount):
        return (numpy.abs(pixels(256, spots=amount) - leaves.BROWN).max(2) < 2).sum()

    full = brown(1.0)
    assert brown(0.0) == 0 and full > 0.02 * 256**2
    for amount in (0.25, 0.5, 0.75):
        assert brown(amount) == pytest.approx(amount * full, rel=0.08)


def test_size_scales_the_leaf():
    small, large = (leaf_pixels(pixels(256, size=size)).sum() for size in (0.0, 1.0))
    assert large / small == pytest.approx((leaves.LENGTH[1] / leaves.LENGTH[0]) ** 2, rel=0.03)


def test_angle_turns_the_leaf_and_curl_bends_it():
    def fitted(degree, **factors):
        rows, columns = numpy.nonzero(leaf_pixels(pixels(128, **factors)))
        return numpy.polyfit(rows, columns, degree)[0]

    assert abs(fitted(1, angle=0.5)) < 0.02 and fitted(1, angle=0.9) < -0.2 and fitted(1, angle=0.1) > 0.2
    assert abs(fitted(2)) < 1e-3 and fitted(2, curl=0.5) > 2e-3 and fitted(2, curl=1.0) > fitted(2, curl=0.5)


def test_a_leaf_stays_within_the_image():
    for size, angle, curl in ((1, 0, 0), (1, 1, 0), (1, 0, 1), (1, 1, 1), (1, 0.5, 1), (1, 0.5, 0)):
        inside = leaf_pixels(pixels(64, size=size, angle=angle, curl=curl))
        assert not inside[[0, -1]].any() and not inside[:, [0, -1]].any()


def test_factors_are_joined_to_the_prepared_images_by_id(few):
    known = read_factors(few, "leaves", 16)
    assert known.names == FACTORS and len(known.ids) == 200
    config = DatasetConfig(name="leaves", resolution=16, classes=None, one_vs_rest=None)
    for split in ("train", "val", "test"):
        images = load_split(few, config, split)
        values = known.of(images.ids)
        assert images.class_names == ("healthy", "sick") and images.channels == 3
        assert numpy.array_equal(images.labels.numpy(), labels_of(values))
        assert numpy.array_equal(images.raw().numpy(), draw_leaves(values, 16))
    with pytest.raises(ArtifactError, match="the factors of image 'nobody' are not known"):
        known.of(["nobody"])


def test_the_manifest_says_how_the_images_came_about(few):
    manifest = read_json(DatasetPaths(few, "leaves").manifest(16))
    assert manifest["source"] == {"name": "drawn by stylex.datasets.leaves, seed 20211, 20000 images", "files": {}}
    assert manifest["preparation"]["causes"] == ["spots", "yellowing", "curl"]
    assert manifest["channels"] == 3 and manifest["counts"]["train"].keys() == {"healthy", "sick"}


def test_a_damaged_table_of_factors_is_made_anew(few):
    path = DatasetPaths(few, "leaves").factors(16)
    good = path.read_bytes()
    path.write_bytes(good[:-9])
    with pytest.raises(ArtifactError, match=r"factors\.parquet is damaged"):
        read_factors(few, "leaves", 16)
    prepare(few, "leaves", 16)
    assert path.read_bytes() == good


def test_a_dataset_without_factors_says_so(root):
    with pytest.raises(ConfigError, match="dataset 'mnist' has no known factors; choose a drawn one such as leaves"):
        read_factors(root, "mnist", 32)


def test_halves_name_the_side_of_each_factor(few):
    config = DatasetConfig(name="leaves", resolution=16, classes=None, one_vs_rest=None)
    split = load_split(few, config, "val")
    values = numpy.zeros((len(split), 2))
    values[0], values[1], values[2] = (0.5, 0.4), (0.1, 0.9), (0.8, 0.7)
    halves = by_halves(split, Factors(split.ids[::-1], ("a", "b"), values[::-1]))
    assert halves.class_names == ("00", "01", "10", "11")
    assert halves.labels[:4].tolist() == [2, 1, 3, 0] and halves.ids == split.ids


# Regions: which pixels a factor touches, by hand, and which it does not.


def rows(**factors):
    """Return factors [1, 6] of an upright leaf without spots and curl, but for what is said."""
    values = PLAIN | factors
    return numpy.array([[values[name] for name in FACTORS]])


def region(name, **factors):
    return regions(rows(**factors), SIDE)[name][0]


def coverage(factors):
    """Return the share of each pixel [N, H, W] that the leaves cover: the rest takes the ground's shade with it."""
    is_ground = numpy.arange(len(FACTORS)) == FACTORS.index("background")
    black, white = (draw_leaves(numpy.where(is_ground, shade, factors), SIDE) for shade in (0.0, 1.0))
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
        brown = (image == numpy.array(leaves.BROWN)[:, None, None]).all(axis=0)
        assert brown.sum() > 20 and mask[brown].all() and mask.sum() < 2.5 * brown.sum()


def test_a_blade_keeps_its_colour_below_a_spot():
    brown = (pixels(spots=1.0) == leaves.BROWN).all(axis=2)
    assert not region("yellowing", spots=1.0)[brown].any() and region("yellowing")[brown].all()


@pytest.mark.parametrize("name", ["curl", "size", "angle"])
def test_the_shape_acts_where_leaves_differ(name):
    """At every pixel in which two images of the range differ."""
    found = region(name)
    for value in numpy.linspace(0, 1, leaves.STEPS):
        differs = numpy.abs(pixels(**{name: value}) - pixels()).max(axis=2) > leaves.THRESHOLD
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
