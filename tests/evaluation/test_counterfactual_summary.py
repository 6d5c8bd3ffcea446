"""Rows of counterfactuals.csv from records that are counted by hand, and by a plain second implementation."""

import numpy
import pytest
import torch
from scipy.linalg import sqrtm

from stylex.config import load_experiment
from stylex.evaluation.counterfactual_summary import SUMMARY_COLUMNS, mean_distances, of_images, summaries
from stylex.evaluation.intervals import bootstrap, wilson_interval
from stylex.evaluation.realism import FEWEST, Features, distances, frechet_of_halves, in_first_half


def record(image, flipped, agreed=None, first_k=None, draw=0, **values):
    told = {} if agreed is None else {"agreed": agreed, "neither": not agreed and image == "c"}
    numbers = {"cout": 0.5, "l1": 0.25, "perceptual": 1.0, "diversity": None} | values
    return {"id": image, "draw": draw, "flipped": flipped, "first_k": first_k} | told | numbers


FOUR = [
    record("a", True, True, 1, cout=1.0),
    record("b", True, False, 4, cout=0.0),
    record("c", False, False, cout=-1.0),
    record("d", False, True, cout=0.0),  # the oracle says so, but the classifier does not
]


def test_counts_of_four_images_by_hand():
    row = of_images([FOUR], seed=0)
    assert (row["n"], row["images"], row["flipped"], row["agreed"]) == (4, 4, 2, 1)
    assert (row["validity"], row["agreement"], row["neither"]) == (0.5, 0.25, 0.25)
    assert (row["validity_low"], row["validity_high"]) == wilson_interval(2, 4)
    assert (row["agreement_low"], row["agreement_high"]) == wilson_interval(1, 4)
    assert row["sparsity"] == 2.5 and row["cout"] == 0.0 and row["l1"] == 0.25 and row["diversity"] is None


def test_an_image_of_several_draws_or_targets_is_resampled_with_all_of_them():
    draws = [record(image, image == "a", True, draw=draw) for draw in range(3) for image in "abcd"]
    row = of_images([draws], seed=3)
    assert (row["n"], row["images"], row["flipped"]) == (12, 4, 3)
    assert (row["validity_low"], row["validity_high"]) == bootstrap([3, 0, 0, 0], 3, [3, 3, 3, 3])
    both = of_images([FOUR, FOUR], seed=3)
    assert (both["n"], both["images"]) == (8, 4)
    assert (both["validity_low"], both["validity_high"]) == bootstrap([2, 2, 0, 0], 3, [2, 2, 2, 2])


def test_without_an_oracle_nothing_is_said_of_agreement():
    row = of_images([[record("a", True, first_k=1)]], seed=0)
    assert row["validity"] == 1 and not {"agreement", "agreed", "neither"} & set(row)


def test_of_no_image_nothing_is_known():
    row = of_images([[]], seed=0)
    assert row["n"] == 0 and row["validity"] is None and row["sparsity"] is None and row["l1"] is None
    assert (row["validity_low"], row["validity_high"]) == (0.0, 1.0)


def test_a_row_for_each_target_and_one_for_all(root):
    apart = {"n_real": 5, "n_compared": 4, "extractor": "net", "frechet_distance": 6.0, "frechet_reconstructions": 2.0}
    apart |= {"frechet_ratio": 3.0, "frechet_halves": None, "kid": 0.1, "kid_sd": 0.01}
    other = apart | {"frechet_distance": 2.0, "frechet_ratio": 1.0}
    rows = summaries({"3": FOUR, "5": FOUR[:1]}, {"3": apart, "5": other}, load_experiment(root, "mnist"))
    assert [row["target_class"] for row in rows] == ["3", "5", "*"] and [row["n"] for row in rows] == [4, 1, 5]
    every = rows[-1]
    assert (every["frechet_distance"], every["frechet_ratio"], every["n_compared"]) == (4.0, 2.0, 8)
    assert every["frechet_halves"] is None and set(every) < set(SUMMARY_COLUMNS)
    assert summaries({}, {}, load_experiment(root, "mnist")) == []
    missing = apart | {"frechet_distance": None, "frechet_ratio": None}
    assert mean_distances([apart, missing])["frechet_ratio"] is None  # not that of the class that has one


def plain_frechet(a, b):
    """Heusel et al. 2017 as it is written, by scipy's matrix root."""
    first, second = (numpy.cov(each, rowvar=False) for each in (a, b))
    apart = numpy.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    return apart + numpy.trace(first + second - 2 * numpy.real(sqrtm(first @ second)))


def features(count, shift, seed):
    values = numpy.random.default_rng(seed).normal(shift, 1, (count, 3))
    return Features([f"{seed}-{row}" for row in range(count)], torch.from_numpy(values))


def test_as_many_reconstructions_as_flipped_images_are_compared():
    real, rebuilt, turned = features(200, 0, 1), features(40, 0, 2), features(25, 2, 3)
    row = distances(real, rebuilt, turned, seed=0)
    assert row["n_compared"] == 25
    assert row["frechet_distance"] == pytest.approx(plain_frechet(real.values.numpy(), turned.values.numpy()))
    generator = torch.Generator().manual_seed(0)
    torch.randperm(25, generator=generator)
    some = rebuilt.values[torch.randperm(40, generator=generator)[:25]]
    assert row["frechet_reconstructions"] == pytest.approx(plain_frechet(real.values.numpy(), some.numpy()))
    assert row["frechet_ratio"] == row["frechet_distance"] / row["frechet_reconstructions"] > 4
    assert row["kid"] > 0


def test_of_a_handful_no_distance_is_taken():
    real, rebuilt = features(200, 0, 1), features(40, 0, 2)
    row = distances(real, rebuilt, features(FEWEST - 1, 2, 3), seed=0)
    assert row["n_compared"] == 0 and {row[key] for key in row if key != "n_compared"} == {None}
    assert distances(real, rebuilt, features(FEWEST, 2, 3), seed=0)["frechet_halves"] is None


def test_halves_share_no_image_and_are_compared_crosswise():
    real, turned = features(200, 0, 1), features(60, 2, 3)
    ours, theirs = in_first_half(real.ids).numpy(), in_first_half(turned.ids).numpy()
    assert 60 < ours.sum() < 140 and torch.equal(in_first_half(real.ids), in_first_half(list(real.ids)))
    crosswise = [
        plain_frechet(real.values.numpy()[a], turned.values.numpy()[b]) for a, b in ((ours, ~theirs), (~ours, theirs))
    ]
    assert frechet_of_halves(real, turned) == pytest.approx(sum(crosswise) / 2)
