"""Sufficiency on a linear generator and classifier, where the answer is known by arithmetic."""

import pandas
import pytest
import torch
from torch import nn

from stylex.attfind.records import Attribute, Direction
from stylex.config import load_experiment
from stylex.evaluation.counterfactuals import apply_attributes, rendered
from stylex.evaluation.intervals import wilson_interval
from stylex.evaluation.sufficiency import COLUMNS, flips_of, sufficiency_rows
from stylex.latents.table import Latents
from stylex.networks.stylespace import StyleVector


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


def flips(latents, attributes=TOWARDS_1, target=1, shift=1.0, batch_size=2):
    return flips_of(StylesAsImages(), SumOfPixels(), latents, attributes, target, shift, batch_size)


def test_flips_by_hand(latents):
    # Images 0, 1 and 3 are of class 0. k = 1: sums +0.5, -3, -3. k = 2: +1.5, -1, -1. k = 3: -1, -1, -1.
    # Image 0 flips at k = 1 and counts at every k after, though the third attribute turns it back.
    assert flips(latents).tolist() == [[False] * 3, [True, False, False], [True, False, False], [True, False, False]]


def test_shift_scales_the_move(latents):
    # Shift 2, k = 1: coordinate 1 goes to s + 2 (1 - s): 3, 1, 4; sums 2.5, -3, 0 (not above 0). k = 2: 4.5, +1, +4.
    assert flips(latents, TOWARDS_1[:2], shift=2.0)[1:].tolist() == [[True, False, False], [True, True, True]]


def test_does_not_depend_on_the_batch_size_and_changes_nothing(latents):
    assert torch.equal(flips(latents, batch_size=1), flips(latents, batch_size=100))
    assert torch.equal(latents.styles, STYLES)


def test_only_images_not_of_the_target_class(latents):
    towards_0 = [Attribute("0", 1, 2, 0, 2, Direction.TO_MIN, 1.0, 0)]
    # Image 2 alone is of class 1: coordinate 2 to its minimum -1 gives the sum -1.
    assert flips(latents, towards_0, target=0).tolist() == [[False], [True]]


def test_no_image_is_rendered_where_all_are_of_the_target_class():
    class OfImages(StylesAsImages):
        def render(self, styles):
            assert len(styles.space), "a network cannot render nothing"
            return super().render(styles)

    nothing = StyleVector(STYLES[:0], torch.zeros(0, 1))
    assert list(rendered(OfImages(), nothing, 2)) == []
    assert len(list(rendered(OfImages(), StyleVector(STYLES, torch.zeros(4, 1)), 3))) == 2


def test_no_attribute_flips_nothing(latents):
    assert flips(latents, []).tolist() == [[False] * 3]


def test_apply_attributes_moves_from_the_original_value(latents):
    styles = apply_attributes(latents, torch.tensor([3, 0]), TOWARDS_1[:2], 0.5)
    assert styles.space.tolist() == [[-3.0, -0.5, 0.0], [-0.5, 0.0, 0.5]]
    assert torch.equal(apply_attributes(latents, torch.tensor([1]), [], 2.0).space, STYLES[1:2])


def test_rows(root, latents):
    config = load_experiment(root, "mnist")
    towards_0 = [Attribute("0", 1, 2, 0, 2, Direction.TO_MIN, 1.0, 0)]
    rows = sufficiency_rows("mnist", config, {"0": flips(latents, towards_0, target=0), "1": flips(latents)})
    frame = pandas.DataFrame(rows, columns=list(COLUMNS))
    assert frame["target_class"].tolist() == ["0", "1", "both"] * 10
    assert frame["k"].tolist() == [k for k in range(1, 11) for _ in range(3)]
    last = frame[frame["k"] == 10].set_index("target_class")
    assert last["n"].to_dict() == {"0": 1, "1": 3, "both": 4}
    assert last["flipped"].to_dict() == {"0": 1, "1": 1, "both": 2}
    assert last.loc["both", "fraction"] == 0.5
    assert (last.loc["both", "low"], last.loc["both", "high"]) == wilson_interval(2, 4)
    assert set(frame["method"]) == {"stylex"}
    assert ", ".join(frame.columns) == (
        "experiment, domain, method, target_class, k, shift, n, flipped, fraction, low, high, seed, published"
    )


def test_method_names_the_missing_conditioning(root, latents):
    config = load_experiment(root, "mnist")
    without = config.model_copy(update={"stylex": config.stylex.model_copy(update={"conditioning": "none"})})
    assert {row["method"] for row in sufficiency_rows("x", without, {"1": flips(latents)})} == {"without_cst"}
