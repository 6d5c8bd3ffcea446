"""Sufficiency on a linear generator and classifier, where the answer is known by arithmetic."""

from dataclasses import replace

import pandas
import pytest
import torch
from torch import nn

from stylex.artifacts import write_table
from stylex.attfind.records import Attribute, Direction
from stylex.config import load_experiment
from stylex.errors import ConfigError
from stylex.evaluation.counterfactuals import apply_attributes, images_to_turn, rendered, target_classes
from stylex.evaluation.intervals import bootstrap, wilson_interval
from stylex.evaluation.sufficiency import COLUMNS, first_flips, flips_frame, sufficiency_rows
from stylex.latents.table import Latents
from stylex.networks.stylespace import StyleVector
from stylex.protocols import Protocol


class StylesAsImages(nn.Module):
    """A generator whose image is its StyleSpace vector."""

    def __init__(self):
        super().__init__()
        self.constant = nn.Parameter(torch.zeros(()))

    def render(self, styles):
        return styles.space[:, :, None, None]


class SumOfPixels(nn.Module):
    """A classifier whose logits are (0, sum): class 1 when the sum is positive."""

    def forward(self, images):
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
    count = len(STYLES)
    return Latents(
        ids=[str(row) for row in range(count)],
        labels=torch.tensor([1, 1, 0, 0]),  # the label plays no part: the decision on the reconstruction does
        logits=torch.zeros(count, 2),
        w=torch.zeros(count, 1),
        styles=STYLES.clone(),
        to_rgb_styles=torch.zeros(count, 1),
        reconstruction_l1=torch.zeros(count),
        reconstruction_perceptual=torch.zeros(count),
        reconstruction_logits=SumOfPixels()(STYLES),
        discriminator=torch.zeros(count),
        class_names=("0", "1"),
        provenance={},
    )


@pytest.fixture
def flips(root, latents):
    """After how many attributes each image first flips."""

    def measure(attributes=TOWARDS_1, target="1", shift=1.0, batch_size=2):
        config = load_experiment(root, "mnist")
        config = config.model_copy(update={
            "attfind": config.attfind.model_copy(update={"shift": shift}),
            "evaluation": config.evaluation.model_copy(update={"batch_size": batch_size}),
        })  # fmt: skip
        images = images_to_turn(latents, target, None)
        return first_flips(StylesAsImages(), SumOfPixels(), latents, images, attributes, target, config)

    return measure


def test_flips_by_hand(flips):
    # Images 0, 1 and 3 are of class 0. k = 1: sums +0.5, -3, -3. k = 2: +1.5, -1, -1. k = 3: -1, -1, -1.
    # Image 0 flips at k = 1 and counts at every k after, though the third attribute turns it back.
    assert flips().tolist() == [1, 0, 0]


def test_shift_scales_the_move(flips):
    # Shift 2, k = 1: coordinate 1 goes to s + 2 (1 - s): 3, 1, 4; sums 2.5, -3, 0 (not above 0). k = 2: 4.5, +1, +4.
    assert flips(TOWARDS_1[:2], shift=2.0).tolist() == [1, 2, 2]


def test_does_not_depend_on_the_batch_size_and_changes_nothing(flips, latents):
    assert torch.equal(flips(batch_size=1), flips(batch_size=100))
    assert torch.equal(latents.styles, STYLES)


def test_only_images_not_of_the_target_class(flips):
    # Image 2 alone is of class 1: coordinate 2 to its minimum -1 gives the sum -1.
    assert flips(TOWARDS_0, target="0").tolist() == [1]


def test_no_image_is_rendered_where_all_are_of_the_target_class():
    class OfImages(StylesAsImages):
        def render(self, styles):
            assert len(styles.space), "a network cannot render nothing"
            return super().render(styles)

    nothing = StyleVector(STYLES[:0], torch.zeros(0, 1))
    assert list(rendered(OfImages(), nothing, 2)) == []
    assert len(list(rendered(OfImages(), StyleVector(STYLES, torch.zeros(4, 1)), 3))) == 2


def test_no_attribute_flips_nothing(flips):
    assert flips([]).tolist() == [0, 0, 0]


def test_against_one_class_only_its_images_are_turned_and_not_into_it(latents):
    three = replace(latents, class_names=("a", "b", "c"), reconstruction_logits=torch.eye(3)[[0, 1, 2, 1]])
    assert target_classes(three, "b") == ["a", "c"] and target_classes(three, None) == ["a", "b", "c"]
    assert [images_to_turn(three, target, "b").tolist() for target in ("a", "c")] == [[1, 3], [1, 3]]
    assert images_to_turn(three, "a", None).tolist() == [1, 2, 3]


