"""Which trainings of a classifier fit together, and what is said of the others."""

import pytest
from pydantic import ValidationError

from stylex.config import BackboneConfig, FineTuningConfig, RegressorConfig

TRAINING = {"epochs": 1, "batch_size": 1, "learning_rate": 0.1}


def config(**changes) -> FineTuningConfig:
    return FineTuningConfig.model_validate(TRAINING | changes)


@pytest.mark.parametrize(
    ("changes", "resolution", "stem"),
    [
        ({}, 64, "small"),
        ({}, 128, "published"),
        ({"stem": "small"}, 256, "small"),
        ({"stem": "published"}, 32, "published"),
        ({"pretrained": "imagenet"}, 32, "published"),
        ({"architecture": "timm:resnet18"}, 32, "published"),
    ],
)
def test_stem(changes, resolution, stem):
    assert config(**changes).stem_at(resolution) == stem


def test_where_the_weights_come_from():
    given = config(pretrained="mine/a.pth", architecture="mobilenet_v1", width=0.5)
    assert (given.imagenet_weights, given.initial_file, given.published_inputs) == (None, "mine/a.pth", True)
    published = config(pretrained="imagenet")
    assert (published.imagenet_weights, published.initial_file, published.published_inputs) == ("resnet18", None, True)
    scratch = config()
    assert (scratch.imagenet_weights, scratch.initial_file, scratch.published_inputs) == (None, None, False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "mobilenet_v1", "pretrained": "imagenet"}, "not for mobilenet_v1: give a file of weights"),
        ({"architecture": "timm:resnet18", "pretrained": "imagenet"}, "not for timm:resnet18: give a file of weights"),
        ({"pretrained": "imagenet", "width": 0.5}, "width = 0.5 does not go with torchvision's weights: set width: 1"),
        ({"architecture": "timm:resnet18", "width": 2}, "width = 2 does not go with timm's models: set width: 1"),
        ({"pretrained": "imagenet", "stem": "small"}, "stem: small goes with our own networks .*: set stem: auto"),
        ({"epochs_per_stage": 2}, "epochs_per_stage would freeze random weights: set pretrained, or leave it out"),
        ({"architecture": "timm:"}, "unknown architecture; choose one of 'resnet18'"),
        ({"pretrained": ""}, "at least 1 character"),
    ],
)
def test_what_does_not_go_together(changes, message):
    with pytest.raises(ValidationError, match=message):
        config(**changes)


def test_roles_that_cannot():
    rest = TRAINING | {"dataset": "mnist", "resolution": 32}
    with pytest.raises(ValidationError, match="a backbone gives maps of four stages"):
        BackboneConfig.model_validate(rest | {"architecture": "timm:resnet18"})
    with pytest.raises(ValidationError, match="a regressor has no classes to balance: leave it out"):
        RegressorConfig.model_validate(rest | {"balance": "loss"})
