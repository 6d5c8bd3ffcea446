"""The caption of the Fréchet curve says FID of Inception's features and of no others."""

import pytest

from stylex.config import load_experiment
from stylex.report.captions import caption


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
