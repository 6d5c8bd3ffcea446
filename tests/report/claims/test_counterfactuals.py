"""The claim that counterfactuals look like the target class: what decides for it, and what against it."""

import pytest

from stylex.report.claims import Verdict
from stylex.report.claims.counterfactuals import look_like_their_class

YES, NO, OPEN = Verdict.SUPPORTS, Verdict.CONTRADICTS, Verdict.UNDECIDED
NAN = float("nan")


def images(flipped, agreed, n=200, method="stylex", protocol="held_out", draws=1):
    """Rows of counterfactual_images.csv; agreed: of the first images, or None: nobody was asked."""
    common = {"experiment": "mnist", "method": method, "protocol": protocol}
    return [
        common
        | {"id": str(image), "target_class": "3" if image % 2 else "5", "draw": draw, "flipped": image < flipped}
        | {"agreed": NAN if agreed is None else image < agreed}
        for draw in range(draws)
        for image in range(n)
    ]


def summary(ratio, method="stylex", protocol="held_out", target="*"):
    row = {"experiment": "mnist", "method": method, "protocol": protocol, "target_class": target, "n_compared": 200}
    row |= {"extractor": "net_32", "frechet_distance": 2 * ratio, "frechet_reconstructions": 2.0}
    return row | {"frechet_ratio": ratio, "neither": 0.05}


@pytest.mark.parametrize(
    ("flipped", "agreed", "ratio", "verdict"),
    [
        (200, 195, 1.5, YES),
        (200, 195, 4.0, YES),
        (200, 195, 4.1, NO),  # an oracle that agrees to blobs is not enough
        (200, 120, 1.5, NO),  # nor a small distance of adversarial examples
        (150, 150, 1.5, NO),
        (184, 184, 1.5, OPEN),  # 92 %, interval 87 to 95 %
        (200, 176, 1.5, OPEN),  # 88 %, interval 83 to 92 %
        (200, 195, NAN, OPEN),
        (20, 10, NAN, NO),
        (200, None, 1.5, OPEN),  # without an oracle nothing supports
        (200, None, 9.0, NO),
    ],
)
def test_all_three_must_hold_and_one_decides_against(run_of, flipped, agreed, ratio, verdict):
    run = run_of(csv_counterfactual_images=images(flipped, agreed), csv_counterfactuals=[summary(ratio)])
    (finding,) = look_like_their_class(run)
    assert finding.verdict == verdict and finding.where == "mnist"
    assert finding.anchor == "provenance-mnist-counterfactuals"
    assert f"{flipped / 2:.1f} % of 200 images flip" in finding.sentence


def test_the_numbers_and_those_of_chance_are_said(run_of):
    rows = [*images(200, 195), *images(20, 4, method="random", draws=3)]
    run = run_of(
        csv_counterfactual_images=rows, csv_counterfactuals=[summary(1.5), summary(NAN, method="random")]
    )  # fmt: skip
    (finding,) = look_like_their_class(run)
    assert finding.sentence.startswith(
        "Held out, 100.0 % of 200 images flip (95 % interval 98.1–100.0 %); 97.5 % of 200"
    )
    assert "Fréchet distance to the images of the target class 3.0, of as many reconstructions 2.0" in finding.sentence
    assert "1.5 times as far" in finding.sentence and "5.0 % neither class" in finding.sentence
    assert "As many random moves: 10.0 % of 600 images flip" in finding.sentence
    assert "2.0 % of 600 flip and are called the target" in finding.sentence
    assert "too few flip towards some class to take a distance" in finding.sentence


def test_what_the_oracle_says_of_images_that_do_not_flip_counts_for_nothing(run_of):
    rows = [row | {"agreed": True} for row in images(100, 100)]
    (finding,) = look_like_their_class(run_of(csv_counterfactual_images=rows, csv_counterfactuals=[summary(1.0)]))
    assert "50.0 % of 200 flip and are called the target" in finding.sentence and finding.verdict == NO


def test_other_protocols_methods_and_trainings_are_not_judged(run_of):
    assert look_like_their_class(run_of()) == []
    aside = run_of(
        csv_counterfactual_images=images(200, 195, protocol="same_images"),
        csv_counterfactuals=[summary(1.5, protocol="same_images")],
    )
    assert look_like_their_class(aside) == []
    for method in ("without_cst", "condition", "pixel"):
        rows = images(200, 195, method=method)
        assert (
            look_like_their_class(run_of(csv_counterfactual_images=rows, csv_counterfactuals=[summary(1, method)]))
            == []
        )
