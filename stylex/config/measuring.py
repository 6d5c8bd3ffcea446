"""The one definition of the networks that measure, each trained on all images of a dataset: a file of config/ each."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from stylex.config.finetuning import TIMM, FineTuningConfig
from stylex.config.models import Name, Resolution


class BackboneConfig(FineTuningConfig):
    """A network trained on all images of a dataset, for perceptual and Fréchet distances; never what is explained."""

    dataset: Name
    resolution: Resolution
    seed: int = 0
    labels: Literal["classes", "factors"] = Field(
        "classes", description="factors: of a drawn dataset, the halves in which all known factors lie (2^F classes)."
    )

    @field_validator("architecture")
    @classmethod
    def _with_maps(cls, value: str) -> str:
        if value.startswith(TIMM):
            raise ValueError("a backbone gives maps of four stages, which timm's models have not here: name another")
        return value


class OracleConfig(FineTuningConfig):
    """A classifier of all classes of a dataset that is asked what counterfactuals show: config/oracles/<name>.yaml.

    It takes no part in any training, and it is neither a backbone nor what is explained.
    """

    dataset: Name
    resolution: Resolution
    seed: int = 1


class RegressorConfig(FineTuningConfig):
    """A network that tells the known factors of a drawn dataset from an image: config/regressors/<name>.yaml."""

    dataset: Name
    resolution: Resolution
    seed: int = 0

    @field_validator("label_smoothing")
    @classmethod
    def _no_labels(cls, value: float) -> float:
        if value:
            raise ValueError("a regressor has no labels to smooth: leave it out")
        return value

    @field_validator("balance")
    @classmethod
    def _no_classes(cls, value: str) -> str:
        if value != "none":
            raise ValueError("a regressor has no classes to balance: leave it out")
        return value
