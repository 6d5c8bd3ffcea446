"""Sufficiency on a linear generator and classifier, where the answer is known by arithmetic, and random lists."""

from dataclasses import replace

import pandas
import pytest
import torch
from torch import nn

from stylex.attfind.records import Attribute, Direction
from stylex.config import load_experiment
from stylex.config.base import Protocol
from stylex.errors import ConfigError
from stylex.evaluation.counterfactuals import images_to_turn, target_classes
from stylex.evaluation.intervals import bootstrap, wilson_interval
from stylex.evaluation.sufficiency import COLUMNS, first_flips, random_list, sufficiency_rows
from stylex.networks.stylespace import StyleSpaceLayout, StyleVector
from tests.builders import latents_of


class SumOfPixels(nn.Module):
    """A classifier whose logits are (0, sum): class 1 when the sum is positive."""

    def forward(self, images):
        assert len(images), "a network cannot take nothing"
        total = images.flatten(1).sum(1)
        return torch.stack([torch.zeros_like(total), total], dim=1)


# Sums: -1.5, -3, +1, -6. Minima (-3, -2, -1), maxima (0, 1, 1).
STYLES = torch.tensor([[-0.5, -1.0, 0.0], [-3.0, 1.0, -1.0], [0.0, 0.0, 1.0], [-3.0, -2.0, -1.0]])
# Towards class 1: coordinate 1 to its maximum 1, then 2 to its maximum 1, then 0 to its *minimum* (which undoes some).
TOWARDS_1 = [
    Attribute("1", 1, 1, 0, 1, Direction.TO_MAX, 1.0, 0),
    Attribute("1", 2, 2, 0, 2, Direction.TO_MAX, 1.0, 0),
    Attribute("1", 3, 0, 0, 0, Direction.TO_MIN, 1.0, 0),
]
TOWARDS_0 = [Attribute("0", 1, 2, 0, 2, Direction.TO_MIN, 1.0, 0)]


@pytest.fixture
def latents():
    labels = torch.tensor([1, 1, 0, 0])  # they play no part: the decision on the reconstruction does
    logits = SumOfPixels()(STYLES)
    return latents_of(4, labels=labels, styles=STYLES.clone(), reconstruction_logits=logits, class_names=("0", "1"))


@pytest.fixture
def flips(fake_run, latents):
    """After how many attributes each image first flips."""

    def measure(attributes=TOWARDS_1, target="1", **options):
        run = fake_run(classifier=SumOfPixels(), **options)
        return first_flips(run, latents, images_to_turn(latents, target, None), attributes, target)

    return measure


def test_flips_by_hand(flips, latents):
    # Images 0, 1 and 3 are of class 0. k = 1: sums +0.5, -3, -3. k = 2: +1.5, -1, -1. k = 3: -1, -1, -1.
    # Image 0 flips at k = 1 and counts at every k after, though the third attribute turns it back.
    assert [flips(batch_size=size).tolist() for size in (1, 2, 100)] == [[1, 0, 0]] * 3
    # Image 2 alone is of class 1: coordinate 2 to its minimum -1 gives the sum -1.
    assert flips(TOWARDS_0, target="0").tolist() == [1] and flips([]).tolist() == [0, 0, 0]
    # Shift 2, k = 1: coordinate 1 goes to s + 2 (1 - s): 3, 1, 4; sums 2.5, -3, 0 (not above 0). k = 2: 4.5, +1, +4.
    assert flips(TOWARDS_1[:2], shift=2.0).tolist() == [1, 2, 2]
    assert torch.equal(latents.styles, STYLES)


def test_no_image_is_rendered_where_all_are_of_the_target_class(fake_run):
    run = fake_run(batch_size=3)
    assert list(run.rendered(StyleVector(STYLES[:0], torch.zeros(0, 1)))) == []
    assert [len(batch) for batch in run.rendered(StyleVector(STYLES, torch.zeros(4, 1)))] == [3, 1]


def test_which_images_are_turned(latents):
    three = replace(latents, class_names=("a", "b", "c"), reconstruction_logits=torch.eye(3)[[0, 1, 2, 1]])
    assert target_classes(three, "b") == ["a", "c"] and target_classes(three, None) == ["a", "b", "c"]
    assert [images_to_turn(three, target, "b").tolist() for target in ("a", "c")] == [[1, 3], [1, 3]]
    assert images_to_turn(three, "a", None).tolist() == [1, 2, 3]
    held_out = latents.under(Protocol.HELD_OUT)
    assert held_out.measured.sum() == 2 and not (held_out.measured & held_out.searched).any()
    assert images_to_turn(held_out, "1", None).tolist() == [row for row in (0, 1, 3) if held_out.measured[row]]


