"""What the sections of all configuration files share: their base class, types of values, and names that are reserved.

[L]: Lang et al. 2021; [V]: van der Vleuten et al. 2022; [N]: the notebook of the authors of [L].
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

POOLED = "*"  # in the column target_class: all classes together
EVERY = "all directions"  # what a reader's table calls them
REST = "rest"  # the class of all others in one-against-rest
TOP = 10  # attributes applied in [L] Table 3 and [V] Table 1
KID_FOLDS = tuple(f"kid_fold_{fold}" for fold in range(1, 6))  # columns of frechet.csv: disjoint groups of images
INCEPTION = "inception"  # pytorch-fid's network, as extractor of features: the only one whose distance is called FID
NAME = r"^[a-z0-9][a-z0-9._-]*$"  # of the files of config/, and so of what is written


class Protocol(StrEnum):
    """`attfind.protocols`, by which images attributes are found, and on which they are measured; so in our tables."""

    HELD_OUT = "held_out"
    SAME_IMAGES = "same_images"


def class_name(value: str) -> str:
    """Reject the names that a class cannot have."""
    if value in (POOLED, EVERY):
        raise ValueError(f"'{value}' means all classes together in our tables: rename the class")
    return value


def _as_named(value: object) -> object:
    """Take a number as the name it is written as; a truth value is none, whatever it was written as."""
    if isinstance(value, bool):
        raise ValueError("YAML reads no, off, yes, on and their like as truth values: quote the name of a class")
    return str(value) if isinstance(value, int) else value


def power_of_two(value: int) -> int:
    """Reject an image side that StyleGAN2 cannot build by doubling 4x4."""
    if value < 8 or value & (value - 1):
        raise ValueError(
            f"resolution must be a power of two, at least 8: try {max(8, 1 << max(value, 1).bit_length())}"
        )
    return value


ClassName = Annotated[str, BeforeValidator(_as_named), AfterValidator(class_name)]
Name = Annotated[str, Field(pattern=NAME)]
Resolution = Annotated[
    int, Field(ge=8, le=1024), BeforeValidator(lambda v: power_of_two(v) if isinstance(v, int) else v)
]
Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, le=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Precision = Literal["auto", "float32", "bfloat16"]
Split = Literal["train", "val", "test"]
Item = TypeVar("Item")


def each_once(value: list[Item], what: str) -> list[Item]:
    """Reject a list in which something stands twice; `what`: its name, with an article."""
    if len(set(value)) != len(value):
        raise ValueError(f"{what} is listed twice: remove one")
    return value


def once(what: str) -> AfterValidator:
    """Return the validator of `each_once`, for the type of a key."""
    return AfterValidator(lambda value: each_once(value, what))


class Section(BaseModel):
    """A part of a configuration file: immutable, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def digest(self) -> str:
        """Return the first 16 hex digits of the sha256 of the canonical JSON form."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:16]