def test_held_out_only_the_other_half_is_turned(latents):
    held_out = latents.under(Protocol.HELD_OUT)
    assert held_out.measured.sum() == 2 and not (held_out.measured & held_out.searched).any()
    assert images_to_turn(held_out, "1", None).tolist() == [row for row in (0, 1, 3) if held_out.measured[row]]
    ends = held_out.styles[held_out.searched]
    assert torch.equal(held_out.minima, ends.amin(0)) and torch.equal(held_out.maxima, ends.amax(0))


def test_apply_attributes_moves_from_the_original_value(latents):
    styles = apply_attributes(latents, torch.tensor([3, 0]), TOWARDS_1[:2], 0.5)
    assert styles.space.tolist() == [[-3.0, -0.5, 0.0], [-0.5, 0.0, 0.5]]
    assert torch.equal(apply_attributes(latents, torch.tensor([1]), [], 2.0).space, STYLES[1:2])


def of_images(first, ids=None):
    return dict(zip(map(str, ids or range(len(first))), first.tolist(), strict=True))


def test_rows(root, flips):
    config = load_experiment(root, "mnist")
    first = {"0": of_images(flips(TOWARDS_0, target="0"), [2]), "1": of_images(flips(), [0, 1, 3])}
    rows = sufficiency_rows("mnist", config, "stylex", "held_out", first)
    frame = pandas.DataFrame(rows, columns=list(COLUMNS))
    assert frame["target_class"].tolist() == ["0", "1", "*"] * 11
    assert frame["k"].tolist() == [k for k in (*range(1, 11), 40) for _ in range(3)]
    for k in (10, 40):  # no more than three attributes were found: they count at every k beyond
        last = frame[frame["k"] == k].set_index("target_class")
        assert last["n"].to_dict() == {"0": 1, "1": 3, "*": 4}
        assert last["flipped"].to_dict() == {"0": 1, "1": 1, "*": 2}
    assert last.loc["*", "fraction"] == 0.5
    assert (last.loc["*", "low"], last.loc["*", "high"]) == wilson_interval(2, 4)
    assert set(frame["method"]) == {"stylex"}
    assert ", ".join(frame.columns) == (
        "experiment, domain, method, protocol, target_class, k, shift, n, flipped, fraction, low, high, seed, published"
    )


def test_an_image_that_flips_later_counts_from_there(root):
    config = load_experiment(root, "mnist")
    rows = sufficiency_rows("mnist", config, "stylex", "held_out", {"1": of_images(torch.tensor([3, 1, 0, 11]))})
    assert {row["k"]: row["flipped"] for row in rows if row["target_class"] == "1"} == (
        {1: 1, 2: 1} | dict.fromkeys(range(3, 11), 2) | {40: 3}
    )


def test_flips_of_single_images_round_trip(tmp_path):
    frame = flips_frame("wu_2021", "held_out", "1", {"007": 0, "b": 12})
    write_table(tmp_path / "flips.csv", frame, {})
    assert (tmp_path / "flips.csv").read_text() == (
        "id,method,protocol,target_class,first_k\n007,wu_2021,held_out,1,\nb,wu_2021,held_out,1,12\n"
    )


def test_the_pooled_interval_is_that_of_images_and_not_of_their_targets(root):
    """Nine targets of each of 40 images flip together: no more is known than of 40 images."""
    config = load_experiment(root, "mnist")
    first = {str(target): {str(image): int(image < 28) for image in range(40)} for target in range(9)}
    rows = sufficiency_rows("mnist", config, "stylex", "held_out", first)
    pooled = next(row for row in rows if row["target_class"] == "*")
    assert (pooled["n"], pooled["flipped"]) == (360, 252)
    images = [1.0] * 28 + [0.0] * 12
    assert (pooled["low"], pooled["high"]) == bootstrap(images, config.seed)
    narrow = wilson_interval(252, 360)  # as if they were 360 images
    assert pooled["low"] < narrow[0] - 0.05 and pooled["high"] > narrow[1] + 0.05
    assert (rows[0]["low"], rows[0]["high"]) == wilson_interval(28, 40)  # of one target an image is one


def test_when_all_flip_the_interval_is_that_of_as_many_images(root):
    config = load_experiment(root, "mnist")
    for step, flipped in ((1, 5), (0, 0)):
        first = {target: dict.fromkeys("abcde", step) for target in ("x", "y")}
        pooled = sufficiency_rows("mnist", config, "stylex", "held_out", first)[2]
        assert (pooled["target_class"], pooled["n"]) == ("*", 10)
        assert (pooled["low"], pooled["high"]) == wilson_interval(flipped, 5)


def test_k_beyond_what_attfind_keeps_is_refused(root):
    path = root / "config/experiments/mnist.yaml"
    path.write_text(path.read_text().replace("attfind:\n", "attfind:\n  max_attributes: 10\n"))
    with pytest.raises(ConfigError, match="sufficiency_k goes up to 40, but attfind.max_attributes is 10: raise"):
        load_experiment(root, "mnist")
