"""Captions say what was done: FID of Inception's features and of no others, the search that ran, whose images."""

import re

import pytest

from stylex.config import load_experiment
from stylex.figures.names import ANIMATION_NAMES, FIGURE_NAMES
from stylex.report.captions import caption
from stylex.report.experiment import how_found


@pytest.mark.parametrize(
    ("extractors", "text"),
    [
        (["backbone"], "above the curve: this is not FID."),
        (["inception"], "above the curve (FID: pytorch-fid's Inception). KID"),
        (["inception", "backbone"], "(FID: pytorch-fid's Inception): in all others it is not FID."),
    ],
)
def test_caption_of_the_curve(root, extractors, text):
    config = load_experiment(root, "mnist")
    evaluation = config.evaluation.model_copy(update={"frechet_extractors": extractors})
    assert text in caption("frechet", config.model_copy(update={"evaluation": evaluation}))[1]


@pytest.mark.parametrize("name", ["leaves", "mnist"])
def test_drawn_images_are_not_called_real(root, name):
    config = load_experiment(root, name)
    texts = [text for figure in FIGURE_NAMES + ANIMATION_NAMES for text in caption(figure, config)]
    assert not [text for text in texts if "real" in re.findall(r"\w+", text)]


def test_single_images_are_said_to_be_explained_as_they_are(root):
    config = load_experiment(root, "mnist")
    alone, together = caption("independent", config)[1], caption("subset", config)[1]
    assert "5 at the most, each moved alone on the reconstruction" in alone and "all steps so far" not in alone
    assert "Each image shows all steps so far" in together


@pytest.mark.parametrize(
    ("options", "released", "merged", "texts"),
    [
        ({}, None, False, ["Algorithm 1 of Lang et al. 2021 (threshold", "against all other classes)", "every move",
                           "no earlier attribute explained"]),
        ({"engine": "screened", "confidence": 0.9}, None, False, ["Algorithm 1", "(confidence 90 %)"]),
        ({"algorithm": "notebook"}, None, True, ["find_significant_styles of the authors'", "over all images"]),
        ({"algorithm": "notebook"}, None, False, ["find_significant_styles of", "no earlier attribute explained"]),
        ({"algorithm": "image_fraction", "against": "3"}, None, False,
         ["find_significant_styles_image_fraction of the authors' notebook", "against the class 3)",
          "that the move raises"]),
        ({"algorithm": "notebook"}, "effects", True, ["that its authors measured and released"]),
        ({"algorithm": "notebook"}, "latents", True, ["of every move on every image"]),
    ],
)  # fmt: skip
def test_the_search_that_ran_is_named(root, options, released, merged, texts):
    config = load_experiment(root, "mnist")
    attfind = config.attfind.model_copy(update={"engine": "exhaustive", "threshold": 0.5, **options})
    text = how_found(config.model_copy(update={"attfind": attfind, "released": released}), merged)
    assert all(each in text for each in texts) and "0.5 logits" in text
    assert ("Algorithm 1" in text) == (attfind.algorithm == "paper")