def rows_of(root, first):
    rows = sufficiency_rows("mnist", load_experiment(root, "mnist"), "stylex", "held_out", first)
    return pandas.DataFrame(rows, columns=list(COLUMNS))


def test_rows(root):
    frame = rows_of(root, {"0": {"2": 1}, "1": {"0": 1, "1": 0, "3": 3, "4": 11}})
    assert frame["target_class"].tolist() == ["0", "1", "*"] * 11
    assert frame["k"].tolist() == [k for k in (*range(1, 11), 40) for _ in range(3)]
    by_k = frame[frame["target_class"] == "1"].set_index("k")["flipped"].to_dict()
    assert by_k == {1: 1, 2: 1} | dict.fromkeys(range(3, 11), 2) | {40: 3}
    last = frame[frame["k"] == 40].set_index("target_class")
    assert last["n"].to_dict() == {"0": 1, "1": 4, "*": 5} and last["flipped"].to_dict() == {"0": 1, "1": 3, "*": 4}
    assert last.loc["*", "fraction"] == 0.8
    assert (last.loc["*", "low"], last.loc["*", "high"]) == wilson_interval(4, 5)
    assert ", ".join(frame.columns) == (
        "experiment, domain, method, protocol, target_class, k, shift, n, flipped, fraction, low, high, seed, published"
    )


def test_the_pooled_interval_is_that_of_images_and_not_of_their_targets(root):
    """Nine targets of each of 40 images flip together: no more is known than of 40 images."""
    first = {str(target): {str(image): int(image < 28) for image in range(40)} for target in range(9)}
    rows = rows_of(root, first).to_dict("records")
    pooled = rows[9]
    assert (pooled["target_class"], pooled["n"], pooled["flipped"]) == ("*", 360, 252)
    images = [1.0] * 28 + [0.0] * 12
    assert (pooled["low"], pooled["high"]) == bootstrap(images, load_experiment(root, "mnist").seed)
    narrow = wilson_interval(252, 360)  # as if they were 360 images
    assert pooled["low"] < narrow[0] - 0.05 and pooled["high"] > narrow[1] + 0.05
    assert (rows[0]["low"], rows[0]["high"]) == wilson_interval(28, 40)  # of one target an image is one


@pytest.mark.parametrize(("step", "flipped"), [(1, 5), (0, 0)])
def test_when_all_flip_the_interval_is_that_of_as_many_images(root, step, flipped):
    pooled = rows_of(root, {target: dict.fromkeys("abcde", step) for target in ("x", "y")}).to_dict("records")[2]
    assert (pooled["target_class"], pooled["n"]) == ("*", 10)
    assert (pooled["low"], pooled["high"]) == wilson_interval(flipped, 5)


def test_k_beyond_what_attfind_keeps_is_refused(root):
    path = root / "config/experiments/mnist.yaml"
    path.write_text(path.read_text().replace("attfind:\n", "attfind:\n  max_attributes: 10\n"))
    with pytest.raises(ConfigError, match="sufficiency_k goes up to 40, but attfind.max_attributes is 10: raise"):
        load_experiment(root, "mnist")


LAYOUT = StyleSpaceLayout((8, 8))
FIRST = Attribute("3", 1, 9, 1, 1, Direction.TO_MAX, 2.0, 5)


def drawn(length, seed=0):
    return random_list(FIRST, length, LAYOUT, torch.Generator().manual_seed(seed))


def test_in_a_random_list_the_first_attribute_is_followed_by_other_coordinates_each_once():
    moves = drawn(10)
    assert moves[0] == FIRST and [move.rank for move in moves] == list(range(1, 11))
    assert len({move.style_index for move in moves}) == 10 and {move.target_class for move in moves} == {"3"}
    assert all((move.layer, move.channel) == LAYOUT.locate(move.style_index) for move in moves)
    assert drawn(10) == drawn(10) != drawn(10, seed=1)
    assert drawn(1) == [FIRST] and len(drawn(40)) == 16
    many = [move for seed in range(40) for move in drawn(4, seed)[1:]]
    assert {move.style_index for move in many} == set(range(16)) - {9}
    assert 40 < sum(move.direction is Direction.TO_MAX for move in many) < 80  # of 120
